//! A reload disturbs only what it changes: streams, sessions, connections and lists of everything else go on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::{Method, Response};
use model::target::{Target, TargetKind};
use net::body::Body;
use net::edge::Site as _;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, FakeMcp, Script, tool};

use crate::world::{LEGACY, MODERN, World, world, world_with};

/// A stream in an era that waits for news about the list of tools.
struct Listener(Box<dyn Stream<Item = Bytes> + Unpin + Send>);

impl Listener {
    async fn open(world: &World, era: &str) -> Self {
        let stream = if era == MODERN {
            let params = json!({"notifications": {"toolsListChanged": true}});
            let answer = world.alice().modern("subscriptions/listen", params).await;
            answer.stream()
        } else {
            let session = world.alice().initialize().await;
            let alice = world.alice().with("mcp-session-id", session);
            let alice = alice.with("accept", "text/event-stream");
            alice.send(Method::GET, "/mcp", &[], "").await.stream()
        };
        let mut listener = Self(Box::new(stream));
        assert!(listener.piece().await.is_some(), "the beginning");
        listener
    }

    async fn piece(&mut self) -> Option<Bytes> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.0.next());
        next.await.expect("something comes")
    }

    /// The next message; none at the end.
    async fn message(&mut self) -> Option<Value> {
        loop {
            let piece = self.piece().await?;
            let mut events = Vec::new();
            mcp::sse::Decoder::new(mcp::sse::Limits::default())
                .push(&piece, &mut events)
                .unwrap();
            if let Some(event) = events.first() {
                return Some(serde_json::from_slice(&event.data).unwrap());
            }
        }
    }

    async fn is_told(&mut self) -> bool {
        let message = self.message().await.expect("the stream goes on");
        message["method"] == "notifications/tools/list_changed"
    }

    /// Nothing but the end comes: of a modern client's request, with its answer.
    async fn ends(mut self, era: &str) {
        if era == MODERN {
            assert_eq!(
                self.message().await.unwrap()["result"]["resultType"],
                "complete"
            );
        }
        assert_eq!(self.message().await, None);
    }
}

