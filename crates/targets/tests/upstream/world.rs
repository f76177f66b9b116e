//! A fake server, a target that points at it, and a caller who is permitted everything.

use mcp::era::Era;
use mcp::feature::Feature;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp::params::{CallParams, Params};
use mcp::raw::Raw;
use model::target::{Target as Declared, TargetKind};
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::pool::{self, Pool};
use net::egress::resolve::SystemResolver;
use net::egress::rules::Rules;
use policy::call::{Call, Principal};
use policy::decide::Policies;
use policy::facts::CallerFacts;
use policy::permitted::Permitted;
use serde_json::Value;
use targets::Target;
use targets::client::Client;
use targets::error::CallError;
use targets::meter::Held;
use targets::reply::{Answer, Message, Outcome, Reply};
use testkit::fake_mcp::{FakeMcp, Script};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

pub(crate) struct World {
    pub(crate) fake: FakeMcp,
    pub(crate) target: Target,
    pub(crate) tracker: TaskTracker,
    pub(crate) pool: Pool,
    /// Ends whatever keeps lists current.
    pub(crate) stop: CancellationToken,
}

/// A test that leaves anything behind fails: what outlasts its use in a test does so for users.
impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        if std::thread::panicking() {
            return;
        }
        let here = Handle::current();
        if here.runtime_flavor() == RuntimeFlavor::CurrentThread {
            // Nothing can be waited for here: the test did.
            assert_eq!(self.tracker.len(), 0, "call `end` last");
            return;
        }
        tokio::task::block_in_place(|| here.block_on(self.end()));
    }
}

pub(crate) fn pool() -> Pool {
    let connector = Connector::new(Arc::new(SystemResolver::default()), ExtraRoots::default());
    let rules = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    Pool::new(Arc::new(connector), rules, pool::Settings::default())
}

/// An MCP server at this place, with the default bounds.
pub(crate) fn mcp_server(url: Url) -> Declared {
    Declared::new("my-server".parse().unwrap(), TargetKind::mcp(url))
}

pub(crate) async fn world(script: Script) -> World {
    world_with(script, |_| {}).await
}

pub(crate) async fn world_with(script: Script, change: impl FnOnce(&mut Declared)) -> World {
    let fake = FakeMcp::start(script).await.unwrap();
    let mut settings = mcp_server(fake.url().parse().unwrap());
    settings.timeouts.handshake = Duration::from_secs(5);
    change(&mut settings);
    let tracker = TaskTracker::new();
    let pool = pool();
    let target = Target::new(settings, &pool, tracker.clone()).unwrap();
    World {
        fake,
        target,
        tracker,
        pool,
        stop: CancellationToken::new(),
    }
}

/// A call that nobody forbids.
pub(crate) fn permit(call: Call) -> Permitted<Call> {
    let caller = CallerFacts {
        address: None,
        listener: Some("main"),
        tls: false,
        client_certificate: false,
    };
    Policies::default().decide(&caller, call).unwrap()
}

pub(crate) fn tool_call(principal: &str, tool: &str, params: &str) -> Call {
    let message = Bytes::copy_from_slice(params.as_bytes());
    let text = std::str::from_utf8(&message).unwrap();
    let params = Params::of(Raw::parse(text).ok()).unwrap();
    Call {
        principal: Principal::new(principal),
        target: Arc::from("my-server"),
        feature: Feature::Tools,
        method: mcp::method::Method::ToolsCall,
        name: Arc::from(tool),
        params: CallParams::of(&message, &params).unwrap(),
    }
}

impl World {
    /// All background work ends when told so, and no stream stays open at the server.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.tracker.wait()).await;
        assert!(ended.is_ok(), "{} tasks are left", self.tracker.len());
        let closed = |fake: &FakeMcp| fake.open_streams() == 0;
        self.fake.until("no stream", closed).await.unwrap();
    }

    /// Calls a tool as alice, with these arguments.
    pub(crate) async fn call(&self, tool: &str, arguments: &str) -> Result<Reply, CallError> {
        self.call_as("alice", tool, arguments).await
    }

    pub(crate) async fn call_as(
        &self,
        principal: &str,
        tool: &str,
        arguments: &str,
    ) -> Result<Reply, CallError> {
        let params = format!(r#"{{"name":"prefix___{tool}","arguments":{arguments}}}"#);
        self.call_with(
            tool_call(principal, tool, &params),
            CancellationToken::new(),
        )
        .await
    }

    /// Calls a tool as alice, wanting to hear of progress.
    pub(crate) async fn call_with_progress(&self, tool: &str) -> Result<Reply, CallError> {
        let params = format!(r#"{{"name":"{tool}","_meta":{{"progressToken":"mine"}}}}"#);
        self.call_with(tool_call("alice", tool, &params), CancellationToken::new())
            .await
    }

    pub(crate) async fn call_with(
        &self,
        call: Call,
        cancel: CancellationToken,
    ) -> Result<Reply, CallError> {
        self.call_for(call, Client::silent(Era::Stateless), cancel)
            .await
    }

    /// Calls for a client that can be asked, or speaks another era.
    pub(crate) async fn call_for(
        &self,
        call: Call,
        client: Client,
        cancel: CancellationToken,
    ) -> Result<Reply, CallError> {
        self.target
            .call(permit(call), client, Some(cancel), Held::default())
            .await
    }

    /// Keeps the list current in the background until the token is cancelled.
    pub(crate) fn run(&self) -> CancellationToken {
        let stop = self.stop.child_token();
        let (target, until) = (self.target.clone(), stop.clone());
        self.tracker.spawn(async move { target.run(until).await });
        stop
    }

    /// Waits until the published listing is as wanted.
    pub(crate) async fn until_listed(&self, wanted: impl Fn(&[String]) -> bool) {
        let mut changes = self.target.changes(Feature::Tools);
        let waiting = async {
            loop {
                if wanted(&self.listed()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(
            waited.is_ok(),
            "listed: {:?}, asked: {:?}",
            self.listed(),
            self.fake.methods()
        );
    }

    /// The names in the published listing.
    pub(crate) fn listed(&self) -> Vec<String> {
        let listing = self.target.listing(Feature::Tools);
        let tools = listing.list.iter().flat_map(|list| &list.entries);
        tools.map(|tool| tool.name.to_string()).collect()
    }
}

/// The answer of a reply that is nothing else.
pub(crate) fn answer(reply: Result<Reply, CallError>) -> Answer {
    match reply {
        Ok(Reply::One(answer)) => answer,
        other => panic!("one answer expected: {other:?}"),
    }
}

/// The text of `result`.
pub(crate) fn result(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Result(result) => result.borrow().as_str().to_owned(),
        other @ Outcome::Error { .. } => panic!("a result expected: {other:?}"),
    }
}

/// The first text in the content of a result.
pub(crate) fn text(answer: &Answer) -> String {
    let tree: Value = serde_json::from_str(&result(answer).replace("1E400", "1")).unwrap();
    tree["content"][0]["text"].as_str().unwrap().to_owned()
}

/// All messages of a reply.
pub(crate) async fn drain(reply: Result<Reply, CallError>) -> Vec<Result<Message, CallError>> {
    match reply {
        Err(error) => vec![Err(error)],
        Ok(Reply::One(answer)) => vec![Ok(Message::Answer(answer))],
        Ok(Reply::Stream(mut stream)) => {
            let mut all = Vec::new();
            while let Some(message) = stream.next().await {
                all.push(message);
            }
            assert!(stream.next().await.is_none(), "nothing follows the end");
            all
        }
    }
}

/// Lets time pass for the target; what goes over sockets goes on in real time.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
