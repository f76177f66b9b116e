//! Listing the tools of a server.

use mcp::feature::Feature;
use std::time::Duration;

use mcp::result::CacheScope;
use serde_json::json;
use targets::error::{CallError, ListBound};
use targets::listing::Mended;
use testkit::fake_mcp::{Act, Answers, Script, tool};

use crate::world::{World, pass, world, world_with};

fn many(count: usize) -> Vec<serde_json::Value> {
    (0..count)
        .map(|number| tool(&format!("tool-{number}")))
        .collect()
}

/// A world where nothing stays fresh by itself.
async fn impatient(script: Script) -> World {
    world_with(script, |settings| {
        settings.freshness.max_age = Duration::ZERO;
        settings.freshness.shortest = Duration::ZERO;
    })
    .await
}

// UC-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_pages_are_gathered_in_order() {
    for mut script in [
        Script::modern(),
        Script::legacy(),
        Script::legacy().over_sse(),
    ] {
        script.tools = many(25);
        script.page_size = 10;
        let world = world(script).await;
        let tools = world.target.list(Feature::Tools).await.unwrap();
        let names: Vec<&str> = tools
            .entries
            .iter()
            .map(|tool| tool.name.as_ref())
            .collect();
        let wanted: Vec<String> = (0..25).map(|number| format!("tool-{number}")).collect();
        assert_eq!(names, wanted);
        assert_eq!(world.fake.seen_of("tools/list").len(), 3);
        assert_eq!(tools.find("tool-24").unwrap().name.as_ref(), "tool-24");
        assert!(tools.find("tool-25").is_none());
    }
}

// UC-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_empty_cursor_is_not_the_end_but_the_same_one_again_is() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"result":{"tools":[],"nextCursor":""}}"#;
    let world = world(Script::modern().on("tools/list", Act::json(body))).await;
    let tools = world.target.list(Feature::Tools).await.unwrap();
    assert!(tools.stands_still && tools.entries.is_empty());
    assert_eq!(world.fake.seen_of("tools/list").len(), 2);
    let second = &world.fake.seen_of("tools/list")[1];
    assert_eq!(second.json()["params"]["cursor"], json!(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn definitions_are_kept_byte_for_byte() {
    let definition = r#"{ "name":"odd","inputSchema":{"type":"object"}, "x-unknown" : 1.0e2,"annotations":{"big":12345678901234567890123} }"#;
    let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"tools":[{definition}]}}}}"#);
    let world = world(Script::legacy().on("tools/list", Act::json(body))).await;
    let tools = world.target.list(Feature::Tools).await.unwrap();
    assert_eq!(tools.entries[0].definition.borrow().as_str(), definition);
}

// UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn invalid_tools_are_dropped_and_the_others_stay() {
    let invalid = json!({"name": "bad", "inputSchema": {"type": "object", "properties": {
        "a": {"type": "number", "x-mcp-header": "A"}}}});
    let script = Script::modern().with_tools(vec![
        tool("first"),
        invalid,
        json!({"name": "", "inputSchema": {}}),
        json!({"name": "text", "inputSchema": {"type": "string"}}),
        json!({"no-name": true}),
        json!("not a tool"),
        tool("first"),
        json!({"name": "first", "inputSchema": {"type": "object"}}),
        tool("last"),
    ]);
    let world = world(script).await;
    let tools = world.target.list(Feature::Tools).await.unwrap();
    let names: Vec<&str> = tools
        .entries
        .iter()
        .map(|tool| tool.name.as_ref())
        .collect();
    assert_eq!(names, ["first", "last"]);
    let dropped: Vec<String> = tools
        .dropped
        .iter()
        .map(|it| format!("{}: {}", it.name, it.fault))
        .collect();
    let wanted = [
        "bad: `x-mcp-header` is for arguments of type integer, string or boolean",
        ": a definition needs one `name` of 1 to 128 characters",
        "text: `inputSchema` must be the schema of an object",
        ": a definition needs one `name` of 1 to 128 characters",
        ": a definition must be an object",
        "first: another one has the same name",
    ];
    assert_eq!(dropped, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn too_many_tools_are_an_error_and_not_a_shorter_list() {
    let mut script = Script::modern().with_tools(many(11));
    script.page_size = 4;
    let world = world_with(script, |settings| settings.limits.tools = 10).await;
    let error = world.target.list(Feature::Tools).await.unwrap_err();
    assert!(
        matches!(error, CallError::ListTooLong(ListBound::Tools)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn too_many_bytes_are_an_error() {
    let script = Script::modern().with_tools(many(100));
    let world = world_with(script, |settings| settings.limits.list = 1_000).await;
    let error = world.target.list(Feature::Tools).await.unwrap_err();
    assert!(
        matches!(error, CallError::ListTooLong(ListBound::Bytes)),
        "{error:?}"
    );
}

// D11, TM-17
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_strictest_hint_of_all_pages_holds() {
    let mut script = Script::modern().with_tools(many(3));
    script.page_size = 2;
    let world = world(script).await;
    let tools = world.target.list(Feature::Tools).await.unwrap();
    assert_eq!(
        (tools.hint.ttl_ms, tools.hint.scope),
        (60_000, CacheScope::Public)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fresh_list_is_served_without_asking_and_a_stale_one_is_asked_for() {
    let fresh = world(Script::modern()).await;
    for _ in 0..3 {
        fresh.target.list(Feature::Tools).await.unwrap();
    }
    assert_eq!(fresh.fake.seen_of("tools/list").len(), 1);
    let mut script = Script::modern();
    script.ttl_ms = 0;
    let stale = impatient(script).await;
    for _ in 0..3 {
        stale.target.list(Feature::Tools).await.unwrap();
    }
    assert_eq!(stale.fake.seen_of("tools/list").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_who_ask_at_once_cause_one_request() {
    let world = world(Script::modern()).await;
    let asking = (0..20).map(|_| world.target.list(Feature::Tools));
    for tools in futures_util::future::join_all(asking).await {
        tools.unwrap();
    }
    assert_eq!(world.fake.seen_of("tools/list").len(), 1);
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_hangs_up_does_not_make_the_server_list_again() {
    let world =
        world(Script::modern().on("tools/list", Act::Slow(Duration::from_millis(300)))).await;
    for _ in 0..3 {
        let mut looking = Box::pin(
            world
                .target
                .look_again(Feature::Tools, Duration::from_secs(1)),
        );
        tokio::select! {
            () = &mut looking => panic!("nothing was listed yet"),
            asked = world.fake.until("asked", |fake| !fake.seen_of("tools/list").is_empty()) => {
                asked.unwrap();
            }
        }
    }
    world
        .target
        .look_again(Feature::Tools, Duration::from_secs(1))
        .await;
    assert_eq!(world.fake.seen_of("tools/list").len(), 1);
    assert_eq!(world.listed().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stale_list_beats_none() {
    let mut script = Script::modern();
    script.ttl_ms = 0;
    let world = impatient(script).await;
    world.target.list(Feature::Tools).await.unwrap();
    world.fake.change(|script| {
        script
            .acts
            .push(("tools/list".to_owned(), Act::status(503, "")));
    });
    assert_eq!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .len(),
        5
    );
    let listing = world.target.listing(Feature::Tools);
    assert!(matches!(
        listing.failure,
        Some(CallError::UpstreamHttp { status: 503 })
    ));
    assert!(listing.list.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_tools_has_an_empty_list_and_is_not_asked() {
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"prompts":{}},"resultType":"complete"}}"#;
    let world = world(Script::modern().on("server/discover", Act::json(result))).await;
    assert!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
    assert!(world.fake.seen_of("tools/list").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_does_not_know_the_method_has_an_empty_list() {
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no"}}"#;
    let world = world(Script::legacy().on("tools/list", Act::json(error))).await;
    assert!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
}

// UC-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cursor_that_the_server_forgot_means_once_more_from_the_start() {
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"no such cursor"}}"#;
    let world = world(Script::modern().on("tools/list", Act::json(error))).await;
    let failure = world.target.list(Feature::Tools).await.unwrap_err();
    assert!(
        matches!(failure, CallError::ListRefused { code: -32602 }),
        "{failure:?}"
    );
    assert_eq!(world.fake.seen_of("tools/list").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_list_is_a_violation() {
    for result in ["{}", r#"{"tools":{}}"#, r#"{"tools":"none"}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#);
        let world = world(Script::legacy().on("tools/list", Act::json(body))).await;
        let error = world.target.list(Feature::Tools).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the target broke the protocol: no array of tools"
        );
    }
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn listing_survives_a_forgotten_session() {
    let world = impatient(Script::legacy()).await;
    world.target.list(Feature::Tools).await.unwrap();
    world.fake.forget_sessions();
    world.fake.change(|script| {
        script.tools = vec![tool("new")];
        script.answers = Answers::Sse;
    });
    assert_eq!(
        world.target.list(Feature::Tools).await.unwrap().entries[0]
            .name
            .as_ref(),
        "new"
    );
}

// UC-13
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_schema_on_the_network_is_never_fetched() {
    let world = world(Script::modern()).await;
    let schema = json!({"$ref": format!("{}/schema", world.fake.url())});
    world.fake.change(|script| {
        script.tools =
            vec![json!({"name": "remote", "inputSchema": schema, "outputSchema": schema})];
    });
    assert_eq!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .len(),
        1
    );
    world.call("remote", "{}").await.unwrap();
    assert!(world.fake.seen().iter().all(|seen| seen.path == "/mcp"));
}

/// The only tool of a list with this definition, as it is kept.
async fn kept(definition: &str) -> (String, Vec<String>) {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"tools":[{{"name":"good","inputSchema":{{"type":"object"}}}},{definition}]}}}}"#
    );
    let world = world(Script::legacy().on("tools/list", Act::json(body))).await;
    let tools = world.target.list(Feature::Tools).await.unwrap();
    let repairs = tools
        .mended
        .iter()
        .map(|Mended { name, repair }| format!("{name}: {repair}"))
        .collect();
    let tool = tools.find("odd").unwrap();
    (tool.definition.borrow().as_str().to_owned(), repairs)
}

// Strict clients refuse the whole list for one such tool, and with it the tools of all targets.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_definition_that_strict_clients_refuse_is_mended_and_named() {
    for (definition, right, repair) in [
        (
            r#"{"name":"odd"}"#,
            r#"{"name":"odd","inputSchema":{"type":"object"}}"#,
            "odd: `inputSchema` is missing",
        ),
        (
            r#"{"name":"odd","inputSchema":{}}"#,
            r#"{"name":"odd","inputSchema":{"type":"object"}}"#,
            "odd: `inputSchema` is missing",
        ),
        (
            r#"{"name":"odd","description":null,"annotations":null,"outputSchema":null,"inputSchema":{"type":"object"}}"#,
            r#"{"name":"odd","inputSchema":{"type":"object"}}"#,
            "odd: a member is null or of the wrong type",
        ),
        (
            r#"{"name":"odd","inputSchema":{"type":"object","properties":null}}"#,
            r#"{"name":"odd","inputSchema":{"type":"object"}}"#,
            "odd: `inputSchema` is not quite a schema of arguments",
        ),
    ] {
        assert_eq!(
            kept(definition).await,
            (right.to_owned(), vec![repair.to_owned()])
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_declares_nothing_is_asked_for_its_tools() {
    for capabilities in ["{}", "null", r#"{"tools":null}"#, "[]"] {
        let result = format!(
            r#"{{"jsonrpc":"2.0","id":$ID,"result":{{"protocolVersion":"2025-11-25","capabilities":{capabilities}}}}}"#
        );
        let script = Script::legacy_without_sessions().on("initialize", Act::json(result));
        let world = world(script).await;
        assert_eq!(
            world
                .target
                .list(Feature::Tools)
                .await
                .unwrap()
                .entries
                .len(),
            5,
            "{capabilities}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_tools_may_be_said_with_null() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"result":{"tools":null,"nextCursor":null}}"#;
    let world = world(Script::legacy().on("tools/list", Act::json(body))).await;
    assert!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
}

// D11
#[tokio::test]
async fn a_list_is_asked_for_within_the_operators_time_whatever_the_server_says() {
    for mut script in [Script::modern(), Script::legacy()] {
        script.ttl_ms = 86_400_000;
        let world = world_with(script, |settings| {
            settings.freshness.max_age = Duration::from_secs(30);
        })
        .await;
        world.target.list(Feature::Tools).await.unwrap();
        world.fake.change(|script| script.tools = many(1));
        pass(Duration::from_secs(29)).await;
        assert_eq!(
            world
                .target
                .list(Feature::Tools)
                .await
                .unwrap()
                .entries
                .len(),
            5
        );
        pass(Duration::from_secs(1)).await;
        assert_eq!(
            world
                .target
                .list(Feature::Tools)
                .await
                .unwrap()
                .entries
                .len(),
            1
        );
        world.end().await;
    }
}

#[tokio::test]
async fn whoever_misses_a_tool_makes_the_list_be_asked_for_but_not_again_and_again() {
    let world = world(Script::modern()).await;
    world.target.list(Feature::Tools).await.unwrap();
    world.fake.change(|script| script.tools = many(1));
    let age = Duration::from_secs(1);
    world.target.look_again(Feature::Tools, age).await;
    assert_eq!(world.fake.seen_of("tools/list").len(), 1, "asked just now");
    pass(age).await;
    let asking = (0..20).map(|_| world.target.look_again(Feature::Tools, age));
    futures_util::future::join_all(asking).await;
    assert_eq!(world.fake.seen_of("tools/list").len(), 2);
    assert_eq!(world.listed(), ["tool-0"]);
    world.end().await;
}
