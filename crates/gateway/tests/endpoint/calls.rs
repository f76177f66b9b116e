//! Calls: bytes, headers, progress, cancellation.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use testkit::fake_mcp::{Act, Script};

use crate::world::{LEGACY, MODERN, World, modern, world, world_with};

fn with_extra(
    method: &str,
    params: serde_json::Value,
    extra: &str,
) -> (Vec<(&'static str, String)>, String) {
    let (headers, body) = modern(method, params);
    (
        headers,
        body.replacen(r#""params":{"#, &format!(r#""params":{{{extra}"#), 1),
    )
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unknown_fields_and_number_spellings_reach_the_target_byte_for_byte() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let params = json!({"name": "my-mcp-server___echo"});
        let extra = r#""zz" : [1.0e2,-0.0, 1E+2 ],"arguments":{"b":1.50,"a":{"\u00e9":1.500000000000000000000000000001}},"#;
        let (headers, body) = with_extra("tools/call", params, extra);
        let answer = world.alice().post(&borrowed(&headers), body).await;
        assert_eq!(answer.status, 200);
        let sent = world.upstream.seen_of("tools/call")[0].body.clone();
        let arguments = r#""arguments":{"b":1.50,"a":{"\u00e9":1.500000000000000000000000000001}}"#;
        assert!(sent.contains(arguments), "{sent}");
        assert!(sent.contains(r#""zz" : [1.0e2,-0.0, 1E+2 ]"#), "{sent}");
        assert!(sent.contains(r#""name":"echo""#), "{sent}");
    }
}

// UC-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_targets_headers_follow_from_the_rewritten_body() {
    let world = world(Script::modern()).await;
    let params = json!({"name": "my-mcp-server___query", "arguments": {"region": "東京"}});
    let (mut headers, body) = modern("tools/call", params);
    headers.push(("mcp-param-region", "=?base64?5p2x5Lqs?=".to_owned()));
    assert_eq!(
        world.alice().post(&borrowed(&headers), body).await.status,
        200
    );
    let sent = world.upstream.seen_of("tools/call")[0].clone();
    assert_eq!(sent.header("mcp-name"), Some("query"));
    assert_eq!(sent.header("mcp-method"), Some("tools/call"));
    assert_eq!(sent.header("mcp-param-region"), Some("=?base64?5p2x5Lqs?="));
}

// TM-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn parameter_headers_must_say_what_the_arguments_say() {
    let world = world(Script::modern()).await;
    let post = async |header: Option<&str>| {
        let params = json!({"name": "my-mcp-server___query", "arguments": {"region": "a"}});
        let (mut headers, body) = modern("tools/call", params);
        if let Some(value) = header {
            headers.push(("mcp-param-region", value.to_owned()));
        }
        world.alice().post(&borrowed(&headers), body).await
    };
    assert_eq!(post(Some("a")).await.status, 200);
    assert_eq!(post(Some("b")).await.refusal().await, (400, -32020));
    assert_eq!(post(None).await.refusal().await, (400, -32020));
    // A legacy client knows nothing of these headers.
    let answer = world
        .alice()
        .call(LEGACY, "query", json!({"region": "a"}))
        .await;
    assert_eq!(answer.status, 200);
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn progress_comes_with_the_clients_own_token_in_every_cell() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        for era in [MODERN, LEGACY] {
            let params = json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": {"progressToken": "mine-é"}});
            let answer = if era == MODERN {
                world.alice().modern("tools/call", params).await
            } else {
                world.alice().legacy("tools/call", params).await
            };
            assert_eq!(answer.header("content-type"), "text/event-stream");
            assert_eq!(answer.header("x-accel-buffering"), "no");
            let messages = answer.messages().await;
            assert_eq!(messages.len(), 4, "{era}: {messages:?}");
            for message in &messages[..3] {
                assert_eq!(message["method"], "notifications/progress");
                assert_eq!(message["params"]["progressToken"], "mine-é");
            }
            assert_eq!(messages[3]["id"], 1);
        }
    }
}

// TM-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_takes_only_one_media_type_gets_that_one() {
    let world = world(Script::dual()).await;
    let params =
        json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": {"progressToken": 1}});
    let json_only = world.alice().with("accept", "application/json");
    let answer = json_only.modern("tools/call", params).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json().await["id"], 1);
    let events_only = world.alice().with("accept", "text/event-stream");
    let answer = events_only.call(MODERN, "echo", json!({})).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.messages().await.len(), 1);
    let nothing = world.alice().with("accept", "text/html");
    assert_eq!(nothing.call(MODERN, "echo", json!({})).await.status, 406);
}

/// Alice calls `echo` and hangs up when the call has reached its target.
async fn hang_up_on_a_call(world: &World, era: &str) {
    let alice = world.alice();
    let call = alice.call(era, "echo", json!({}));
    let arrived = world
        .upstream
        .until("the call", |fake| !fake.seen_of("tools/call").is_empty());
    tokio::select! {
        _ = call => panic!("answered"),
        arrived = arrived => arrived.unwrap(),
    }
}

