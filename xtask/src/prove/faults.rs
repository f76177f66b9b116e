//! What ran others aground, done to the release build on purpose: each case breaks one thing, and looks at what has to go on.

use std::fs::File;
use std::io::{Error, ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::bench::http::{Answer, Connection, request};
use crate::bench::issuer::{Issuer, free_address};
use crate::bench::login::Login;
use crate::bench::path::{EXPECTED, call, upstream};
use crate::bench::process::Process;
use crate::e2e::Tally;
use crate::shell;

type Case = fn(&Scene) -> Result<()>;

const CASES: &[(&str, Case)] = &[
    ("stalled-log", stalled_log),
    ("silent-name-server", silent_name_server),
    ("issuer-away", issuer_away),
    ("few-files", few_files),
    ("full-disk", full_disk),
    ("open-streams", open_streams),
];

/// How often something that passes by itself is looked at, a tenth of a second apart.
const ATTEMPTS: u32 = 60;

/// Runs all cases; one that can't be set up has failed.
pub(super) fn run() -> Result<Tally> {
    let program = if let Some(program) = shell::environment("SEKISHO_BIN") {
        PathBuf::from(program)
    } else {
        shell::succeed(shell::cargo().args(["build", "--release", "--package", "server"]))?;
        shell::target().join("release/sekisho")
    };
    let mut tally = Tally::default();
    for (name, case) in CASES {
        let scene = Scene::set(name, &program)?;
        match case(&scene) {
            Ok(()) => {
                println!("{name}: passed");
                tally.passed += 1;
            }
            Err(error) => {
                println!("{name}: failed: {error:#}\n{}", scene.end_of_log());
                tally.failed += 1;
            }
        }
    }
    Ok(tally)
}

/// All that is around the program in one case.
struct Scene {
    program: PathBuf,
    folder: PathBuf,
    issuer: Issuer,
    authorization: String,
    address: SocketAddr,
    management: SocketAddr,
    upstream: SocketAddr,
    _upstream: Process,
}

impl Scene {
    /// An issuer, and an MCP server behind the gateway that is to come.
    fn set(name: &str, program: &Path) -> Result<Self> {
        let folder = shell::target().join("prove/faults").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(folder.join("data"))?;
        let issuer = Issuer::start()?;
        let address = free_address()?;
        let config = folder.join("upstream.yaml");
        shell::write(&config, &upstream(address, free_address()?))?;
        let mut server = Process::start(
            shell::command(program)
                .args(["serve", "--config"])
                .arg(config),
        )?;
        server.await_port(address)?;
        Ok(Self {
            program: program.to_owned(),
            authorization: format!("Bearer {}", issuer.token()?),
            folder,
            issuer,
            address: free_address()?,
            management: free_address()?,
            upstream: address,
            _upstream: server,
        })
    }

    /// A realm with a user, and a gateway with two targets: one that works, and one whose name has to be asked for.
    fn configuration(&self) -> String {
        let Self {
            address,
            management,
            upstream,
            ..
        } = self;
        let discovery = self.issuer.discovery_url();
        format!(
            r#"listeners:
  - {{ name: main, address: "{address}" }}
management: {{ address: "{management}" }}
data_directory: data
egress: {{ allow_networks: ["127.0.0.0/8"] }}
realms:
  - name: r
    url: http://{address}/realms/r
    scopes: [ {{ name: "mcp:tools", audiences: [bench] }} ]
    users: [ {{ username: alice, password: {{ danger_literal: alice }} }} ]
    clients: [ {{ client_id: c, redirect_uris: ["http://localhost:6274/oauth/callback"] }} ]
gateways:
  - name: g
    url: http://{address}/mcp
    authorizer:
      discovery_url: {discovery}
      allowed_audiences: [bench]
      allowed_scopes: ["mcp:tools"]
    targets:
      - {{ name: good, mcp: {{ url: "http://{upstream}/mcp" }} }}
      - {{ name: named, mcp: {{ url: "https://named.example/mcp" }} }}
"#
        )
    }

    /// Starts the program, once a shell has made its surroundings by this script.
    fn start(&self, surroundings: &str, shell: &mut Command, log: Stdio) -> Result<Process> {
        let config = self.folder.join("sekisho.yaml");
        shell::write(&config, &self.configuration())?;
        let ready = self.folder.join("ready.json");
        let script = format!("set -e; {surroundings}\nexec \"$0\" \"$@\"");
        let mut process = Process::start_with_log(
            shell
                .current_dir(&self.folder)
                .args(["-c", &script])
                .arg(&self.program)
                .args(["serve", "--config"])
                .arg(&config)
                .arg("--ready-file")
                .arg(&ready),
            log,
        )?;
        process.await_file(&ready)?;
        Ok(process)
    }

    /// The same, with the log in a file.
    fn start_in(&self, surroundings: &str) -> Result<Process> {
        self.start(surroundings, &mut Command::new("sh"), self.log()?)
    }

    /// The same, with mounts that nobody else sees.
    fn start_among_mounts(&self, surroundings: &str) -> Result<Process> {
        let mut shell = Command::new("unshare");
        self.start(surroundings, shell.args(["--mount", "sh"]), self.log()?)
            .context("in a mount namespace of its own, for which one has to be root")
    }

    fn log(&self) -> Result<Stdio> {
        Ok(File::create(self.folder.join("log"))?.into())
    }

    fn end_of_log(&self) -> String {
        let log = shell::read(&self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(20))
            .fold(String::new(), |all, line| all + "  " + line + "\n")
    }

    /// A page for operators.
    fn operator(&self, path: &str) -> Result<Answer> {
        let host = self.management.to_string();
        Connection::open(self.management)?.round_trip(&request("GET", path, &host, &[], ""))
    }

    fn readiness_is(&self, path: &str, expected: u16) -> Result<()> {
        is(&self.operator(path)?, expected).context(path.to_owned())
    }

    /// A number of /metrics.
    fn metric(&self, name: &str) -> Result<u64> {
        let page = self.operator("/metrics")?.body;
        let page = String::from_utf8_lossy(&page);
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        Ok(line
            .with_context(|| format!("no {name}"))?
            .trim()
            .parse::<u64>()?)
    }

    /// Somebody calls the target that works.
    fn call_from(&self, source: Ipv4Addr) -> Result<()> {
        let sent = call(self.address, &self.authorization, "good___add_numbers");
        let answer = Connection::open_from(source, self.address)?.round_trip(&sent)?;
        is(&answer, 200)?;
        let found = answer
            .body
            .windows(EXPECTED.len())
            .any(|part| part == EXPECTED);
        ensure!(found, "not the sum: {}", text(&answer));
        Ok(())
    }

    fn call(&self) -> Result<()> {
        self.call_from(Ipv4Addr::LOCALHOST).context("a call")
    }

    fn login(&self) -> Result<Login> {
        Login::at(&json!({
            "issuer": format!("http://{}/realms/r", self.address),
            "client_metadata_document": "c",
            "scope": "mcp:tools",
            "username": "alice",
            "password": "alice",
        }))
    }

    /// Alice logs in.
    fn log_in(&self) -> Result<()> {
        let login = self.login()?;
        let mut connection = Connection::open(self.address)?;
        let form = login.begin(&mut connection)?;
        let answer = form.send(&mut connection, &login.username, &login.password)?;
        is(&answer, 303).context("a login")
    }
}

fn text(answer: &Answer) -> String {
    let head: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!(
        "{} {} {}",
        answer.status,
        head.join(", "),
        String::from_utf8_lossy(&answer.body)
    )
}

fn is(answer: &Answer, expected: u16) -> Result<()> {
    ensure!(
        answer.status == expected,
        "not {expected}: {}",
        text(answer)
    );
    Ok(())
}

/// Whether it says that somebody else is at fault, and when to come back.
fn is_an_outage(answer: &Answer) -> Result<()> {
    is(answer, 503)?;
    ensure!(
        answer.header("retry-after").is_some(),
        "no Retry-After: {}",
        text(answer)
    );
    Ok(())
}

/// Tries until it succeeds; the last error if it never does.
fn soon(what: &str, mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 1..ATTEMPTS {
        if attempt().is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    attempt().with_context(|| format!("{what}, {ATTEMPTS} times"))
}

/// SIGTERM, and a proper end.
fn ends(mut process: Process) -> Result<()> {
    process.signal("TERM")?;
    let status = process.await_end()?;
    ensure!(status.code() == Some(0), "it ended with {status}");
    Ok(())
}

/// Nobody reads the log, and more is written than fits into the pipe.
fn stalled_log(scene: &Scene) -> Result<()> {
    let process = scene.start("", &mut Command::new("sh"), Stdio::piped())?;
    let host = scene.address.to_string();
    let path = format!("/{}", "x".repeat(400));
    let noise = request("GET", &path, &host, &[], "");
    let mut connection = Connection::open(scene.address)?;
    let mut asked = 0;
    while scene.metric("sekisho_log_lines_dropped_total ")? == 0 {
        for _ in 0..500 {
            is(&connection.round_trip(&noise)?, 404)?;
        }
        asked += 500;
        ensure!(asked < 20_000, "the log has no bound");
    }
    scene.call()?;
    scene.log_in()?;
    scene.readiness_is("/readyz", 200)?;
    drop(connection);
    ends(process)
}

/// The name of one target is asked for, and nobody answers; many wait for that.
fn silent_name_server(scene: &Scene) -> Result<()> {
    let server = UdpSocket::bind("127.0.0.9:53")
        .context("being a name server at 127.0.0.9, for which one has to be root")?;
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let names = scene.folder.join("resolv.conf");
    shell::write(
        &names,
        "nameserver 127.0.0.9\noptions timeout:30 attempts:5\n",
    )?;
    let process = scene.start_among_mounts("mount --bind resolv.conf /etc/resolv.conf")?;
    let mut waiting = Vec::new();
    for caller in 1..=100 {
        let authorization = format!("Bearer {}", scene.issuer.token_of(&caller.to_string())?);
        let mut connection =
            Connection::open_from(Ipv4Addr::new(127, 0, 66, caller), scene.address)?;
        connection.send(&call(scene.address, &authorization, "named___anything"))?;
        waiting.push(connection);
    }
    let mut question = [0; 512];
    let length = server
        .recv(&mut question)
        .context("the name server was not asked")?;
    let question = question.get(..length).unwrap_or_default();
    ensure!(
        question.windows(5).any(|part| part == b"named"),
        "the name server was asked for something else"
    );
    for _ in 0..5 {
        scene.log_in()?;
        scene.call()?;
    }
    scene.readiness_is("/readyz", 200)?;
    drop(waiting);
    ends(process)
}

/// The issuer is away at the start, comes back, and is away again during a reload.
fn issuer_away(scene: &Scene) -> Result<()> {
    scene.issuer.is_away(true);
    let process = scene.start_in("")?;
    let sent = call(scene.address, &scene.authorization, "good___add_numbers");
    is_an_outage(&Connection::open(scene.address)?.round_trip(&sent)?)?;
    scene.issuer.is_away(false);
    soon("a call after the issuer came back", || scene.call())?;

    scene.issuer.is_away(true);
    let config = scene.folder.join("sekisho.yaml");
    shell::write(
        &config,
        &format!("{}# another line\n", scene.configuration()),
    )?;
    process.signal("HUP")?;
    soon("a reload", || {
        let log = shell::read(&scene.folder.join("log"))?;
        ensure!(
            log.contains("configuration was replaced"),
            "nothing was replaced"
        );
        Ok(())
    })?;
    scene.call()?;
    scene.issuer.is_away(false);
    ends(process)
}

/// 256 files, and twenty addresses that hold all the connections they get.
fn few_files(scene: &Scene) -> Result<()> {
    let process = scene.start_in("ulimit -n 256")?;
    let slow = format!(
        "POST /realms/r/token HTTP/1.1\r\nhost: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\na",
        scene.address
    );
    let mut held = Vec::new();
    for address in 1..=20 {
        for _ in 0..20 {
            let source = Ipv4Addr::new(127, 0, 66, address);
            let mut connection = Connection::open_from(source, scene.address)?;
            // Those who are refused may notice here.
            if connection.send(slow.as_bytes()).is_ok() {
                held.push(connection);
            }
        }
    }
    soon("a refusal", || {
        let refused = ["share", "full"].map(|why| {
            let labels = format!("{{side=\"incoming\",reason=\"{why}\"}} ");
            scene.metric(&format!("sekisho_connections_refused_total{labels}"))
        });
        let [share, full] = refused;
        ensure!(share? > 0 || full? > 0, "nobody was refused");
        Ok(())
    })?;
    for stranger in 1..=5 {
        scene
            .call_from(Ipv4Addr::new(127, 0, 55, stranger))
            .context("a stranger's call")?;
    }
    scene.readiness_is("/readyz", 200)?;
    drop(held);
    ends(process)
}

/// The disk of the database is full, and later it is not.
fn full_disk(scene: &Scene) -> Result<()> {
    let process = scene.start_among_mounts("mount -t tmpfs -o size=8m tmpfs data")?;
    scene.log_in()?;
    scene.readiness_is("/readyz", 200)?;
    let login = scene.login()?;
    let mut connection = Connection::open(scene.address)?;
    let form = login.begin(&mut connection)?;
    // What is mounted is seen from outside through the process.
    let data = scene.folder.join("data");
    let filler = PathBuf::from(format!("/proc/{}/root{}", process.id(), data.display()))
        .join("somebody-elses");
    let full = fill(&filler)?;
    ensure!(full.kind() == ErrorKind::StorageFull, "not full: {full}");

    is_an_outage(&form.send(&mut connection, "alice", "alice")?).context("a login")?;
    soon("not ready", || scene.readiness_is("/readyz", 503))?;
    scene.readiness_is("/readyz/gateway", 200)?;
    scene.call()?;

    std::fs::remove_file(&filler)?;
    soon("ready again", || scene.readiness_is("/readyz", 200))?;
    is(&form.send(&mut connection, "alice", "alice")?, 303).context("a login afterwards")?;
    drop(connection);
    ends(process)
}

/// Writes until that fails.
fn fill(path: &Path) -> Result<Error> {
    let mut file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    let page = [1; 4096];
    for _ in 0..64 * 1024 {
        if let Err(error) = file.write_all(&page) {
            return Ok(error);
        }
    }
    bail!("{} is not small", path.display())
}

/// SIGTERM while clients of both eras wait for news.
fn open_streams(scene: &Scene) -> Result<()> {
    let process = scene.start_in("")?;
    let host = scene.address.to_string();
    let common = [
        ("Authorization", scene.authorization.as_str()),
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
    ];
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "prove", "version": "1" } },
    });
    let mut get = Connection::open(scene.address)?;
    let sent = request("POST", "/mcp", &host, &common, &initialize.to_string());
    let answer = get.round_trip(&sent)?;
    is(&answer, 200).context("initialize")?;
    let session = answer.header("mcp-session-id").context("no session")?;
    let [authorization, ..] = common;
    let headers = [
        authorization,
        ("Accept", "text/event-stream"),
        ("Mcp-Session-Id", session),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    get.send(&request("GET", "/mcp", &host, &headers, ""))?;
    is(&get.head()?, 200).context("a GET")?;

    let listen = json!({
        "jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen",
        "params": {
            "notifications": { "toolsListChanged": true },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "prove", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let [authorization, accept, content_type] = common;
    let headers = [
        authorization,
        accept,
        content_type,
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "subscriptions/listen"),
    ];
    let mut listening = Connection::open(scene.address)?;
    listening.send(&request(
        "POST",
        "/mcp",
        &host,
        &headers,
        &listen.to_string(),
    ))?;
    is(&listening.head()?, 200).context("subscriptions/listen")?;

    // Exit code 0 says that nothing was cut.
    process.signal("TERM")?;
    let mut news = Vec::new();
    get.chunks(&mut news).context("the end of a GET")?;
    news.clear();
    listening
        .chunks(&mut news)
        .context("the end of subscriptions/listen")?;
    let answered = String::from_utf8_lossy(&news).contains("\"id\":7");
    ensure!(answered, "subscriptions/listen has no answer");
    drop((get, listening));
    ends(process)
}