/// The tools, asked for so that they are known.
async fn tools(world: &World) -> usize {
    let answer = world
        .alice()
        .modern("tools/list", json!({}))
        .await
        .json()
        .await;
    answer["result"]["tools"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_streams_of_a_gateway_go_on_over_a_reload_and_hear_of_later_changes() {
    for era in [MODERN, LEGACY] {
        let mut world = world(Script::legacy()).await;
        assert_eq!(tools(&world).await, 5);
        let mut listener = Listener::open(&world, era).await;
        let made = world
            .upstream
            .methods()
            .iter()
            .filter(|it| *it == "initialize")
            .count();
        world
            .reload_with(|settings| settings.limits.page_size = 7)
            .await;
        world
            .reload_with(|settings| settings.limits.page_size = 8)
            .await;
        world
            .upstream
            .change(|script| script.tools.push(tool("new")));
        world.upstream.announce_tools_changed();
        assert!(listener.is_told().await, "{era}");
        assert_eq!(tools(&world).await, 6);
        let methods = world.upstream.methods();
        let made_since = methods.iter().filter(|it| *it == "initialize").count();
        assert_eq!(
            made_since, made,
            "the sessions of the target go on: {methods:?}"
        );
        assert!(!methods.contains(&"DELETE".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_are_told_where_a_reload_changes_the_list() {
    for era in [MODERN, LEGACY] {
        let mut world = world(Script::dual()).await;
        assert_eq!(tools(&world).await, 5);
        let mut listener = Listener::open(&world, era).await;
        let other = FakeMcp::start(Script::dual().with_tools(vec![tool("more")]))
            .await
            .unwrap();
        let url = other.url();
        world
            .reload_with(|settings| {
                let kind = TargetKind::mcp(url.parse().unwrap());
                settings
                    .targets
                    .push(Target::new("other".parse().unwrap(), kind));
            })
            .await;
        assert!(listener.is_told().await, "{era}: there is one more");
        assert_eq!(tools(&world).await, 6);
        world.reload_with(|_| {}).await;
        assert!(listener.is_told().await, "{era}: there is one less");
        assert_eq!(tools(&world).await, 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn streams_end_where_it_is_decided_differently_who_may_call() {
    for era in [MODERN, LEGACY] {
        let mut world = world(Script::dual()).await;
        assert_eq!(tools(&world).await, 5);
        let listener = Listener::open(&world, era).await;
        world
            .reload_with(|settings| settings.allowed_origins = Vec::new())
            .await;
        listener.ends(era).await;
        let mut listener = Listener::open(&world, era).await;
        world.reload_with(|settings| settings.targets.clear()).await;
        assert!(
            listener.is_told().await,
            "{era}: the other list is said before the end"
        );
        listener.ends(era).await;
        let listener = Listener::open(&world, era).await;
        world.gateway.give_way(None).await;
        listener.ends(era).await;
    }
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_a_reload_overtakes_is_answered() {
    let mut world = world_with(Script::dual(), |_| {}).await;
    let call = call_under_way(&world, Act::Slow(Duration::from_millis(300))).await;
    world.reload_with(|settings| settings.targets.clear()).await;
    assert_eq!(call.await.status(), 200);
}

/// A call that has reached its target, which then does this.
async fn call_under_way(world: &World, act: Act) -> BoxFuture<'static, Response<Body>> {
    tools(world).await;
    let (headers, body) = crate::world::modern(
        "tools/call",
        json!({"name": "my-mcp-server___echo", "arguments": {"a": 1}}),
    );
    world.upstream.change(|script| {
        script.acts.push(("tools/call echo".to_owned(), act));
    });
    let mut request = http::Request::post("/mcp").body(Body::full(body)).unwrap();
    for (name, value) in &headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let token = format!("Bearer {}", world.token());
    request
        .headers_mut()
        .insert("authorization", token.parse().unwrap());
    let (before, peer) = (world.gateway.clone(), crate::world::peer());
    let mut call = async move { before.call(request, &peer).await }.boxed();
    let arrived = |fake: &FakeMcp| !fake.seen_of("tools/call").is_empty();
    tokio::select! {
        answer = &mut call => panic!("it is answered before it arrived: {answer:?}"),
        arrived = world.upstream.until("the call", arrived) => arrived.unwrap(),
    }
    call
}

/// Puts five gateways one after the other into the place of the one that is there; of each something that only it holds.
async fn reload_often(world: &mut World) -> Vec<Weak<dyn Fn(&str) -> bool + Send + Sync>> {
    let mut held = Vec::new();
    for page_size in 10..15 {
        world.parts.revoked = Arc::new(|_| false);
        held.push(Arc::downgrade(&world.parts.revoked));
        world
            .reload_with(|settings| settings.limits.page_size = page_size)
            .await;
    }
    world.parts.revoked = Arc::new(|_| false);
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_long_call_keeps_the_gateway_that_it_began_at_and_none_of_the_later_ones() {
    let mut world = world_with(Script::dual(), |_| {}).await;
    let call = call_under_way(&world, Act::Hang).await;
    let held = reload_often(&mut world).await;
    let there: Vec<_> = held.iter().map(|one| one.strong_count() > 0).collect();
    assert_eq!(there, [false, false, false, false, true]);
    drop(call);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_sleeps_over_many_reloads_goes_on_at_the_last_one_and_keeps_none_between() {
    for era in [MODERN, LEGACY] {
        let mut world = world(Script::dual()).await;
        assert_eq!(tools(&world).await, 5);
        let mut listener = Listener::open(&world, era).await;
        let held = reload_often(&mut world).await;
        let there: Vec<_> = held.iter().map(|one| one.strong_count() > 0).collect();
        assert_eq!(there, [false, false, false, false, true], "{era}");
        world
            .upstream
            .change(|script| script.tools.push(tool("new")));
        world.upstream.announce_tools_changed();
        assert!(listener.is_told().await, "{era}");
        assert_eq!(tools(&world).await, 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_reload_asks_unchanged_targets_for_nothing() {
    let mut script = Script::modern().with_tools(vec![tool("a")]);
    script.list_changed = false;
    let slow = |settings: &mut model::gateway::Gateway| {
        for target in &mut settings.targets {
            target.freshness.max_age = Duration::from_hours(1);
        }
    };
    let mut world = world_with(script, slow).await;
    assert_eq!(tools(&world).await, 1);
    let before = (world.upstream.seen().len(), world.upstream.connections());
    for whole in [true, false] {
        if whole {
            // As it is carried over when nothing of it changed.
            world.gateway.start();
        } else {
            world
                .reload_with(|settings| {
                    slow(settings);
                    settings.limits.keep_alive += Duration::from_secs(1);
                })
                .await;
        }
        assert_eq!(tools(&world).await, 1);
    }
    let after = (world.upstream.seen().len(), world.upstream.connections());
    assert_eq!(after, before);
}
