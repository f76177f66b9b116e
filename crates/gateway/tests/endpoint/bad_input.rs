//! Bodies and headers that no client should send (ISSUE §8): each gets its own defined answer.

use bytes::Bytes;
use http::Method;
use net::body::Body;
use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::{LEGACY, MODERN, World, modern, world, world_with};

async fn refused(world: &World, body: impl Into<Bytes>) -> (u16, i64) {
    world
        .alice()
        .post(&[("mcp-protocol-version", LEGACY)], body)
        .await
        .refusal()
        .await
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_over_the_limit_is_refused() {
    let world = world_with(Script::dual(), |settings| settings.limits.body = 1000).await;
    assert_eq!(refused(&world, vec![b' '; 1001]).await, (413, -31400));
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 100])));
    let endless = Body::from_stream(futures_util::stream::iter(pieces));
    let headers = [("content-type", "application/json")];
    let answer = world
        .alice()
        .send(Method::POST, "/mcp", &headers, endless)
        .await;
    assert_eq!(answer.status, 413);
}

// SEC-61
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_that_breaks_off_is_refused() {
    let world = world(Script::dual()).await;
    let pieces = [
        Ok(Bytes::from_static(b"{\"json")),
        Err(std::io::Error::other("gone")),
    ];
    let broken = Body::from_stream(futures_util::stream::iter(pieces));
    let headers = [("content-type", "application/json")];
    let answer = world
        .alice()
        .send(Method::POST, "/mcp", &headers, broken)
        .await;
    assert_eq!(answer.status, 408);
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn truncated_json_is_a_parse_error() {
    let world = world(Script::dual()).await;
    for body in [
        "",
        " ",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        r#"{"jsonrpc":"2"#,
    ] {
        assert_eq!(refused(&world, body).await, (400, -32700), "{body}");
    }
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn json_nested_ten_thousand_deep_is_refused() {
    let world = world(Script::dual()).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"a":{deep}}}}}"#);
    assert_eq!(refused(&world, body).await, (400, -32600));
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn duplicate_keys_in_the_envelope_are_refused() {
    let world = world(Script::dual()).await;
    for twice in [
        r#""id":2"#,
        r#""method":"tools/call""#,
        r#""jsonrpc":"2.0""#,
        r#""params":{}"#,
        r#""m\u0065thod":"x""#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{}},{twice}}}"#);
        assert_eq!(refused(&world, body).await, (400, -32600), "{twice}");
    }
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn duplicate_routing_fields_are_refused() {
    let world = world(Script::dual()).await;
    let (headers, body) = modern("tools/list", json!({}));
    let twice = r#""io.modelcontextprotocol/protocolVersion":"2025-11-25","#;
    let body = body.replacen(r#""_meta":{"#, &format!(r#""_meta":{{{twice}"#), 1);
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(
        world.alice().post(&headers, body).await.refusal().await,
        (400, -32602)
    );
}

// SEC-64, TM-1, TL-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_batch_is_refused() {
    let world = world(Script::dual()).await;
    assert_eq!(
        refused(&world, r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#).await,
        (400, -32600)
    );
    assert_eq!(refused(&world, "[]").await, (400, -32600));
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn invalid_utf8_is_a_parse_error() {
    let world = world(Script::dual()).await;
    let body = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xffng\"}".to_vec();
    assert_eq!(refused(&world, body).await, (400, -32700));
}

// TM-4, TM-5, SEC-65
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn headers_that_differ_from_the_body_are_refused() {
    let world = world(Script::dual()).await;
    let (headers, body) = modern(
        "tools/call",
        json!({"name": "my-mcp-server___echo", "arguments": {}}),
    );
    for (name, value) in [
        ("mcp-protocol-version", LEGACY),
        ("mcp-method", "tools/list"),
        ("mcp-name", "my-mcp-server___other"),
        ("mcp-name", "=?base64?!!?="),
        ("mcp-name", "\u{e9}"),
    ] {
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.retain(|(known, _)| *known != name);
        let missing = world.alice().post(&headers, body.clone()).await;
        assert_eq!(missing.refusal().await, (400, -32020), "{name} is missing");
        headers.push((name, value));
        let different = world.alice().post(&headers, body.clone()).await;
        assert_eq!(different.refusal().await, (400, -32020), "{name}: {value}");
    }
    assert!(world.upstream.seen_of("tools/call").is_empty());
}

// TM-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_encoded_name_header_is_decoded_before_it_is_compared() {
    let world = world(Script::dual()).await;
    let (headers, body) = modern(
        "tools/call",
        json!({"name": "my-mcp-server___echo", "arguments": {}}),
    );
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    headers.retain(|(known, _)| *known != "mcp-name");
    headers.push(("Mcp-Name", "=?base64?bXktbWNwLXNlcnZlcl9fX2VjaG8=?="));
    assert_eq!(world.alice().post(&headers, body).await.status, 200);
}

// SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_content_types_are_refused() {
    let world = world(Script::dual()).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
    ] {
        let alice = world.alice().with("content-type", content_type);
        assert_eq!(alice.post(&[], body).await.status, 415, "{content_type}");
    }
    let alice = world
        .alice()
        .with("content-type", "application/json; charset=utf-8");
    assert_eq!(alice.post(&[], body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_verbs_are_refused() {
    let world = world(Script::dual()).await;
    for verb in [Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        let answer = world.alice().send(verb.clone(), "/mcp", &[], "").await;
        assert_eq!(answer.status, 405, "{verb}");
        assert_eq!(answer.header("allow"), "POST, GET, DELETE, OPTIONS");
    }
}

// SEC-72
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn after_all_of_it_the_gateway_still_serves() {
    let world = world(Script::dual()).await;
    for body in [
        "\0",
        "nul",
        "\"",
        "{\"a\":\"\\u12\"}",
        "1e999999",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":1}",
    ] {
        let (status, code) = refused(&world, body).await;
        assert_eq!(status, 400, "{body}");
        assert!(code < -32000, "{body}");
    }
    assert_eq!(
        world.alice().call(MODERN, "echo", json!({})).await.status,
        200
    );
}