// TM-13, TM-20
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_client_that_hangs_up_cancels_the_call() {
    let world = world(Script::modern().on("tools/call echo", Act::Hang)).await;
    world.alice().modern("tools/list", json!({})).await;
    hang_up_on_a_call(&world, MODERN).await;
    world
        .upstream
        .until("the hang-up", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();
}

// TM-13
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_client_that_closes_the_stream_cancels_the_call() {
    let drip = Act::Drip(Duration::from_millis(10));
    let world = world(Script::modern().on("tools/call progress", drip)).await;
    let params =
        json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut events = world.alice().modern("tools/call", params).await.stream();
    events.next().await.unwrap();
    drop(events);
    world
        .upstream
        .until("the hang-up", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_client_that_hangs_up_does_not_cancel_the_call() {
    let slow = Act::Slow(Duration::from_millis(300));
    let world = world(Script::legacy().on("tools/call echo", slow)).await;
    world.alice().legacy("tools/list", json!({})).await;
    hang_up_on_a_call(&world, LEGACY).await;
    world.stop.cancel();
    world.tasks.close();
    tokio::time::timeout(Duration::from_secs(10), world.tasks.wait())
        .await
        .unwrap();
    assert!(world.upstream.abandoned().is_empty());
    assert!(world.upstream.seen_of("notifications/cancelled").is_empty());
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_client_that_closes_the_stream_can_still_cancel_the_call() {
    let drip = Act::Drip(Duration::from_millis(5));
    let world = world(Script::legacy().on("tools/call progress", drip)).await;
    let params =
        json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut events = world.alice().legacy("tools/call", params).await.stream();
    events.next().await.unwrap();
    drop(events);
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
    assert!(world.upstream.abandoned().is_empty());
    let note =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let headers = [("mcp-protocol-version", LEGACY)];
    assert_eq!(
        world.alice().post(&headers, note.to_string()).await.status,
        202
    );
    world
        .upstream
        .until("the hang-up", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_client_that_hangs_up_before_the_answer_can_still_cancel_the_call() {
    let world = world(Script::legacy().on("tools/call echo", Act::Hang)).await;
    world.alice().legacy("tools/list", json!({})).await;
    hang_up_on_a_call(&world, LEGACY).await;
    let note =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let headers = [("mcp-protocol-version", LEGACY)];
    assert_eq!(
        world.alice().post(&headers, note.to_string()).await.status,
        202
    );
    world
        .upstream
        .until("the cancellation", |fake| {
            !fake.seen_of("notifications/cancelled").is_empty()
        })
        .await
        .unwrap();
}

// TM-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_quiet_stream_is_kept_open_with_comments() {
    let script = Script::modern().on("tools/call progress", Act::Drip(Duration::from_hours(1)));
    let world = world_with(script, |settings| {
        settings.limits.keep_alive = Duration::from_millis(20);
    })
    .await;
    let params =
        json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": {"progressToken": 1}});
    let mut events = world.alice().modern("tools/call", params).await.stream();
    assert!(events.next().await.unwrap().starts_with(b"event: message"));
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap(), mcp::sse::KEEP_ALIVE);
    }
}

// TM-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_says_nothing_for_long_is_kept_open_with_comments() {
    let script = Script::legacy().on("tools/call echo", Act::HangAfterHead);
    let world = world_with(script, |settings| {
        for target in &mut settings.targets {
            target.timeouts.first_message = Duration::from_millis(20);
        }
        settings.limits.keep_alive = Duration::from_millis(20);
    })
    .await;
    let params = json!({"name": "my-mcp-server___echo", "arguments": {}});
    let mut events = world.alice().modern("tools/call", params).await.stream();
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap(), mcp::sse::KEEP_ALIVE);
    }
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_client_cancels_its_own_call_by_saying_so() {
    let world = world(Script::legacy().on("tools/call echo", Act::Hang)).await;
    let id = world.alice().initialize().await;
    let alice = world.alice().with("mcp-session-id", id);
    alice.legacy("tools/list", json!({})).await;
    let cancel = async {
        world
            .upstream
            .until("the call", |fake| !fake.seen_of("tools/call").is_empty())
            .await
            .unwrap();
        let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
        let headers = [("mcp-protocol-version", LEGACY)];
        // Somebody else's word counts for nothing, nor does one without the session.
        world.mallory().post(&headers, note.to_string()).await;
        world.alice().post(&headers, note.to_string()).await;
        assert_eq!(alice.post(&headers, note.to_string()).await.status, 202);
    };
    let (answer, ()) = tokio::join!(alice.call(LEGACY, "echo", json!({})), cancel);
    assert_eq!(answer.refusal().await, (200, -32603));
    world
        .upstream
        .until("the cancellation", |fake| {
            !fake.seen_of("notifications/cancelled").is_empty()
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_tool_is_an_error_of_its_parameters() {
    let world = world(Script::dual()).await;
    let answer = world.alice().call(MODERN, "no-such-tool", json!({})).await;
    assert_eq!(answer.refusal().await, (200, -32602));
    // SEC-68: the name at the target is no name here.
    let answer = world
        .alice()
        .modern("tools/call", json!({"name": "echo", "arguments": {}}))
        .await;
    assert_eq!(answer.refusal().await, (200, -32602));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_with_malformed_parameters_do_not_reach_the_target() {
    let world = world(Script::dual()).await;
    for (params, status) in [
        (r"{}", 200),
        (r#"{"name":1}"#, 200),
        (r#"{"name":"my-mcp-server___echo","arguments":[]}"#, 200),
        (r#"{"name":"my-mcp-server___echo","name":"x"}"#, 400),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let answer = world
            .alice()
            .post(&[("mcp-protocol-version", LEGACY)], body)
            .await;
        assert_eq!(answer.refusal().await, (status, -32602), "{params}");
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
}

// TM-20
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ids_come_back_as_they_were_spelled() {
    let world = world(Script::dual()).await;
    for id in [
        r#""a""#,
        r#""\u0041""#,
        "12345678901234567890",
        "1.50",
        "-7",
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"my-mcp-server___echo"}}}}"#
        );
        let text = world
            .alice()
            .post(&[("mcp-protocol-version", LEGACY)], body)
            .await
            .text()
            .await;
        assert!(text.contains(&format!(r#""id":{id},"#)), "{text}");
    }
}
