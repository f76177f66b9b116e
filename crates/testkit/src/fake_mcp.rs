//! A scriptable MCP server on loopback: both eras, well behaved or not, and it remembers what it saw.
//!
//! It speaks HTTP/1.1 by itself over plain sockets, so that it can also do what no HTTP library
//! would: stop in the middle, send a line of 100 MB, hang. Tools whose names are known here do
//! what their name says without being scripted:
//!
//! | Tool | Does |
//! |---|---|
//! | `echo` | answers with the arguments as text, and with members nobody knows |
//! | `progress` | three progress notifications (if a token came), then a result, over SSE |
//! | `headers` | answers with the HTTP headers it received |
//! | `ask` | (legacy) sends `elicitation/create` in mid-call and answers with what came back |
//! | `query` | needs the header `Mcp-Param-Region` when `region` is given |
//!
//! A session that its client ends takes the requests under way in it along, as real servers have it.
//!
//! Everything else is [`Script::on`]: what to do for a JSON-RPC method, or for one tool.

mod insensitive;
mod protocol;
mod serve;
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Which protocol eras the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Only 2026-07-28.
    Modern,
    /// Only 2025-11-25 and earlier.
    Legacy,
    /// Both, by what arrives.
    Both,
}

/// How ordinary requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// `application/json`
    Json,
    /// `text/event-stream` with one event
    Sse,
}

/// Something to do instead of the ordinary answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Wait, then answer as usual.
    Slow(Duration),
    /// Wait, then do something else.
    After(Duration, Box<Self>),
    /// Never answer.
    Hang,
    /// Send the head of an SSE answer, then nothing.
    HangAfterHead,
    /// Close the connection without an answer.
    Close,
    /// Send one progress notification over SSE, then close.
    CloseMidStream,
    /// Announce a longer JSON body than is sent, then close.
    Truncate,
    /// An HTTP answer, as it is written here.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Content-Type`; none if empty.
        content_type: &'static str,
        /// Further headers.
        headers: Vec<(&'static str, String)>,
        /// The body. `$ID` stands for the JSON text of the request's id.
        body: String,
    },
    /// An SSE answer with exactly these bytes; `$ID` stands for the request's id.
    Events(String),
    /// An SSE line of so many bytes that does not end.
    EndlessLine(usize),
    /// So many bytes of a JSON body, and never its last one.
    HugeJson(usize),
    /// Progress notifications at this interval, for ever.
    Drip(Duration),
    /// Reject with -32020 unless the header is there.
    DemandHeader(&'static str),
    /// Do it for requests like these only, and answer others as usual.
    When(Condition, Box<Self>),
}

