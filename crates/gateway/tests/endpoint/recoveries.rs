//! What was wrong with a target for a while is over when it is over, and reaches nobody else meanwhile.

use std::time::Duration;

use http::Method;
use serde_json::json;
use testkit::fake_mcp::{Act, FakeMcp, Script};

use crate::messages::Messages;
use crate::world::{LEGACY, MODERN, world, world_with};

// UC-2, SEC-90: a target of the stateless era that was silent once, when it was asked what it speaks, and then refuses
// `initialize` by naming its version, has what it says that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_whose_first_answer_was_lost_is_got_to_know_all_the_same() {
    let mut script = Script::modern()
        .with_prompts(vec![json!({"name": "greet"})])
        .on("server/discover", Act::Hang);
    script.completes = true;
    let world = world_with(script, |settings| {
        let target = &mut settings.targets[0];
        target.timeouts.handshake = Duration::from_millis(600);
        target.freshness.max_age = Duration::from_millis(200);
    })
    .await;
    let once = |fake: &FakeMcp| !fake.seen_of("initialize").is_empty();
    world
        .upstream
        .until("the other question", once)
        .await
        .unwrap();
    world.upstream.change(|script| script.acts.clear());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let listed = world.ask(MODERN, "prompts/list", json!({})).await;
        if listed["result"]["prompts"].to_string().contains("greet") {
            return;
        }
        let seen = world.upstream.methods();
        assert!(
            tokio::time::Instant::now() < deadline,
            "{listed}; {} x {:?}",
            seen.len(),
            &seen[..seen.len().min(12)]
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// UC-8, SEC-90: a session that the target does not take for begun is begun anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_whose_beginning_the_target_did_not_take_note_of_is_begun_anew() {
    let world = world(Script::legacy()).await;
    world.gateway.settle().await;
    let refusal = Act::status(503, "not now");
    world
        .upstream
        .change(|script| script.acts = vec![("notifications/initialized".to_owned(), refusal)]);
    world.alice().call(LEGACY, "echo", json!({})).await;
    world.upstream.change(|script| script.acts.clear());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let called = world
            .alice()
            .call(LEGACY, "echo", json!({}))
            .await
            .json()
            .await;
        if called["result"].is_object() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{called}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// SEC-66, SEC-79: at whichever resource the target breaks for one, the other hears of his.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_hears_of_his_own_resource_while_the_target_breaks_at_the_other_s() {
    let resource = |uri| json!({"uri": uri, "name": uri});
    let (hers, his) = ("file:///of-alice", "file:///of-mallory");
    for fault in [Act::Hang, Act::Close, Act::json("{}")] {
        let mut script = Script::legacy()
            .with_resources(vec![resource(hers), resource(his)], vec![])
            .on(
                "resources/subscribe",
                Act::unless("of-alice", fault.clone()),
            );
        script.subscribes = true;
        let world = world(script).await;
        let id = world.alice().initialize().await;
        let alice = world.alice().with("mcp-session-id", id);
        let id = world.mallory().initialize().await;
        let mallory = world.mallory().with("mcp-session-id", id);
        let stream = alice.clone().with("accept", "text/event-stream");
        let headers = [("mcp-protocol-version", LEGACY)];
        let mut updates = Messages::of(stream.send(Method::GET, "/mcp", &headers, "").await);
        alice
            .legacy("resources/subscribe", json!({"uri": hers}))
            .await;
        let subscribing = mallory.legacy("resources/subscribe", json!({"uri": his}));
        let telling = async {
            let asked = |fake: &FakeMcp| fake.seen().iter().any(|seen| seen.body.contains(his));
            world
                .upstream
                .until("his subscription", asked)
                .await
                .unwrap();
            world.upstream.announce_updated(hers);
            let update = async {
                while updates.next().await.unwrap()["method"] != "notifications/resources/updated" {
                }
            };
            let heard = tokio::time::timeout(Duration::from_secs(9), update).await;
            assert!(
                heard.is_ok(),
                "{fault:?}: she hears nothing; GETs: {}",
                world.upstream.seen_of("GET").len()
            );
        };
        tokio::join!(subscribing, telling);
        for actor in [alice, mallory] {
            actor.send(Method::DELETE, "/mcp", &[], "").await;
        }
    }
}
