//! Updates of resources: subscribed to in either era, at targets of either era, by those who may and by nobody else.

use http::Method;
use serde_json::{Value, json};
use testkit::fake_mcp::{FakeMcp, Script};

use crate::messages::Messages;
use crate::world::{Actor, LEGACY, MODERN, World, in_each_era, world};

const WATCHED: &str = "file:///watched";
const OTHER: &str = "file:///other";

fn script(script: Script) -> Script {
    let resource = |uri| json!({"uri": uri, "name": uri});
    let mut script = script.with_resources(vec![resource(WATCHED), resource(OTHER)], vec![]);
    script.subscribes = true;
    script
}

async fn targets() -> Vec<World> {
    in_each_era(script).await
}

/// A session with its standalone stream.
async fn session(actor: Actor<'_>) -> (Actor<'_>, Messages) {
    let id = actor.initialize().await;
    let actor = actor.with("mcp-session-id", id);
    let stream = actor.clone().with("accept", "text/event-stream");
    let headers = [("mcp-protocol-version", LEGACY)];
    let stream = stream.send(Method::GET, "/mcp", &headers, "").await;
    (actor, Messages::of(stream))
}

async fn listen(actor: &Actor<'_>, uris: &[&str]) -> Messages {
    let params = json!({"notifications": {"resourceSubscriptions": uris}});
    Messages::of(actor.modern("subscriptions/listen", params).await)
}

/// Waits until the target was told this by us.
async fn until_told(world: &World, method: &str, count: usize) {
    let told = |fake: &FakeMcp| fake.seen_of(method).len() >= count;
    world.upstream.until(method, told).await.unwrap();
}

fn is_update(message: &Value, uri: &str) -> bool {
    message["method"] == "notifications/resources/updated" && message["params"]["uri"] == uri
}

/// The next message about a resource; lists may change meanwhile.
async fn next_update(messages: &mut Messages) -> Value {
    loop {
        let message = messages.next().await.unwrap();
        if message["method"] == "notifications/resources/updated" {
            return message;
        }
    }
}

// TM-15, TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn updates_arrive_in_every_cell() {
    for world in targets().await {
        let (alice, mut updates) = session(world.alice()).await;
        let params = json!({"uri": WATCHED});
        let answer = alice.legacy("resources/subscribe", params.clone()).await;
        assert_eq!(answer.json().await["result"], json!({}));
        let mut modern = listen(&world.alice(), &[WATCHED, "file:///none"]).await;
        let acknowledged = modern.next().await.unwrap();
        assert_eq!(
            acknowledged["params"]["notifications"],
            json!({"resourceSubscriptions": [WATCHED]})
        );
        world.upstream.announce_updated(OTHER);
        world.upstream.announce_updated(WATCHED);
        let update = next_update(&mut updates).await;
        assert!(is_update(&update, WATCHED), "{update}");
        let update = next_update(&mut modern).await;
        assert!(is_update(&update, WATCHED), "{update}");
        assert_eq!(
            update["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
            1
        );
        // Two who want to hear of one resource are one to the target.
        let subscribed = world.upstream.seen_of("resources/subscribe");
        let subscribed: Vec<_> = subscribed
            .iter()
            .filter(|seen| seen.json()["params"]["uri"] == WATCHED)
            .collect();
        assert!(subscribed.len() <= 1, "{subscribed:?}");
        drop(modern);
        let answer = alice.legacy("resources/unsubscribe", params).await;
        assert_eq!(answer.json().await["result"], json!({}));
        if !subscribed.is_empty() {
            until_told(&world, "resources/unsubscribe", 1).await;
        }
    }
}

// SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_hears_of_what_he_subscribed_to_himself() {
    for world in targets().await {
        let (alice, mut of_alice) = session(world.alice()).await;
        let (mallory, mut of_mallory) = session(world.mallory()).await;
        for (actor, uri) in [(&alice, WATCHED), (&mallory, OTHER)] {
            let answer = actor
                .legacy("resources/subscribe", json!({"uri": uri}))
                .await;
            assert_eq!(answer.json().await["result"], json!({}));
        }
        // Nobody ends what somebody else began.
        mallory
            .legacy("resources/unsubscribe", json!({"uri": WATCHED}))
            .await;
        world.upstream.announce_updated(WATCHED);
        assert!(is_update(&next_update(&mut of_alice).await, WATCHED));
        world.upstream.announce_updated(OTHER);
        assert!(is_update(&next_update(&mut of_mallory).await, OTHER));
        for actor in [&alice, &mallory] {
            actor.send(Method::DELETE, "/mcp", &[], "").await;
        }
        for mut messages in [of_alice, of_mallory] {
            while messages.next().await.is_some() {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_target_does_not_tell_of_is_refused() {
    for world in targets().await {
        let (alice, _updates) = session(world.alice()).await;
        for (params, code) in [
            (json!({"uri": "file:///none"}), [-32002, -32602]),
            (json!({"uri": 7}), [-32602, -32602]),
            (json!({}), [-32602, -32602]),
        ] {
            let refused = alice.legacy("resources/subscribe", params).await;
            let (status, found) = refused.refusal().await;
            assert!(status == 200 && code.contains(&found), "{found}");
        }
        let without = world.alice();
        let refused = without
            .legacy("resources/subscribe", json!({"uri": WATCHED}))
            .await;
        assert_eq!(refused.refusal().await, (200, -32602));
    }
    let resource = json!({"uri": WATCHED, "name": "x"});
    let world = world(Script::dual().with_resources(vec![resource], vec![])).await;
    let (alice, _updates) = session(world.alice()).await;
    let answer = alice
        .legacy("resources/subscribe", json!({"uri": WATCHED}))
        .await;
    assert_eq!(answer.refusal().await.1, -32601);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn subscriptions_survive_a_broken_stream_of_the_target() {
    for world in targets().await {
        let (alice, mut updates) = session(world.alice()).await;
        alice
            .legacy("resources/subscribe", json!({"uri": WATCHED}))
            .await;
        world.upstream.announce_updated(WATCHED);
        assert!(is_update(&next_update(&mut updates).await, WATCHED));
        world.upstream.drop_streams();
        let none = |fake: &FakeMcp| fake.open_streams() == 0;
        world.upstream.until("no stream", none).await.unwrap();
        let one = |fake: &FakeMcp| fake.open_streams() == 1;
        world.upstream.until("a stream", one).await.unwrap();
        world.upstream.announce_updated(WATCHED);
        assert!(is_update(&next_update(&mut updates).await, WATCHED));
        alice.send(Method::DELETE, "/mcp", &[], "").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_be_subscribed_to_is_declared() {
    for world in targets().await {
        for (era, method) in [(MODERN, "server/discover"), (LEGACY, "initialize")] {
            world.alice().modern("tools/list", json!({})).await;
            let declared = world
                .ask(era, method, json!({"protocolVersion": LEGACY}))
                .await;
            let resources = &declared["result"]["capabilities"]["resources"];
            assert_eq!(*resources, json!({"listChanged": true, "subscribe": true}));
        }
    }
}
