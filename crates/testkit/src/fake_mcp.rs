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
//! | `ask` | asks for input in mid-call, as its era has it, and answers with what came back |
//! | `sample` | the same by `sampling/createMessage`, if it is listed |
//! | `steps` | says something of the call, and again before its answer, which waits for [`FakeMcp::go_on`]; if it is listed |
//! | `query` | needs the header `Mcp-Param-Region` when `region` is given |
//!
//! A session that its client ends takes the requests under way in it along, as real servers have it.
//!
//! Everything else is [`Script::on`]: what to do for a JSON-RPC method, or for one tool.

mod insensitive;
mod pair;
mod protocol;
mod script;
mod seen;
mod serve;
mod shared;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::script::*;
pub use self::seen::Seen;
use self::shared::{Shared, Signal};

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct FakeMcp {
    address: SocketAddr,
    shared: Arc<Shared>,
    tracker: TaskTracker,
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
            subscribed: Mutex::default(),
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
        let _ = self.shared.signals.send(Signal::Changed("tools"));
    }

    /// The same of prompts.
    pub fn announce_prompts_changed(&self) {
        let _ = self.shared.signals.send(Signal::Changed("prompts"));
    }

    /// The same of resources and their templates.
    pub fn announce_resources_changed(&self) {
        let _ = self.shared.signals.send(Signal::Changed("resources"));
    }

    /// Says that a resource was updated, to those who subscribed to it.
    pub fn announce_updated(&self, uri: &str) {
        let _ = self.shared.signals.send(Signal::Updated(uri.to_owned()));
    }

    /// Says something on the standalone stream of a session (legacy).
    pub fn say(&self, session: &str, message: &serde_json::Value) {
        let said = Signal::Said(session.to_owned(), message.to_string());
        let _ = self.shared.signals.send(said);
    }

    /// Lets the calls of `steps` that are under way go on to their ends.
    pub fn go_on(&self) {
        let _ = self.shared.signals.send(Signal::GoOn);
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

    /// Stops listening and closes all connections, soon.
    pub fn cut(&self) {
        self.shared.stop.cancel();
    }

    /// Stops listening and closes all connections.
    pub async fn stop(self) {
        self.cut();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for FakeMcp {
    fn drop(&mut self) {
        self.cut();
        self.tracker.close();
    }
}

/// Waits for something, but not for ever.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("not within {limit:?}"),
    }
}
