//! What the release build holds in memory for what clients leave open: streams, sessions, and calls that wait for a person.

mod asking;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use self::asking::Asking;
use crate::bench::http::Connection;
use crate::bench::process::Process;
use crate::bench::{FILE, section};
use crate::shell;

/// Connections that wait for a next request. Each is a file here and there.
const CONNECTIONS: u32 = 9_000;
/// Streams at the same time.
const STREAMS: u32 = 9_000;
const SESSIONS: u32 = 50_000;
/// Calls that wait; one fewer than there may be.
const WAITING: u32 = 4_000;
/// How many ask at the same time.
const ASKING: u32 = 16;
/// The most that a stream or a waiting call is to hold, in bytes.
const MOST: f64 = 20_000.0;
/// What is no more than noise, as a part of that.
const SLACK: f64 = 1.4;
/// The most that a session holds. It is no memory, but a request here and there makes the allocator keep a little.
const MOST_OF_SESSION: f64 = 100.0;
/// Connections from one address.
const PER_ADDRESS: u32 = 100;

const HOST: &str = "localhost";

const ABOUT: &str = "Made by `cargo xtask memory` with the `release` build: how much more of it is resident than before, shared among so many. Each kind is
measured in a program of its own. A stream has a connection, whose two buffers of 8 KiB hyper allocates and keeps; of what a stream holds, all
but the difference to the first row is the connection's. A call that waits has none, but one to its target.";

/// A gateway before the program that asks.
struct Gateway {
    program: Process,
    address: SocketAddr,
    /// Where others than the program itself come from.
    asking: Asking,
}

/// What is measured, how many of it there are, and the most that each may hold.
type Kind = (
    &'static str,
    u32,
    f64,
    fn(&Gateway) -> Result<Vec<TcpStream>>,
);

/// Measures all kinds and writes the figures down if asked to, each with a program of its own: what one gives back, another would be given.
pub(crate) fn measure(program: &Path, writes: bool) -> Result<()> {
    let kinds: [Kind; 5] = [
        ("connection that was used once", CONNECTIONS, MOST, idle),
        ("standalone stream of a session", STREAMS, MOST, standalone),
        ("subscriptions/listen", STREAMS, MOST, listening),
        ("call that waits for a person", WAITING, MOST, waiting),
        (
            "session of a client of the session era",
            SESSIONS,
            MOST_OF_SESSION,
            sessions,
        ),
    ];
    let mut too_much = Vec::new();
    let mut rows = String::new();
    for (what, count, most, open) in kinds {
        let gateway = Gateway::start(program)?;
        // What is made once is there already.
        call(
            &mut Connection::open(gateway.address)?,
            "tools/list",
            &json!({}),
        )?;
        let before = settled(&gateway.program)?;
        let opened = open(&gateway)?;
        let after = settled(&gateway.program)?;
        let each = (after - before) * 1024.0 * 1024.0 / f64::from(count);
        println!(
            "{count} × {what}: {:.1} MiB more, {:.2} kB each",
            after - before,
            each / 1e3
        );
        let met = if each <= most { "met" } else { "**not met**" };
        let (kilobytes, goal) = (each / 1e3, most / 1e3);
        let _ = writeln!(
            rows,
            "| {what} | {count} | {kilobytes:.1} | {goal:.1} | {met} |"
        );
        if each > most * SLACK {
            too_much.push(format!(
                "a {what} holds {:.1} kB, and may hold {:.1}",
                each / 1e3,
                most / 1e3
            ));
        }
        drop(opened);
    }
    ensure!(too_much.is_empty(), "{}", too_much.join("; "));
    if !writes {
        return Ok(());
    }
    let text = format!(
        "{ABOUT}\n\n| what | at the same time | kB each | at most | |\n|---|--:|--:|--:|---|\n{rows}"
    );
    let file = shell::root().join(FILE);
    let document = section::put(&shell::read(&file)?, section::LEFT_OPEN, &text);
    shell::write(&file, &document)
}

/// What a program holds when it has come to rest.
fn settled(program: &Process) -> Result<f64> {
    std::thread::sleep(Duration::from_secs(2));
    program.rss_mib()
}

