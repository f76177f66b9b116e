//! What reaches the server, and what comes back.

use mcp::era::Era;
use mcp::feature::Feature;
use serde_json::json;
use targets::client::Client;
use targets::error::CallError;
use targets::meter::Held;
use targets::reply::Outcome;
use testkit::fake_mcp::{Act, Script, tool};
use tokio_util::sync::CancellationToken;

use crate::world::{answer, permit, result, text, tool_call, world};

/// Every kind of well-behaved server.
fn all_kinds() -> Vec<(&'static str, Script)> {
    vec![
        ("modern, JSON", Script::modern()),
        ("modern, SSE", Script::modern().over_sse()),
        ("legacy, JSON, sessions", Script::legacy()),
        ("legacy, SSE, sessions", Script::legacy().over_sse()),
        (
            "legacy, JSON, no sessions",
            Script::legacy_without_sessions(),
        ),
        (
            "legacy, SSE, no sessions",
            Script::legacy_without_sessions().over_sse(),
        ),
        ("both, JSON", Script::dual()),
    ]
}

// UC-1, UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_kind_of_server_is_called() {
    for (kind, script) in all_kinds() {
        let world = world(script).await;
        let answer = answer(world.call("echo", r#"{"a":2}"#).await);
        assert_eq!(text(&answer), r#"{"a":2}"#, "{kind}");
    }
}

// UC-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_result_comes_back_byte_for_byte() {
    for (kind, script) in all_kinds() {
        let world = world(script).await;
        let result = result(&answer(world.call("echo", "{}").await));
        let odd =
            r#""x-odd":{"big":12345678901234567890123,"e":1E400, "sp" : 1.0},"isError":false}"#;
        assert!(
            result.starts_with('{') && result.ends_with(odd),
            "{kind}: {result}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn parameters_arrive_byte_for_byte_under_the_tools_own_name() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let params = r#"{ "x-odd" : 1.0e2,"name":"prefix___echo", "arguments" : {"n":1E400 , "u":"\u00e9"} }"#;
        let call = tool_call("alice", "echo", params);
        let _ = world.call_with(call, CancellationToken::new()).await;
        let seen = world.fake.seen_of("tools/call").pop();
        let seen = seen.unwrap_or_else(|| world.fake.seen().pop().unwrap());
        let sent = r#"{ "x-odd" : 1.0e2,"name":"echo", "arguments" : {"n":1E400 , "u":"\u00e9"}"#;
        assert!(seen.body.contains(sent), "{}", seen.body);
    }
}

// SEC-36, RS-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_of_the_clients_request_is_among_the_headers() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let headers = text(&answer(world.call("headers", "{}").await));
        let mut names: Vec<&str> = headers
            .lines()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        names.retain(|name| !name.starts_with("mcp-"));
        names.sort_unstable();
        let ours = [
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
        ];
        assert_eq!(names, ours);
    }
}

// UC-1, UC-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn modern_headers_are_made_from_what_is_sent() {
    let world = world(Script::modern()).await;
    world.call("echo", "{}").await.unwrap();
    let seen = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(seen.header("mcp-method"), Some("tools/call"));
    assert_eq!(seen.header("mcp-name"), Some("echo"));
    assert_eq!(seen.header("mcp-session-id"), None);
    assert_eq!(
        seen.header("accept"),
        Some("application/json, text/event-stream")
    );
}

// UC-3, TM-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_name_that_is_no_header_value_is_encoded() {
    let script = Script::modern().with_tools(vec![tool("grüße")]).on(
        "tools/call grüße",
        Act::json(r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#),
    );
    let world = world(script).await;
    world.call("grüße", "{}").await.unwrap();
    let seen = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-name"), Some("=?base64?Z3LDvMOfZQ==?="));
}

// UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_client_says_of_itself_is_not_passed_on_but_by_us() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let params = r#"{"name":"echo","_meta":{"io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/clientInfo":{"name":"client"}}}"#;
        let call = tool_call("alice", "echo", params);
        world
            .call_with(call, CancellationToken::new())
            .await
            .unwrap();
        for seen in world.fake.seen() {
            assert!(!seen.body.contains(r#""client""#), "{}", seen.body);
        }
        // Its client can be asked nothing, whatever it is that lists.
        let calls = world.fake.seen_of("tools/call");
        assert!(!calls[0].body.contains("sampling"), "{}", calls[0].body);
        let initialized = world.fake.seen_of("initialize").pop();
        if let Some(initialized) =
            initialized.filter(|_| calls[0].header("mcp-session-id").is_some())
        {
            let declared = &initialized.json()["params"]["capabilities"];
            assert_eq!(*declared, json!({}));
        }
    }
}

// UC-3, UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn annotated_arguments_become_headers() {
    let world = world(Script::modern()).await;
    world.target.list(Feature::Tools).await.unwrap();
    let answer = answer(world.call("query", r#"{"region":"eu-1","limit":3}"#).await);
    assert!(matches!(answer.outcome, Outcome::Result(_)));
    let seen = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(seen.header("mcp-param-region"), Some("eu-1"));
    assert_eq!(seen.header("mcp-param-limit"), None);
}

// UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_a_header_mismatch_the_tools_are_listed_and_the_call_is_sent_once_more() {
    let world = world(Script::modern()).await;
    // Nothing was listed yet, so that the annotation is not known.
    let answer = answer(world.call("query", r#"{"region":"eu-1"}"#).await);
    assert!(matches!(answer.outcome, Outcome::Result(_)), "{answer:?}");
    let wanted = ["server/discover", "tools/call", "tools/list", "tools/call"];
    assert_eq!(world.fake.methods(), wanted);
}

// UC-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_insists_on_other_headers_is_told_apart_from_a_bad_call() {
    let script = Script::modern().on("tools/call", Act::DemandHeader("mcp-param-nobody-knows"));
    let world = world(script).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target broke the protocol: it refuses the headers that its tool list asks for"
    );
    assert_eq!(world.fake.seen_of("tools/call").len(), 2);
}

// TM-20
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_json_rpc_error_is_an_answer() {
    for (kind, script) in all_kinds() {
        let world = world(script.with_tools(Vec::new())).await;
        let answer = answer(world.call("echo", "{}").await);
        let Outcome::Error { code, raw } = answer.outcome else {
            panic!("{kind}: an error")
        };
        assert_eq!(code.0, -32602, "{kind}");
        assert_eq!(
            raw.borrow().as_str(),
            r#"{"code":-32602,"message":"Unknown tool: echo"}"#,
            "{kind}"
        );
    }
}

