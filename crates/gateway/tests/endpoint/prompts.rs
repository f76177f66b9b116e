//! Prompts of targets: listed and asked for like tools, whichever era either side speaks.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use testkit::fake_mcp::Script;

use crate::world::{LEGACY, MODERN, world};

fn prompts() -> Vec<Value> {
    vec![
        json!({
            "name": "review", "title": "Review", "arguments": [{"name": "code", "required": true}],
        }),
        json!({"name": "greet", "_meta": {"x": 1}}),
        // What strict clients would choke on.
        json!({"name": "odd", "arguments": {"code": 1}}),
    ]
}

// TM-5, TM-16, UC-3, UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn prompts_are_listed_and_asked_for_in_every_cell() {
    for script in [
        Script::modern(),
        Script::legacy(),
        Script::modern().over_sse(),
    ] {
        let world = world(script.with_prompts(prompts())).await;
        for era in [MODERN, LEGACY] {
            let listed = world.ask(era, "prompts/list", json!({})).await;
            let result = &listed["result"];
            let expected = json!([
                {
                    "name": "my-mcp-server___review", "title": "Review",
                    "arguments": [{"name": "code", "required": true}],
                },
                {"name": "my-mcp-server___greet", "_meta": {"x": 1}},
            ]);
            assert_eq!(result["prompts"], expected, "{era}: {listed}");
            assert_eq!(result["resultType"].is_string(), era == MODERN, "{listed}");
            let params = json!({"name": "my-mcp-server___review", "arguments": {"code": "1.0"}});
            let got = world.ask(era, "prompts/get", params).await;
            let result = &got["result"];
            assert_eq!(
                result["messages"][0]["content"]["text"], r#"{"code":"1.0"}"#,
                "{got}"
            );
            assert_eq!(result["x-odd"], json!(1.0), "{got}");
            assert_eq!(result["resultType"].is_string(), era == MODERN, "{got}");
        }
        let asked = world.upstream.seen_of("prompts/get");
        assert_eq!(asked.len(), 2);
        assert!(
            asked
                .iter()
                .all(|seen| seen.json()["params"]["name"] == "review")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_prompt_is_refused_and_no_tool_is_taken_for_one() {
    let world = world(Script::modern().with_prompts(prompts())).await;
    for name in [
        "my-mcp-server___odd",
        "my-mcp-server___echo",
        "review",
        "x___y",
    ] {
        let params = json!({"name": name});
        let answer = world.alice().modern("prompts/get", params).await;
        assert_eq!(answer.refusal().await, (200, -32602), "{name}");
    }
    let params = json!({"name": "my-mcp-server___greet"});
    let answer = world.alice().modern("tools/call", params).await;
    assert_eq!(answer.refusal().await, (200, -32602));
    assert!(world.upstream.seen_of("prompts/get").is_empty());
    assert!(world.upstream.seen_of("tools/call").is_empty());
}

// TM-15, TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_asked_to_hear_of_prompts_is_told_of_them_and_of_nothing_else() {
    let world = world(Script::modern().with_prompts(prompts())).await;
    world.gateway.settle().await;
    let alice = world.alice();
    let open = async |filter: Value| {
        let params = json!({"notifications": filter});
        let mut stream = alice.modern("subscriptions/listen", params).await.stream();
        let first = stream.next().await.unwrap();
        (String::from_utf8(first.to_vec()).unwrap(), stream)
    };
    let (agreed, mut prompts_only) = open(json!({"promptsListChanged": true})).await;
    assert!(
        agreed.contains(r#""notifications":{"promptsListChanged":true}"#),
        "{agreed}"
    );
    let (_, mut tools_only) = open(json!({"toolsListChanged": true})).await;
    world
        .upstream
        .until("a notification stream", |fake| fake.open_streams() > 0)
        .await
        .unwrap();
    world
        .upstream
        .change(|script| script.prompts.push(json!({"name": "new"})));
    world.upstream.announce_prompts_changed();
    let told = tokio::time::timeout(Duration::from_secs(10), prompts_only.next());
    let told = String::from_utf8(told.await.unwrap().unwrap().to_vec()).unwrap();
    assert!(
        told.contains("notifications/prompts/list_changed"),
        "{told}"
    );
    let listed = world.ask(MODERN, "prompts/list", json!({})).await;
    assert_eq!(listed["result"]["prompts"].as_array().unwrap().len(), 3);
    let nothing = tokio::time::timeout(Duration::from_millis(50), tools_only.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

// UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn prompts_are_declared_where_a_target_has_some_and_asked_for_nowhere_else() {
    let with = world(Script::legacy().with_prompts(prompts())).await;
    let without = world(Script::legacy()).await;
    for (world, has) in [(&with, true), (&without, false)] {
        world.gateway.settle().await;
        let discovered = world.ask(MODERN, "server/discover", json!({})).await;
        let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let begun = world.ask(LEGACY, "initialize", params).await;
        for answer in [discovered, begun] {
            let declared = &answer["result"]["capabilities"]["prompts"];
            assert_eq!(declared.is_object(), has, "{answer}");
        }
        let listed = world.ask(MODERN, "prompts/list", json!({})).await;
        let prompts = listed["result"]["prompts"].as_array().unwrap();
        assert_eq!(!prompts.is_empty(), has);
    }
    assert!(without.upstream.seen_of("prompts/list").is_empty());
}
