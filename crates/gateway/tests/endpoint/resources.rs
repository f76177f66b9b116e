//! Resources of targets: listed, found by their URIs and read, whichever era either side speaks.

use std::time::Duration;

use futures_util::StreamExt as _;
use model::target::{Target, TargetKind};
use serde_json::json;
use testkit::fake_mcp::{FakeMcp, Script};

use crate::world::{LEGACY, MODERN, world, world_with};

fn with_resources(script: Script) -> Script {
    script.with_resources(
        vec![
            json!({"uri": "file:///a.txt", "name": "a", "mimeType": "text/plain", "size": 1}),
            json!({"uri": "ui://widget/1", "name": "widget", "_meta": {"ui": {"x": 1}}}),
            // What strict clients would choke on.
            json!({"uri": "file:///b.txt", "description": null}),
            json!({"name": "no URI"}),
        ],
        vec![json!({"uriTemplate": "db://{table}/{id}", "name": "rows"})],
    )
}

// TM-5, TM-16, TM-17, UC-3, UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn resources_are_listed_and_read_in_every_cell() {
    for script in [
        Script::modern(),
        Script::legacy(),
        Script::modern().over_sse(),
    ] {
        let world = world(with_resources(script)).await;
        for era in [MODERN, LEGACY] {
            let is_modern = era == MODERN;
            let listed = world.ask(era, "resources/list", json!({})).await;
            let expected = json!([
                {"uri": "file:///a.txt", "name": "a", "mimeType": "text/plain", "size": 1},
                {"uri": "ui://widget/1", "name": "widget", "_meta": {"ui": {"x": 1}}},
                {"uri": "file:///b.txt", "name": "file:///b.txt"},
            ]);
            assert_eq!(listed["result"]["resources"], expected, "{era}: {listed}");
            let listed = world.ask(era, "resources/templates/list", json!({})).await;
            let expected = json!([{"uriTemplate": "db://{table}/{id}", "name": "rows"}]);
            assert_eq!(listed["result"]["resourceTemplates"], expected, "{listed}");
            assert_eq!(listed["result"]["ttlMs"].is_u64(), is_modern, "{listed}");
            // Listed, and of a template.
            for uri in ["file:///a.txt", "db://users/7"] {
                let read = world.ask(era, "resources/read", json!({"uri": uri})).await;
                let result = &read["result"];
                assert_eq!(result["contents"][0]["uri"], uri, "{era}: {read}");
                assert_eq!(result["x-odd"], json!(1.0), "{read}");
                assert!(result.get("content").is_none(), "{read}");
                assert_eq!(result["resultType"].is_string(), is_modern, "{read}");
                assert_eq!(result["ttlMs"].is_u64(), is_modern, "{read}");
                // Who may read it depends on who asks.
                let scope = is_modern.then_some("private");
                assert_eq!(result["cacheScope"].as_str(), scope, "{read}");
            }
        }
        let asked = world.upstream.seen_of("resources/read");
        assert_eq!(asked.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_resource_that_is_not_there_is_said_to_be_so_in_the_clients_era() {
    for script in [Script::modern(), Script::legacy()] {
        // Somebody has resources, and says that this is none of them; nobody has any.
        let some = world(with_resources(script.clone())).await;
        let none = world(script).await;
        for world in [&some, &none] {
            world.gateway.settle().await;
            let params = json!({"uri": "file:///missing"});
            let modern = world.ask(MODERN, "resources/read", params.clone()).await;
            assert_eq!(modern["error"]["code"], -32602, "{modern}");
            let legacy = world.ask(LEGACY, "resources/read", params).await;
            let code = &legacy["error"]["code"];
            assert!(*code == -32002 || *code == -32602, "{legacy}");
            let nothing = world.ask(LEGACY, "resources/read", json!({})).await;
            assert_eq!(nothing["error"]["code"], -32602, "{nothing}");
        }
        assert!(none.upstream.seen_of("resources/read").is_empty());
        assert!(none.upstream.seen_of("resources/list").is_empty());
        let listed = none
            .ask(LEGACY, "resources/templates/list", json!({}))
            .await;
        assert_eq!(listed["result"]["resourceTemplates"], json!([]));
    }
}

// SEC-81
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_uri_that_readers_could_see_differently_reaches_no_target() {
    let world = world(with_resources(Script::legacy())).await;
    let params = json!({"uri": "file:///a.txt", "URI": "file:///b.txt"});
    let answer = world.ask(LEGACY, "resources/read", params).await;
    assert!(answer["error"].is_object(), "{answer}");
    assert!(world.upstream.seen_of("resources/read").is_empty());
    // Where it does not count, it does no harm.
    let params = json!({"name": "my-mcp-server___echo", "uri": "a:b", "URI": "a:c"});
    let called = world.ask(LEGACY, "tools/call", params).await;
    assert!(called["result"].is_object(), "{called}");
}

// SEC-82: what nobody lists is not longer than what may be listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_uri_that_is_too_long_reaches_no_target() {
    let world = world(with_resources(Script::legacy())).await;
    let uri = format!("db://{}", "x".repeat(5000));
    let answer = world
        .ask(LEGACY, "resources/read", json!({"uri": uri}))
        .await;
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
    assert!(world.upstream.seen_of("resources/read").is_empty());
}

// TM-15, TL-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_asked_to_hear_of_resources_is_told_once_of_both_lists() {
    let world = world(with_resources(Script::modern())).await;
    world.gateway.settle().await;
    let params = json!({"notifications": {"resourcesListChanged": true}});
    let mut stream = world
        .alice()
        .modern("subscriptions/listen", params)
        .await
        .stream();
    let agreed = String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap();
    assert!(
        agreed.contains(r#""notifications":{"resourcesListChanged":true}"#),
        "{agreed}"
    );
    world
        .upstream
        .until("a notification stream", |fake| fake.open_streams() > 0)
        .await
        .unwrap();
    world.upstream.change(|script| {
        script
            .resource_templates
            .push(json!({"uriTemplate": "x:{y}", "name": "new"}));
    });
    world.upstream.announce_resources_changed();
    let told = tokio::time::timeout(Duration::from_secs(10), stream.next());
    let told = String::from_utf8(told.await.unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(
        told.matches("notifications/resources/list_changed").count(),
        1,
        "{told}"
    );
    let listed = world
        .ask(MODERN, "resources/templates/list", json!({}))
        .await;
    let templates = listed["result"]["resourceTemplates"].as_array().unwrap();
    assert_eq!(templates.len(), 2);
}

// UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn resources_are_declared_where_a_target_has_some() {
    let with = world(with_resources(Script::legacy())).await;
    let without = world(Script::legacy()).await;
    for (world, has) in [(&with, true), (&without, false)] {
        world.gateway.settle().await;
        let discovered = world.ask(MODERN, "server/discover", json!({})).await;
        let declared = &discovered["result"]["capabilities"]["resources"];
        assert_eq!(declared.is_object(), has, "{discovered}");
    }
}

// A URI that two targets have is that of the one that is declared first, and a template that says more of a URI leads to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_uri_leads_to_one_target() {
    let other = Script::legacy().with_resources(
        vec![json!({"uri": "file:///a.txt", "name": "theirs"})],
        vec![json!({"uriTemplate": "db://users/{id}", "name": "users"})],
    );
    let other = FakeMcp::start(other).await.unwrap();
    let world = world_with(with_resources(Script::modern()), |settings| {
        let kind = TargetKind::mcp(other.url().parse().unwrap());
        let target = Target::new("other".parse().unwrap(), kind);
        settings.targets.push(target);
    })
    .await;
    world.gateway.settle().await;
    let listed = world.ask(MODERN, "resources/list", json!({})).await;
    let names = listed["result"]["resources"].as_array().unwrap();
    assert!(names.iter().any(|one| one["name"] == "a"), "{listed}");
    assert!(!names.iter().any(|one| one["name"] == "theirs"), "{listed}");
    for (uri, reads) in [
        ("file:///a.txt", [1, 0]),
        ("db://users/7", [1, 1]),
        ("db://orders/7", [2, 1]),
        // Nobody lists it: the first one says whether there is such a thing.
        ("odd:x", [3, 1]),
    ] {
        let read = world
            .ask(MODERN, "resources/read", json!({"uri": uri}))
            .await;
        let is_there = uri != "odd:x";
        assert_eq!(read["result"]["contents"].is_array(), is_there, "{read}");
        let seen = [&world.upstream, &other].map(|fake| fake.seen_of("resources/read").len());
        assert_eq!(seen, reads, "{uri}");
    }
}