// TM-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_json_rpc_error_with_an_http_error_is_an_answer_too() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no","x":1.0}}"#;
    for script in [Script::modern(), Script::legacy_without_sessions()] {
        let world = world(script.on("tools/call", Act::status(404, body))).await;
        let Outcome::Error { raw, .. } = answer(world.call("echo", "{}").await).outcome else {
            panic!("an error")
        };
        assert_eq!(
            raw.borrow().as_str(),
            r#"{"code":-32601,"message":"no","x":1.0}"#
        );
    }
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn requests_carry_ids_of_our_own_that_never_repeat() {
    let world = world(Script::legacy()).await;
    for _ in 0..5 {
        world.call("echo", "{}").await.unwrap();
    }
    let mut ids: Vec<i64> = world
        .fake
        .seen()
        .iter()
        .filter_map(|seen| seen.json()["id"].as_i64())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(count >= 6 && ids.len() == count, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_is_one_request_once_the_server_is_known() {
    for script in [
        Script::modern(),
        Script::legacy(),
        Script::legacy().over_sse(),
    ] {
        let world = world(script).await;
        world.call("echo", "{}").await.unwrap();
        world.fake.forget_seen();
        for _ in 0..3 {
            world.call("echo", "{}").await.unwrap();
        }
        assert_eq!(world.fake.methods(), ["tools/call"; 3]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_is_used_again_after_json_and_after_events() {
    for script in [Script::modern(), Script::modern().over_sse()] {
        let world = world(script).await;
        for _ in 0..10 {
            world.call("echo", "{}").await.unwrap();
        }
        assert!(
            world.fake.connections() <= 2,
            "{}",
            world.fake.connections()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_permission_for_another_target_is_refused_without_a_request() {
    let world = world(Script::modern()).await;
    let mut call = tool_call("alice", "echo", "{}");
    call.target = "another".into();
    let error = world
        .target
        .call(
            permit(call),
            Client::silent(Era::Stateless),
            None,
            Held::default(),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::WrongTarget));
    assert!(world.fake.seen().is_empty());
}

// UC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_result_type_is_invalid_in_the_modern_era() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"surprise"}}"#;
    let world = world(Script::modern().on("tools/call", Act::json(body))).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target broke the protocol: an unknown `resultType`"
    );
}

// UC-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_absent_result_type_is_complete() {
    let body = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}"#;
    let world = world(Script::modern().on("tools/call", Act::json(body))).await;
    assert_eq!(
        result(&answer(world.call("echo", "{}").await)),
        r#"{"content":[]}"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_calls_at_once_each_get_their_own_answer() {
    for script in [Script::modern(), Script::legacy().over_sse()] {
        let world = world(script).await;
        let calls = (0..40).map(|number| {
            let world = &world;
            async move {
                let arguments = json!({"number": number}).to_string();
                let answer = answer(world.call("echo", &arguments).await);
                assert_eq!(text(&answer), arguments);
            }
        });
        futures_util::future::join_all(calls).await;
    }
}

// UC-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_state_of_a_repeated_request_passes_byte_for_byte_under_a_new_id() {
    let world = world(Script::modern()).await;
    let params =
        r#"{"name":"echo","inputResponses":{ "a":{"action":"accept"}},"requestState":"\u0065yJ="}"#;
    for _ in 0..2 {
        let call = tool_call("alice", "echo", params);
        world
            .call_with(call, CancellationToken::new())
            .await
            .unwrap();
    }
    let seen = world.fake.seen_of("tools/call");
    let sent = r#""inputResponses":{ "a":{"action":"accept"}},"requestState":"\u0065yJ=""#;
    assert!(seen.iter().all(|seen| seen.body.contains(sent)), "{seen:?}");
    assert_ne!(seen[0].json()["id"], seen[1].json()["id"]);
}

/// An answer to a call, of this media type.
fn answers(content_type: &'static str, body: &str) -> Act {
    Act::Answer {
        status: 200,
        content_type,
        headers: Vec::new(),
        body: body.to_owned(),
    }
}

// UC-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_nobody_needs_does_not_spoil_a_result() {
    let json = "application/json";
    let plain = r#"{"jsonrpc":"2.0","id":$ID,"result":{"a":1.0}}"#;
    let event = format!("event: message\ndata: {plain}\n\n");
    let marked = format!("\u{feff}{plain}");
    let batch = format!("[{plain}]");
    for (content_type, body) in [
        (
            json,
            r#"{"jsonrpc":"2.0","id":$ID,"result":{"a":1.0},"error":null}"#,
        ),
        (json, r#"{"jsonrpc":"2.0","id":"$ID","result":{"a":1.0}}"#),
        (json, r#"{"jsonrpc":"2.0","id":$ID.0,"result":{"a":1.0}}"#),
        (json, r#"{"id":$ID,"method":null,"result":{"a":1.0}}"#),
        (json, &marked),
        (json, &batch),
        ("", plain),
        ("text/plain; charset=utf-8", plain),
        ("application/vnd.mcp+json", plain),
        ("", &event),
    ] {
        for script in [Script::modern(), Script::legacy()] {
            let world = world(script.on("tools/call", answers(content_type, body))).await;
            let answer = answer(world.call("echo", "{}").await);
            assert_eq!(result(&answer), r#"{"a":1.0}"#, "{content_type}: {body}");
        }
    }
}

// UC-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_result_that_is_no_object_is_an_error_and_not_an_empty_one() {
    for value in ["null", "[]", r#""done""#, "7", "true"] {
        for script in [Script::modern(), Script::legacy()] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{value}}}"#);
            let world = world(script.on("tools/call", Act::json(body))).await;
            let error = world.call("echo", "{}").await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the target broke the protocol: a `result` that is no object"
            );
        }
    }
}