impl Gateway {
    fn start(program: &Path) -> Result<Self> {
        let asking = Asking::start()?;
        let folder = shell::target().join("open");
        let port = free_port()?;
        let configuration = json!({
            "listeners": [{"name": "main", "address": format!("127.0.0.1:{port}")}],
            "management": {"address": "127.0.0.1:0"},
            "store": {"url": "sqlite::memory:"},
            "egress": {"allow_networks": ["127.0.0.0/8"]},
            "connections": {"incoming": 12000, "incoming_per_address": PER_ADDRESS, "outgoing": 6500},
            "gateways": [{
                "name": "g", "url": format!("http://{HOST}:{port}/mcp"), "danger_no_authorization": true, "tool_names": "bare",
                "caller_limits": {"calls": 100_000, "streams": 100_000},
                "targets": [{
                    "name": "t", "mcp": {"url": format!("http://{}/mcp", asking.address)},
                    "limits": {"calls": 5000},
                }],
            }],
        });
        let (file, ready) = (folder.join("sekisho.yaml"), folder.join("ready.json"));
        shell::write(&file, &configuration.to_string())?;
        shell::write(&ready, "")?;
        std::fs::remove_file(&ready)?;
        let mut program = Process::start(
            shell::command(program)
                .args(["serve", "--config"])
                .arg(&file)
                .arg("--ready-file")
                .arg(&ready),
        )?;
        program.await_file(&ready)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            program,
            address,
            asking,
        })
    }

    /// The `number`th connection: few are from one address.
    fn connection(&self, number: u32) -> Result<Connection> {
        let [.., high, low] = (number / PER_ADDRESS).to_be_bytes();
        Connection::open_from(Ipv4Addr::new(127, 78, high, low), self.address)
    }
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

/// A request of the stateless era by a client that fills in forms, as bytes.
fn modern(method: &str, name: &str, mut params: Value) -> Vec<u8> {
    const VERSION: &str = "2026-07-28";
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
    });
    if let Some(params) = params.as_object_mut() {
        params.insert("_meta".to_owned(), meta);
    }
    let name = if name.is_empty() {
        String::new()
    } else {
        format!("Mcp-Name: {name}\r\n")
    };
    let head = format!("MCP-Protocol-Version: {VERSION}\r\nMcp-Method: {method}\r\n{name}");
    post(
        &head,
        &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
    )
}

fn post(head: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n{head}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer to a request that is no stream.
fn call(connection: &mut Connection, method: &str, params: &Value) -> Result<Value> {
    let name = params
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let answer = connection.round_trip(&modern(method, &name, params.clone()))?;
    let body = String::from_utf8(answer.body)?;
    ensure!(
        answer.status == 200,
        "{method} was answered {}: {body}",
        answer.status
    );
    let json = body
        .split_once("data: ")
        .map_or(body.as_str(), |(_, data)| data);
    Ok(serde_json::from_str(json.trim())?)
}

/// Begins a session: its id.
fn begin(connection: &mut Connection) -> Result<String> {
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let answer = connection.round_trip(&post("", &initialize))?;
    let id = answer.header("mcp-session-id").context("no session")?;
    Ok(id.to_owned())
}

fn idle(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    (0..CONNECTIONS)
        .map(|number| {
            let mut connection = gateway.connection(number)?;
            begin(&mut connection)?;
            Ok(connection.forget_buffer())
        })
        .collect()
}

fn sessions(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    let mut connection = Connection::open(gateway.address)?;
    for _ in 0..SESSIONS {
        begin(&mut connection)?;
    }
    Ok(vec![connection.forget_buffer()])
}

fn standalone(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    let mut beginning = Connection::open(gateway.address)?;
    (0..STREAMS)
        .map(|number| {
            let id = begin(&mut beginning)?;
            let mut connection = gateway.connection(number)?;
            connection.send(
                format!("GET /mcp HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\nMcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n\r\n").as_bytes(),
            )?;
            opened(connection)
        })
        .collect()
}

fn listening(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    let params = json!({"notifications": {"toolsListChanged": true}});
    let request = modern("subscriptions/listen", "", params);
    (0..STREAMS)
        .map(|number| {
            let mut connection = gateway.connection(number)?;
            connection.send(&request)?;
            opened(connection)
        })
        .collect()
}

/// A stream whose head has come.
fn opened(mut connection: Connection) -> Result<TcpStream> {
    let head = connection.head()?;
    ensure!(head.status == 200, "a stream was answered {}", head.status);
    Ok(connection.forget_buffer())
}

fn waiting(gateway: &Gateway) -> Result<Vec<TcpStream>> {
    let some = || -> Result<TcpStream> {
        let mut connection = Connection::open(gateway.address)?;
        for _ in 0..WAITING / ASKING {
            let params = json!({"name": "ask", "arguments": {}});
            let answer = call(&mut connection, "tools/call", &params)?;
            let is_asked = answer.pointer("/result/resultType") == Some(&json!("input_required"));
            ensure!(is_asked, "nobody was asked: {answer}");
        }
        Ok(connection.forget_buffer())
    };
    let connections = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ASKING).map(|_| scope.spawn(some)).collect();
        let ended = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| bail!("a thread ended badly"))
        });
        ended.collect::<Result<Vec<_>>>()
    })?;
    let asked = gateway.asking.asked();
    ensure!(asked == WAITING, "{asked} of {WAITING} wait");
    Ok(connections)
}
