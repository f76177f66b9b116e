//! The list of tools: paged, kept current, whole even when a target is not.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Method;
use model::gateway::ToolNames;
use serde_json::{Value, json};
use testkit::fake_idp::FakeIdp;
use testkit::fake_mcp::{Act, FakeMcp, Script, tool};

use crate::world::{Actor, World, assemble, settings, world, world_with};

async fn names(actor: &Actor<'_>) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() {
            json!({})
        } else {
            json!({"cursor": cursor})
        };
        let result = actor.modern("tools/list", params).await.json().await["result"].clone();
        let tools = result["tools"].as_array().unwrap();
        names.extend(
            tools
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        match result.get("nextCursor") {
            None => return names,
            Some(next) => cursor = next.clone(),
        }
    }
}

/// Asks again until the list is as expected, for ten seconds at most.
async fn until_names(world: &World, expected: &[&str]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let names = names(&world.alice()).await;
        if names == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{names:?}");
        tokio::task::yield_now().await;
    }
}

fn tools(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| tool(name)).collect()
}

// UC-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_list_is_paged_and_complete() {
    let many: Vec<String> = (0..25).map(|number| format!("t{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut script = Script::dual().with_tools(tools(&many));
    script.page_size = 7;
    let world = world_with(script, |settings| settings.limits.page_size = 10).await;
    let listed = names(&world.alice()).await;
    assert_eq!(listed.len(), 25);
    assert_eq!(
        (listed[0].as_str(), listed[24].as_str()),
        ("my-mcp-server___t0", "my-mcp-server___t24")
    );
}

// UC-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cursor_that_is_not_ours_is_refused() {
    let world = world(Script::dual()).await;
    for cursor in [json!("x"), json!(7), json!({})] {
        let answer = world
            .alice()
            .modern("tools/list", json!({"cursor": cursor}))
            .await;
        assert_eq!(answer.refusal().await, (200, -32602), "{cursor}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn definitions_keep_every_byte_but_the_name() {
    let definition = json!({"name": "x", "title": "X", "inputSchema": {"type": "object"}, "unknown": {"a": [1.5]}, "_meta": {"ui": 1}});
    let world = world(Script::dual().with_tools(vec![definition.clone()])).await;
    let listed = world
        .alice()
        .modern("tools/list", json!({}))
        .await
        .json()
        .await;
    let mut expected = definition;
    expected["name"] = json!("my-mcp-server___x");
    assert_eq!(listed["result"]["tools"][0], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bare_names_are_those_of_the_target() {
    let world = world_with(Script::dual(), |settings| {
        settings.tool_names = ToolNames::Bare;
    })
    .await;
    assert!(names(&world.alice()).await.contains(&"echo".to_owned()));
    let answer = world
        .alice()
        .modern("tools/call", json!({"name": "echo", "arguments": {}}))
        .await;
    assert_eq!(answer.status, 200);
    let sent = world.upstream.seen_of("tools/call")[0].json();
    assert_eq!(sent["params"]["name"], "echo");
}

async fn two_targets(first: &[&str], second: Script, names: ToolNames) -> (World, FakeMcp) {
    let upstream = FakeMcp::start(Script::dual().with_tools(tools(first)))
        .await
        .unwrap();
    let other = FakeMcp::start(second).await.unwrap();
    let idp = FakeIdp::start().await.unwrap();
    let settings = settings(&idp, &[("one", upstream.url()), ("two", other.url())]);
    let world = assemble(upstream, idp, settings, |settings| {
        settings.tool_names = names;
    });
    (world, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_two_bare_tools_with_one_name_the_later_is_hidden() {
    let second = Script::dual().with_tools(tools(&["b", "c"]));
    let (world, other) = two_targets(&["a", "b"], second, ToolNames::Bare).await;
    assert_eq!(names(&world.alice()).await, ["a", "b", "c"]);
    world
        .alice()
        .modern("tools/call", json!({"name": "b", "arguments": {}}))
        .await;
    assert_eq!(world.upstream.seen_of("tools/call").len(), 1);
    assert!(other.seen_of("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bare_tool_that_moves_to_another_target_is_called_there() {
    let second = Script::dual().with_tools(tools(&["b"]));
    let (world, other) = two_targets(&["a", "b"], second, ToolNames::Bare).await;
    until_names(&world, &["a", "b"]).await;
    world
        .upstream
        .until("a notification stream", |fake| fake.open_streams() > 0)
        .await
        .unwrap();
    world.upstream.change(|script| script.tools = tools(&["a"]));
    world.upstream.announce_tools_changed();
    // The list looks the same as before; only who answers has changed.
    let call = || async {
        let params = json!({"name": "b", "arguments": {}});
        world.alice().modern("tools/call", params).await;
        !other.seen_of("tools/call").is_empty()
    };
    let moved = async {
        while !call().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), moved)
        .await
        .unwrap();
}

/// Nothing but a call that misses it makes the list be asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_tool_is_found_when_it_is_called() {
    for names in [ToolNames::Prefixed, ToolNames::Bare] {
        let mut script = Script::modern().with_tools(tools(&["a"]));
        script.list_changed = false;
        let world = world_with(script, |settings| {
            settings.tool_names = names;
            for target in &mut settings.targets {
                target.freshness.max_age = Duration::from_hours(1);
            }
        })
        .await;
        let (known, new) = match names {
            ToolNames::Prefixed => ("my-mcp-server___a", "my-mcp-server___b"),
            ToolNames::Bare => ("a", "b"),
        };
        until_names(&world, &[known]).await;
        world
            .upstream
            .change(|script| script.tools = tools(&["a", "b"]));
        let call = || async {
            let params = json!({"name": new, "arguments": {}});
            let answer = world.alice().modern("tools/call", params).await;
            answer.json().await["result"].is_object()
        };
        let found = async { while !call().await {} };
        tokio::time::timeout(Duration::from_secs(10), found)
            .await
            .unwrap();
        // However many calls missed it, the target was asked once a second.
        assert!(world.upstream.seen_of("tools/list").len() <= 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_down_takes_no_other_with_it() {
    let second = Script::dual().on("tools/list", Act::Close);
    let (world, _other) = two_targets(&["a"], second, ToolNames::Prefixed).await;
    assert_eq!(names(&world.alice()).await, ["one___a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_goes_down_keeps_its_tools() {
    let second = Script::dual().with_tools(tools(&["b"]));
    let (world, other) = two_targets(&["a"], second, ToolNames::Prefixed).await;
    assert_eq!(names(&world.alice()).await, ["one___a", "two___b"]);
    other.stop().await;
    assert_eq!(names(&world.alice()).await, ["one___a", "two___b"]);
    let answer = world
        .alice()
        .modern("tools/call", json!({"name": "two___b", "arguments": {}}))
        .await;
    assert_eq!(answer.refusal().await, (200, -31502));
}

// TM-17
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_that_a_target_announces_is_seen_in_both_eras() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script.with_tools(tools(&["a"]))).await;
        until_names(&world, &["my-mcp-server___a"]).await;
        world
            .upstream
            .until("a notification stream", |fake| fake.open_streams() > 0)
            .await
            .unwrap();
        world
            .upstream
            .change(|script| script.tools = tools(&["a", "b"]));
        world.upstream.announce_tools_changed();
        until_names(&world, &["my-mcp-server___a", "my-mcp-server___b"]).await;
    }
}

// TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_subscription_is_acknowledged_and_told_of_changes() {
    let world = world(Script::modern().with_tools(tools(&["a"]))).await;
    until_names(&world, &["my-mcp-server___a"]).await;
    world
        .upstream
        .until("a notification stream", |fake| fake.open_streams() > 0)
        .await
        .unwrap();
    let params = json!({"notifications": {"toolsListChanged": true, "oddListChanged": true}});
    let mut events = world
        .alice()
        .modern("subscriptions/listen", params)
        .await
        .stream();
    let first = String::from_utf8(events.next().await.unwrap().to_vec()).unwrap();
    assert!(
        first.contains("notifications/subscriptions/acknowledged"),
        "{first}"
    );
    assert!(
        first.contains(r#""io.modelcontextprotocol/subscriptionId":1"#),
        "{first}"
    );
    assert!(
        first.contains(r#""notifications":{"toolsListChanged":true}"#),
        "{first}"
    );
    world
        .upstream
        .change(|script| script.tools = tools(&["a", "b"]));
    world.upstream.announce_tools_changed();
    let second = tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .unwrap()
        .unwrap();
    let second = String::from_utf8(second.to_vec()).unwrap();
    assert!(
        second.contains("notifications/tools/list_changed"),
        "{second}"
    );
    assert!(
        second.contains(r#""io.modelcontextprotocol/subscriptionId":1"#),
        "{second}"
    );
    world.stop.cancel();
    let last = String::from_utf8(events.next().await.unwrap().to_vec()).unwrap();
    assert!(last.contains(r#""resultType":"complete""#), "{last}");
    assert!(events.next().await.is_none());
}

// SEC-46, RS-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_subscription_ends_with_the_token_it_was_opened_with() {
    let world = world_with(Script::modern(), |settings| {
        settings.limits.keep_alive = Duration::from_millis(20);
    })
    .await;
    world.alice().modern("tools/list", json!({})).await;
    for end in ["revoked", "expired"] {
        world.revoked.lock().clear();
        let params = json!({"notifications": {"toolsListChanged": true}});
        let mut events = world
            .alice()
            .modern("subscriptions/listen", params)
            .await
            .stream();
        assert!(events.next().await.unwrap().starts_with(b"event: message"));
        assert_eq!(events.next().await.unwrap(), mcp::sse::KEEP_ALIVE);
        match end {
            "revoked" => world.revoked.lock().push("family".to_owned()),
            _ => world.clock.advance(Duration::from_hours(1)),
        }
        let rest: Vec<_> = events.collect().await;
        let last = String::from_utf8(rest.last().unwrap().to_vec()).unwrap();
        assert!(last.contains(r#""resultType":"complete""#), "{end}: {last}");
    }
}

// TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_stream_of_a_legacy_session_is_told_of_changes() {
    let world = world(Script::legacy().with_tools(tools(&["a"]))).await;
    until_names(&world, &["my-mcp-server___a"]).await;
    world
        .upstream
        .until("a notification stream", |fake| fake.open_streams() > 0)
        .await
        .unwrap();
    let id = world.alice().initialize().await;
    let alice = world
        .alice()
        .with("mcp-session-id", id)
        .with("accept", "text/event-stream");
    let mut events = alice.send(Method::GET, "/mcp", &[], "").await.stream();
    events.next().await.unwrap();
    world.upstream.change(|script| script.tools = tools(&["b"]));
    world.upstream.announce_tools_changed();
    let event = tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        String::from_utf8(event.to_vec()).unwrap(),
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n"
    );
}
