//! Hearing of changes of a server's list of tools.

use mcp::feature::Feature;
use std::time::Duration;

use model::target::Target;
use testkit::fake_mcp::{Act, FakeMcp, Script, tool};

use crate::world::{World, mcp_server, world, world_with};

fn kinds() -> [Script; 3] {
    [
        Script::modern(),
        Script::legacy(),
        Script::legacy_without_sessions(),
    ]
}

/// The question for notifications, in each era, and a server that is asked it.
fn questions() -> [(&'static str, Script); 2] {
    [
        ("GET", Script::legacy()),
        ("subscriptions/listen", Script::modern()),
    ]
}

async fn watched(script: Script) -> World {
    let world = world_with(script, |settings| {
        settings.freshness.first_pause = Duration::from_millis(20);
    })
    .await;
    world.run();
    world
        .fake
        .until("it listens", |fake| fake.open_streams() == 1)
        .await
        .unwrap();
    // The list is asked for once more when the stream is open: it may have changed before.
    world
        .fake
        .until("it lists after that", |fake| {
            fake.seen_of("tools/list").len() == 2
        })
        .await
        .unwrap();
    world
}

fn becomes(fake: &FakeMcp, name: &str) {
    fake.change(|script| script.tools = vec![tool(name)]);
}

// UC-8, D4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_announced_change_is_seen() {
    for script in kinds() {
        let world = watched(script).await;
        becomes(&world.fake, "new");
        world.fake.announce_tools_changed();
        world.until_listed(|names| names == ["new"]).await;
    }
}

// TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_server_is_asked_for_changes_of_tools_only() {
    let world = watched(Script::modern()).await;
    let listen = world.fake.seen_of("subscriptions/listen").pop().unwrap();
    let filter = &listen.json()["params"]["notifications"];
    assert_eq!(filter, &serde_json::json!({"toolsListChanged": true}));
    assert_eq!(listen.header("mcp-method"), Some("subscriptions/listen"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_broken_stream_is_opened_again_and_the_list_asked_for() {
    for script in kinds() {
        let world = watched(script).await;
        becomes(&world.fake, "changed-meanwhile");
        world.fake.drop_streams();
        world
            .until_listed(|names| names == ["changed-meanwhile"])
            .await;
        world
            .fake
            .until("it listens again", |fake| fake.open_streams() == 1)
            .await
            .unwrap();
    }
}

// TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_was_ended_in_order_is_opened_again() {
    for script in kinds() {
        let world = watched(script).await;
        world.fake.finish_streams();
        world
            .fake
            .until("it is closed", |fake| fake.open_streams() == 0)
            .await
            .unwrap();
        world
            .fake
            .until("it listens again", |fake| fake.open_streams() == 1)
            .await
            .unwrap();
    }
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_forgotten_session_does_not_end_the_watching() {
    let world = watched(Script::legacy()).await;
    world.fake.forget_sessions();
    becomes(&world.fake, "after-restart");
    world.fake.drop_streams();
    world.until_listed(|names| names == ["after-restart"]).await;
}

// TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_the_announced_stream_is_asked_now_and_then() {
    for (what, script) in questions() {
        let mut script = script.on(what, Act::status(405, ""));
        script.ttl_ms = 0;
        let world = world_with(script, |settings| {
            settings.freshness.max_age = Duration::from_millis(50);
        })
        .await;
        world.run();
        world.until_listed(|names| names.len() == 5).await;
        becomes(&world.fake, "new");
        world.until_listed(|names| names == ["new"]).await;
        assert_eq!(world.fake.seen_of(what).len(), 1, "{what} is asked once");
    }
}

/// A server that answers so to the question for its notifications at first is listened to later.
async fn recovers(question: &str, script: Script, act: Act, change: impl FnOnce(&mut Target)) {
    let world = world_with(script.on(question, act), |settings| {
        settings.freshness.first_pause = Duration::from_millis(20);
        change(settings);
    })
    .await;
    world.run();
    world
        .fake
        .until("it is asked", |fake| !fake.seen_of(question).is_empty())
        .await
        .unwrap();
    world.fake.change(|script| script.acts.clear());
    world
        .fake
        .until("it listens", |fake| fake.open_streams() == 1)
        .await
        .unwrap();
}

// UC-8, TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_in_trouble_is_asked_for_its_notifications_again_soon() {
    for (question, script) in questions() {
        for status in [408, 429, 500, 502, 503, 504] {
            recovers(question, script.clone(), Act::status(status, ""), |_| {}).await;
        }
    }
}

// TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_acknowledges_late_is_asked_for_its_notifications_again_soon() {
    let (question, act) = ("subscriptions/listen", Act::HangAfterHead);
    recovers(question, Script::modern(), act, |settings| {
        settings.timeouts.handshake = Duration::from_millis(300);
    })
    .await;
}

// TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_the_announced_stream_is_asked_for_it_again_later() {
    let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"unknown"}}"#;
    for (question, script) in questions() {
        for act in [
            Act::status(405, ""),
            Act::status(501, ""),
            Act::json("{}"),
            Act::status(400, unknown),
        ] {
            recovers(question, script.clone(), act, |settings| {
                // What was only in trouble is not asked again before the test gives up.
                settings.freshness.first_pause = Duration::from_mins(5);
                settings.freshness.not_offered = Duration::from_millis(20);
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_announces_nothing_is_not_listened_to() {
    for mut script in kinds() {
        script.list_changed = false;
        script.ttl_ms = 0;
        let world = world_with(script, |settings| {
            settings.freshness.max_age = Duration::from_millis(50);
        })
        .await;
        world.run();
        world
            .fake
            .until("it lists twice", |fake| {
                fake.seen_of("tools/list").len() >= 2
            })
            .await
            .unwrap();
        assert!(world.fake.seen_of("GET").is_empty());
        assert!(world.fake.seen_of("subscriptions/listen").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_down_at_first_is_listed_when_it_comes() {
    let elsewhere = FakeMcp::start(Script::modern()).await.unwrap();
    let address = elsewhere.address();
    elsewhere.stop().await;

    let url = format!("http://{address}/mcp").parse().unwrap();
    let mut settings = mcp_server(url);
    settings.freshness.first_pause = Duration::from_millis(20);
    let mut world = world(Script::modern()).await;
    let target = targets::Target::new(settings, &world.pool, world.tracker.clone()).unwrap();
    world.target = target;
    let mut changes = world.target.changes(Feature::Tools);
    world.run();
    changes.changed().await.unwrap();
    assert!(world.target.listing(Feature::Tools).failure.is_some());

    world.fake = FakeMcp::start_at(Script::modern(), address).await.unwrap();
    world.until_listed(|names| names.len() == 5).await;
    assert!(world.target.listing(Feature::Tools).failure.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unchanged_list_is_not_announced_to_the_gateway() {
    let world = watched(Script::modern()).await;
    let mut changes = world.target.changes(Feature::Tools);
    changes.mark_unchanged();
    let before = world.fake.seen_of("tools/list").len();
    world.fake.announce_tools_changed();
    world
        .fake
        .until("it is listed again", |fake| {
            fake.seen_of("tools/list").len() > before
        })
        .await
        .unwrap();
    assert!(!changes.has_changed().unwrap());
}

// TL-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_announced_in_mid_call_is_seen() {
    let events = concat!(
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n",
    );
    let mut script = Script::legacy().on("tools/call", Act::Events(events.to_owned()));
    script.list_changed = false;
    let world = world(script).await;
    world.run();
    world.until_listed(|names| names.len() == 5).await;
    becomes(&world.fake, "new");
    world.call("echo", "{}").await.unwrap();
    world.until_listed(|names| names == ["new"]).await;
}
