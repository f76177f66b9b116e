//! Targets that misbehave (ISSUE §8): the client gets a defined error, the gateway goes on.

use std::time::Duration;

use serde_json::json;
use testkit::fake_mcp::{Act, Script};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{LEGACY, MODERN, World, world, world_with};

async fn misbehaving(act: Act) -> World {
    let script = Script::dual().on("tools/call echo", act);
    world_with(script, |settings| {
        for target in &mut settings.targets {
            target.timeouts.answer = Duration::from_millis(500);
            target.timeouts.idle = Duration::from_millis(500);
            target.limits.message = 100_000;
        }
    })
    .await
}

/// What both kinds of clients are told, after which the gateway still serves.
async fn told(act: Act) -> i64 {
    let mut codes = Vec::new();
    for era in [MODERN, LEGACY] {
        let world = misbehaving(act.clone()).await;
        let answer = world.alice().call(era, "echo", json!({})).await;
        assert_eq!(answer.status, 200);
        let message = answer.json().await;
        assert_eq!(message["id"], 1);
        let text = message.to_string();
        assert!(
            !text.contains(&world.upstream.address().port().to_string()),
            "leaks: {text}"
        );
        codes.push(message["error"]["code"].as_i64().unwrap());
        assert_eq!(
            world.alice().call(era, "headers", json!({})).await.status,
            200
        );
    }
    assert_eq!(codes[0], codes[1]);
    codes[0]
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_is_down_is_an_error_of_the_target() {
    let world = world(Script::dual()).await;
    world.alice().modern("tools/list", json!({})).await;
    let address = world.upstream.address();
    world
        .upstream
        .change(|script| script.acts.push(("tools/call".to_owned(), Act::Close)));
    let answer = world.alice().call(MODERN, "echo", json!({})).await;
    let message = answer.json().await;
    assert_eq!(message["error"]["code"], -31502);
    assert!(!message.to_string().contains(&address.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_was_never_reached_is_an_error_of_the_target_and_no_unknown_tool() {
    let world = world(Script::dual().on("tools/list", Act::Close)).await;
    let answer = world.alice().call(MODERN, "echo", json!({})).await;
    assert_eq!(answer.refusal().await, (200, -31502));
    let answer = world
        .alice()
        .modern("tools/call", json!({"name": "other___echo"}))
        .await;
    assert_eq!(answer.refusal().await, (200, -32602));
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_with_enough_to_do_says_when_to_come_back() {
    let drip = Act::Drip(Duration::from_millis(5));
    let script = Script::dual().on("tools/call progress", drip);
    let world = world_with(script, |settings| {
        for target in &mut settings.targets {
            target.limits.calls = 1;
        }
    })
    .await;
    world.alice().modern("tools/list", json!({})).await;
    let params = json!({"name": "my-mcp-server___progress", "_meta": {"progressToken": 1}});
    let under_way = world.alice().modern("tools/call", params).await;
    assert_eq!(under_way.status, 200);
    for era in [MODERN, LEGACY] {
        let answer = world.mallory().call(era, "echo", json!({})).await;
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.refusal().await, (503, -31503), "{era}");
    }
    drop(under_way);
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_hangs_is_a_timeout() {
    assert_eq!(told(Act::Hang).await, -31504);
    assert_eq!(told(Act::HangAfterHead).await, -31504);
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_answers_garbage_is_an_error_of_the_target() {
    for body in [
        "garbage",
        "{}",
        "[]",
        r#"{"jsonrpc":"2.0","id":"other","result":{}}"#,
        "\u{0}",
    ] {
        assert_eq!(told(Act::json(body)).await, -31502, "{body}");
    }
    assert_eq!(told(Act::status(500, "secret stack trace")).await, -31502);
    assert_eq!(
        told(Act::Events("data: garbage\n\n".to_owned())).await,
        -31502
    );
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_closes_in_mid_stream_is_an_error_at_the_end_of_the_stream() {
    assert_eq!(told(Act::CloseMidStream).await, -31502);
    assert_eq!(told(Act::Truncate).await, -31502);
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_line_of_a_hundred_megabytes_is_given_up_early() {
    assert_eq!(told(Act::EndlessLine(100_000_000)).await, -31502);
    assert_eq!(told(Act::HugeJson(100_000_000)).await, -31502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_target_calls_an_error_is_passed_on() {
    let act = Act::json(
        r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32050,"message":"no","data":{"x":1.50}}}"#,
    );
    let world = misbehaving(act).await;
    let text = world
        .alice()
        .call(LEGACY, "echo", json!({}))
        .await
        .text()
        .await;
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32050,"message":"no","data":{"x":1.50}}}"#
    );
}

// RS-18, SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_wants_a_token_is_no_challenge_to_the_client() {
    let act = Act::Answer {
        status: 401,
        content_type: "",
        headers: vec![("WWW-Authenticate", "Bearer realm=\"inner\"".to_owned())],
        body: String::new(),
    };
    let world = misbehaving(act).await;
    let answer = world.alice().call(MODERN, "echo", json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (200, "")
    );
    assert_eq!(answer.refusal().await, (200, -31502));
}

// SEC-61
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_stops_reading_is_cut_off_and_the_target_is_freed() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message",
        "params": {"level": "info", "data": "x".repeat(10_000)}});
    let flood = format!("data: {note}\n\n").repeat(5_000);
    let world = world(Script::modern().on("tools/call progress", Act::Events(flood))).await;
    let mut settings = net::edge::listen::Settings::plain("main", ([127, 0, 0, 1], 0).into());
    settings.limits.write_timeout = Duration::from_millis(500);
    let listener = net::edge::listen::Listener::bind(settings).await.unwrap();
    let address = listener.address();
    let site = std::sync::Arc::new(world.gateway.clone());
    world.tasks.spawn(listener.serve(site, world.stop.clone()));

    let wants_logs = json!({"io.modelcontextprotocol/logLevel": "info"});
    let params = json!({"name": "my-mcp-server___progress", "arguments": {}, "_meta": wants_logs});
    let (headers, body) = crate::world::modern("tools/call", params);
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        world.token(),
        body.len()
    );
    for (name, value) in &headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request.push_str(&body);
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 64];
    client.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));
    // And no more. The pipe fills, the listener gives up, the target's connection is closed.
    world
        .upstream
        .until("the hang-up", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
}
