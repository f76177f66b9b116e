//! A reload where much is going on: one target of many changes, and nobody else is disturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use gateway::Gateway;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyDataStream, BodyExt as _};
use model::gateway::Gateway as Configured;
use net::body::Body;
use net::edge::Site as _;
use serde_json::{Value, json};
use testkit::fake_idp::FakeIdp;
use testkit::fake_mcp::{FakeMcp, Script, tool};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::world::{AUDIENCE, LEGACY, World, assemble, modern, peer, settings};

const TARGETS: usize = 200;
const CALLERS: usize = 200;
/// Half of them in each era.
const STREAMS_OF_EACH: usize = 50;
/// Calls that are begun every ten milliseconds.
const CALLS_AT_ONCE: usize = 10;

type Stream = BodyDataStream<Body>;

/// A gateway that can be replaced, and what is called at it.
struct Calling {
    gateway: ArcSwap<Gateway>,
    tokens: Vec<String>,
    calls: AtomicUsize,
    failed: AtomicUsize,
    /// Microseconds.
    longest: AtomicU64,
}

impl Calling {
    async fn send(
        &self,
        token: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> (u16, Body, String) {
        let method = if body.is_empty() {
            Method::GET
        } else {
            Method::POST
        };
        let mut request = Request::new(Body::full(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = "/mcp".parse().unwrap();
        let map = request.headers_mut();
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        map.insert(AUTHORIZATION, bearer);
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let both = HeaderValue::from_static("application/json, text/event-stream");
        map.insert(ACCEPT, both);
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.insert(name, HeaderValue::try_from(*value).unwrap());
        }
        let gateway = self.gateway.load_full();
        let response = gateway.call(request, &peer()).await;
        let session = response.headers().get("mcp-session-id");
        let session = session.map_or(String::new(), |id| id.to_str().unwrap().to_owned());
        (response.status().as_u16(), response.into_body(), session)
    }

    async fn send_modern(&self, token: &str, method: &str, params: Value) -> (u16, Body) {
        let (headers, body) = modern(method, params);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (status, body, _) = self.send(token, &headers, body).await;
        (status, body)
    }

    /// Calls a tool of a target that does not change.
    async fn call(&self, number: usize) {
        let target = 1 + number % (TARGETS - 1);
        let token = &self.tokens[number % CALLERS];
        let params = json!({"name": format!("t{target}___echo"), "arguments": {"a": number}});
        let begun = Instant::now();
        let (status, body) = self.send_modern(token, "tools/call", params).await;
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let is_answered = status == 200
            && body.is_ok_and(|body| String::from_utf8_lossy(&body).contains("\"content\""));
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap();
        self.longest.fetch_max(took, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !is_answered {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A stream that waits for news, in one era or the other.
    async fn listen(&self, number: usize) -> Stream {
        let token = &self.tokens[number % CALLERS];
        let (status, body) = if number.is_multiple_of(2) {
            let params = json!({"notifications": {"toolsListChanged": true}});
            self.send_modern(token, "subscriptions/listen", params)
                .await
        } else {
            let version = ("mcp-protocol-version", LEGACY);
            let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
            let begin =
                json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
            let (_, _, session) = self.send(token, &[version], begin.to_string()).await;
            let headers = [version, ("mcp-session-id", session.as_str())];
            let (status, body, _) = self.send(token, &headers, String::new()).await;
            (status, body)
        };
        assert_eq!(status, 200);
        let mut stream = BodyDataStream::new(body);
        assert!(stream.next().await.unwrap().is_ok(), "the beginning");
        stream
    }
}

/// What upstreams were asked besides calls, and over how many connections.
fn asked(upstreams: &[FakeMcp]) -> Vec<(usize, usize)> {
    let upstreams = upstreams.iter().skip(1);
    upstreams
        .map(|upstream| {
            let methods = upstream.methods();
            let calls = methods.iter().filter(|method| *method == "tools/call");
            let calls = calls.count();
            (methods.len() - calls, calls)
        })
        .collect()
}

/// Waits until every upstream is listened to and was asked for everything: on a busy machine some are late.
async fn until_settled(upstreams: &[FakeMcp]) {
    let settling = async {
        let others = |asked: Vec<(usize, usize)>| asked.into_iter().map(|(others, _)| others);
        loop {
            let before = asked(upstreams);
            tokio::time::sleep(Duration::from_millis(500)).await;
            let are_heard = upstreams.iter().all(|one| one.open_streams() == 1);
            if are_heard && others(before).eq(others(asked(upstreams))) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(30), settling).await.unwrap();
}

async fn many() -> (World, Vec<FakeMcp>, Configured) {
    let mut upstreams = Vec::new();
    for _ in 0..TARGETS {
        upstreams.push(FakeMcp::start(Script::modern()).await.unwrap());
    }
    let names: Vec<String> = (0..TARGETS).map(|number| format!("t{number}")).collect();
    let targets: Vec<(&str, String)> = names
        .iter()
        .map(String::as_str)
        .zip(upstreams.iter().map(FakeMcp::url))
        .collect();
    let idp = FakeIdp::start().await.unwrap();
    let mut declared = settings(&idp, &targets);
    for target in &mut declared.targets {
        // Nothing but a reload makes a list be asked for.
        target.freshness.max_age = Duration::from_hours(1);
    }
    let spare = FakeMcp::start(Script::modern()).await.unwrap();
    let mut configured = None;
    let world = assemble(spare, idp, declared, |all| {
        // A busy machine is no reason to give a stream up and open it again.
        for target in &mut all.targets {
            target.timeouts.handshake = Duration::from_mins(1);
        }
        configured = Some(all.clone());
    });
    (world, upstreams, configured.unwrap())
}

/// Replaces the gateway by one that is declared a little differently, as a reload of the configuration does.
async fn reload(world: &World, calling: &Calling, configured: &Configured) {
    let before = calling.gateway.load_full();
    let parts = world.parts.clone();
    let next = Gateway::following(configured.clone(), parts, Some(&*before)).unwrap();
    next.start();
    next.settle().await;
    calling.gateway.store(Arc::new(next.clone()));
    before.give_way(Some(&next)).await;
}

/// Whether a piece of a stream says that the tools changed; an end is an error of the test.
fn says_so(piece: Option<Result<Bytes, net::body::BoxError>>) -> bool {
    let piece = piece.expect("a stream ended").unwrap();
    String::from_utf8_lossy(&piece).contains("list_changed")
}

/// Whether a stream says so by now.
fn was_told(stream: &mut Stream) -> bool {
    let mut told = false;
    while let Some(piece) = stream.next().now_or_never() {
        told |= says_so(piece);
    }
    told
}

/// Waits until a stream says so.
async fn is_told(stream: &mut Stream) {
    let waiting = async { while !says_so(stream.next().await) {} };
    timeout(Duration::from_secs(30), waiting).await.unwrap();
}

// SEC-90
#[expect(
    clippy::print_stdout,
    reason = "the figures, for who wants to see them"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_target_of_many_changes_and_nobody_else_is_disturbed() {
    let (world, upstreams, mut configured) = many().await;
    let token = |number: usize| {
        let mut claims = world.idp.claims(AUDIENCE, world.now());
        claims["sub"] = json!(format!("caller-{number}"));
        world.idp.token(&claims).unwrap()
    };
    let calling = Arc::new(Calling {
        gateway: ArcSwap::from_pointee(world.gateway.clone()),
        tokens: (0..CALLERS).map(token).collect(),
        calls: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
        longest: AtomicU64::new(0),
    });
    world.gateway.settle().await;
    let mut streams = Vec::new();
    for number in 0..CALLERS * STREAMS_OF_EACH {
        streams.push(calling.listen(number).await);
    }
    let begin = {
        let (calling, tasks) = (Arc::clone(&calling), world.tasks.clone());
        move |from: usize| {
            for number in from..from + CALLS_AT_ONCE {
                let calling = Arc::clone(&calling);
                tasks.spawn(async move { calling.call(number).await });
            }
        }
    };
    let pacing = world.tasks.spawn(async move {
        let mut ticks = interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0.. {
            ticks.tick().await;
            begin(round * CALLS_AT_ONCE);
        }
    });
    let until_calls = async |more: usize| {
        let wanted = calling.calls.load(Ordering::Relaxed) + more;
        while calling.calls.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Each target was called, so that each has a connection, and all streams have heard what there is.
    until_calls(5 * TARGETS).await;
    until_settled(&upstreams).await;
    for stream in &mut streams {
        was_told(stream);
    }
    let before = asked(&upstreams);
    let keys = (world.idp.fetches().discovery, world.idp.fetches().keys);

    // Another bound of one target: its tools stay the same.
    configured.targets[0].limits.calls = 7;
    reload(&world, &calling, &configured).await;
    until_calls(5 * TARGETS).await;
    for stream in &mut streams {
        assert!(!was_told(stream));
    }
    // Other tools of one target: everybody is told.
    upstreams[0].change(|script| script.tools = vec![tool("new")]);
    configured.targets[0].limits.calls = 8;
    let begun = Instant::now();
    reload(&world, &calling, &configured).await;
    for stream in &mut streams {
        is_told(stream).await;
    }
    let told_within = begun.elapsed();
    until_calls(5 * TARGETS).await;
    pacing.abort();

    assert_eq!(calling.failed.load(Ordering::Relaxed), 0);
    let after = asked(&upstreams);
    for ((before, after), upstream) in before.iter().zip(&after).zip(&upstreams[1..]) {
        let mut asked = upstream.methods();
        asked.retain(|method| method != "tools/call");
        assert_eq!(
            after.0, before.0,
            "asked for what it said before: {asked:?}"
        );
        assert!(after.1 > before.1, "called");
    }
    assert_eq!(
        (world.idp.fetches().discovery, world.idp.fetches().keys),
        keys
    );
    println!(
        "{} streams, {} targets, {} calls; the longest call took {} ms; all were told within {} ms",
        streams.len(),
        TARGETS,
        calling.calls.load(Ordering::Relaxed),
        calling.longest.load(Ordering::Relaxed) / 1000,
        told_within.as_millis(),
    );
}