/// What a request is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Its body does not have this text.
    BodyLacks(String),
    /// It does not have this header.
    HeaderLacks(&'static str),
    /// It has this header with this value.
    HeaderIs(&'static str, String),
    /// It is for this path.
    PathIs(&'static str),
}

impl Condition {
    fn holds(&self, seen: &Seen) -> bool {
        match self {
            Self::BodyLacks(text) => !seen.body.contains(text),
            Self::HeaderLacks(name) => seen.header(name).is_none(),
            Self::HeaderIs(name, value) => seen.header(name) == Some(value),
            Self::PathIs(path) => seen.path == *path,
        }
    }
}

impl Act {
    /// A JSON body with status 200.
    pub fn json(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    /// Unless the body has this text.
    pub fn unless(text: &str, act: Self) -> Self {
        Self::When(Condition::BodyLacks(text.to_owned()), Box::new(act))
    }

    /// Unless the header is there.
    pub fn unless_header(name: &'static str, act: Self) -> Self {
        Self::When(Condition::HeaderLacks(name), Box::new(act))
    }

    /// If the header has this value.
    pub fn with_header(name: &'static str, value: String, act: Self) -> Self {
        Self::When(Condition::HeaderIs(name, value), Box::new(act))
    }

    /// For requests to this path.
    pub fn at_path(path: &'static str, act: Self) -> Self {
        Self::When(Condition::PathIs(path), Box::new(act))
    }

    /// A JSON body with a status.
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        let content_type = "application/json";
        Self::Answer {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

/// What the server is and does.
#[derive(Debug, Clone)]
pub struct Script {
    /// Eras.
    pub speaks: Speaks,
    /// The modern versions it implements.
    pub modern_versions: Vec<String>,
    /// The legacy version it answers when it does not know the one asked for.
    pub legacy_version: String,
    /// Does it hand out `Mcp-Session-Id`s, and insist on them? (legacy)
    pub sessions: bool,
    /// JSON or SSE.
    pub answers: Answers,
    /// Tools per page of `tools/list`.
    pub page_size: usize,
    /// The tools, as they are listed.
    pub tools: Vec<Value>,
    /// Does it declare and send `tools/list_changed`?
    pub list_changed: bool,
    /// `ttlMs` of `tools/list` (modern).
    pub ttl_ms: u64,
    /// Does it find members of a message without regard to case, as servers in Go do?
    pub ignores_case: bool,
    /// Closes a connection after its first answer, without having said so.
    pub closes_unsaid: bool,
    /// By `method` or `method tool`: what to do instead, the first entry that fits.
    pub acts: Vec<(String, Act)>,
}

impl Script {
    /// A server of the stateless era that answers JSON.
    pub fn modern() -> Self {
        Self {
            speaks: Speaks::Modern,
            ..Self::dual()
        }
    }

    /// A server of the session era that answers JSON and has sessions.
    pub fn legacy() -> Self {
        Self {
            speaks: Speaks::Legacy,
            ..Self::dual()
        }
    }

    /// A server of the session era without sessions, as `FastMCP` with `stateless_http=True`.
    pub fn legacy_without_sessions() -> Self {
        Self {
            sessions: false,
            ..Self::legacy()
        }
    }

    /// A server of both eras.
    pub fn dual() -> Self {
        Self {
            speaks: Speaks::Both,
            modern_versions: vec!["2026-07-28".to_owned()],
            legacy_version: "2025-11-25".to_owned(),
            sessions: true,
            answers: Answers::Json,
            page_size: 100,
            tools: vec![
                tool("echo"),
                tool("progress"),
                tool("headers"),
                tool("ask"),
                json!({
                    "name": "query",
                    "inputSchema": {"type": "object", "properties": {
                        "region": {"type": "string", "x-mcp-header": "Region"},
                        "limit": {"type": "integer"},
                    }},
                }),
            ],
            list_changed: true,
            ttl_ms: 60_000,
            ignores_case: false,
            closes_unsaid: false,
            acts: Vec::new(),
        }
    }

    /// Answers over SSE.
    pub fn over_sse(mut self) -> Self {
        self.answers = Answers::Sse;
        self
    }

    /// Finds members without regard to case.
    pub fn ignoring_case(mut self) -> Self {
        self.ignores_case = true;
        self
    }

    /// Does something else for a method (`tools/list`), or for a tool (`tools/call my_tool`). The
    /// HTTP verbs `GET` and `DELETE` can be named too.
    pub fn on(mut self, what: &str, act: Act) -> Self {
        self.acts.push((what.to_owned(), act));
        self
    }

    /// These tools, by name, instead of the usual ones.
    pub fn with_tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = tools;
        self
    }

    fn act(&self, method: &str, tool: Option<&str>) -> Option<Act> {
        let of_tool = tool.map(|tool| format!("{method} {tool}"));
        let fits = |what: &String| what == method || Some(what) == of_tool.as_ref();
        self.acts
            .iter()
            .find(|(what, _)| fits(what))
            .map(|(_, act)| act.clone())
    }
}

/// A tool definition with a name and a schema that accepts any object.
pub fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("The tool {name}."), "inputSchema": {"type": "object"}})
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `POST`, `GET`, `DELETE`.
    pub verb: String,
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Seen {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The JSON-RPC method, or the HTTP verb if there is none.
    pub fn method(&self) -> String {
        self.json()
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or(&self.verb)
            .to_owned()
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct FakeMcp {
    address: SocketAddr,
    shared: Arc<Shared>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    /// Session id → has `notifications/initialized` arrived?
    sessions: Mutex<HashMap<String, bool>>,
    counts: Mutex<Counts>,
    seen: Mutex<Vec<Seen>>,
    /// Bumped whenever anything above changes.
    changed: watch::Sender<u64>,
    signals: broadcast::Sender<Signal>,
    stop: CancellationToken,
}

#[derive(Debug, Default, Clone)]
struct Counts {
    sessions_made: u64,
    /// Ids of the sessions that a client ended.
    sessions_ended: Vec<String>,
    streams_open: u64,
    connections: u64,
    /// Methods (`tools/call echo`) whose answer the peer did not wait for.
    abandoned: Vec<String>,
}

/// What open notification streams do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    ToolsChanged,
    /// Break the connection.
    Drop,
    /// Send the final result and end the stream (modern), or just end it (legacy).
    Finish,
}

impl FakeMcp {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_at(script, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a server at an address, for instance that of one that was stopped.
    pub async fn start_at(script: Script, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .context("bind the fake MCP server")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            sessions: Mutex::default(),
            counts: Mutex::default(),
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
            signals: broadcast::Sender::new(64),
            stop: CancellationToken::new(),
        });
        let tracker = TaskTracker::new();
        tracker.spawn(serve::accept(
            listener,
            Arc::clone(&shared),
            tracker.clone(),
        ));
        Ok(Self {
            address,
            shared,
            tracker,
        })
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its MCP endpoint.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Everything received so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// The methods (or HTTP verbs) received so far, in order.
    pub fn methods(&self) -> Vec<String> {
        self.seen().iter().map(Seen::method).collect()
    }

    /// The requests with this method (or HTTP verb).
    pub fn seen_of(&self, method: &str) -> Vec<Seen> {
        self.seen()
            .into_iter()
            .filter(|seen| seen.method() == method)
            .collect()
    }

    /// Forgets what was received.
    pub fn forget_seen(&self) {
        self.shared.seen.lock().clear();
    }

    /// Changes what it does from now on.
    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script.lock());
    }

    /// How many TCP connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.counts.lock().connections
    }

    /// How many notification streams are open.
    pub fn open_streams(&self) -> u64 {
        self.shared.counts.lock().streams_open
    }

    /// The ids of the sessions that are alive.
    pub fn sessions(&self) -> Vec<String> {
        self.shared.sessions.lock().keys().cloned().collect()
    }

    /// Forgets all sessions, as a restart does.
    pub fn forget_sessions(&self) {
        self.shared.sessions.lock().clear();
    }

    /// Calls whose answer the peer stopped waiting for (`tools/call slow`).
    pub fn abandoned(&self) -> Vec<String> {
        self.shared.counts.lock().abandoned.clone()
    }

    /// Sends `notifications/tools/list_changed` on every open stream.
    pub fn announce_tools_changed(&self) {
        let _ = self.shared.signals.send(Signal::ToolsChanged);
    }

    /// Breaks every open notification stream.
    pub fn drop_streams(&self) {
        let _ = self.shared.signals.send(Signal::Drop);
    }

    /// Ends every open notification stream in good order.
    pub fn finish_streams(&self) {
        let _ = self.shared.signals.send(Signal::Finish);
    }

    /// Waits until a condition holds, at most ten seconds of real time.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let mut changed = self.shared.changed.subscribe();
        let holds = async {
            loop {
                changed.mark_unchanged();
                if condition(self) {
                    return;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        within(Duration::from_secs(10), holds)
            .await
            .with_context(|| format!("waited for: {what}; seen: {:?}", self.methods()))
    }

    /// Stops listening and closes all connections.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for FakeMcp {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.tracker.close();
    }
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock());
        self.changed.send_modify(|version| *version += 1);
    }

    fn record(&self, seen: Seen) {
        self.seen.lock().push(seen);
        self.changed.send_modify(|version| *version += 1);
    }
}

/// Waits for something, but not for ever.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("not within {limit:?}"),
    }
}
