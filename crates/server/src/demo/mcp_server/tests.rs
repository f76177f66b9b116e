//! The demonstration's MCP server, asked in both eras.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::*;

const SERVER: DemoMcpServer = DemoMcpServer {
    step: Duration::from_millis(1),
};

async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let peer = Peer {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        listener: "main".into(),
        arrival: net::edge::Arrival::Direct,
        tls: false,
        client_certificate: false,
    };
    let response = SERVER.call(request, &peer).await;
    let (parts, body) = response.into_parts();
    let body = net::body::read_bounded(body, LARGEST_BODY, IDLE)
        .await
        .unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn post() -> http::request::Builder {
    Request::post("/mcp").header("content-type", "application/json")
}

/// A request of the session era.
async fn legacy(body: Value) -> (StatusCode, Value) {
    let request = post().body(Body::from(body.to_string())).unwrap();
    let (status, _, text) = send(request).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A request of the stateless era, with everything that it must have.
fn modern_request(method: &str, mut params: Value) -> Request<Body> {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let body = json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params});
    let mut builder = post()
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if let Some(name) = params["name"].as_str() {
        builder = builder.header("mcp-name", name);
    }
    builder.body(Body::from(body.to_string())).unwrap()
}

async fn modern(method: &str, params: Value) -> (StatusCode, Value) {
    let (status, _, text) = send(modern_request(method, params)).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

// TM-15, TM-16
#[tokio::test]
async fn a_modern_client_discovers_the_server() {
    let (status, body) = modern("server/discover", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let result = &body["result"];
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "public");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "sekisho-demo"
    );
}

// TL-2, TL-4
#[tokio::test]
async fn a_legacy_client_shakes_hands_without_a_session() {
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let request = post().body(Body::from(body.to_string())).unwrap();
    let (status, headers, text) = send(request).await;
    assert_eq!(status, StatusCode::OK);
    assert!(headers.get("mcp-session-id").is_none());
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["result"]["protocolVersion"], "2025-06-18");
    assert!(body["result"].get("resultType").is_none());

    let (status, body) =
        legacy(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    assert_eq!((status, body), (StatusCode::ACCEPTED, Value::Null));
    let (_, body) = legacy(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})).await;
    assert_eq!(body, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
}

#[tokio::test]
async fn both_eras_list_the_same_tools() {
    let (_, one) = modern("tools/list", json!({})).await;
    let (_, other) = legacy(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!(one["result"]["tools"], other["result"]["tools"]);
    assert_eq!(one["result"]["ttlMs"], 3_600_000);
    assert_eq!(other["result"].as_object().unwrap().len(), 1);
    let names: Vec<&str> = one["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "add_numbers",
            "multiply_numbers",
            "greet_user",
            "count_slowly"
        ]
    );
}

#[tokio::test]
async fn both_eras_call_the_same_tools() {
    let params = json!({"name": "add_numbers", "arguments": {"a": 2, "b": 3}});
    let (_, one) = modern("tools/call", params.clone()).await;
    assert_eq!(one["result"]["structuredContent"], json!({"result": 5}));
    assert_eq!(one["result"]["resultType"], "complete");
    let (_, other) =
        legacy(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})).await;
    assert_eq!(
        other["result"]["content"],
        json!([{"type": "text", "text": "5"}])
    );
    assert!(other["result"].get("_meta").is_none());
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error() {
    let (status, body) = modern("tools/call", json!({"name": "nope"})).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::OK, &json!(-32602))
    );
}

#[tokio::test]
async fn counting_reports_progress_and_ends_with_the_result() {
    let params =
        json!({"name": "count_slowly", "arguments": {"to": 3}, "_meta": {"progressToken": "t"}});
    let (status, headers, text) = send(modern_request("tools/call", params)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/event-stream");
    let messages: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(messages.len(), 4);
    for (index, message) in messages.iter().take(3).enumerate() {
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"]["progressToken"], "t");
        assert_eq!(message["params"]["progress"], index + 1);
        assert_eq!(message["params"]["total"], 3);
    }
    assert_eq!(messages[3]["id"], "q");
    assert_eq!(
        messages[3]["result"]["structuredContent"],
        json!({"result": 3})
    );
}

#[tokio::test]
async fn counting_without_a_token_reports_nothing() {
    let params = json!({"name": "count_slowly", "arguments": {"to": 3}});
    let (_, _, text) = send(modern_request("tools/call", params)).await;
    assert!(!text.contains("notifications/progress"));
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("data: "))
            .count(),
        1
    );
}

// TM-4, TM-5
#[tokio::test]
async fn headers_that_differ_from_the_body_are_refused() {
    let mut request = modern_request("tools/call", json!({"name": "greet_user"}));
    request
        .headers_mut()
        .insert("mcp-name", HeaderValue::from_static("add_numbers"));
    let (status, _, text) = send(request).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!(-32020))
    );
    assert_eq!(body["id"], "q");
}

// TM-4
#[tokio::test]
async fn an_unknown_version_is_refused_with_those_that_are_known() {
    let params = json!({"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {}}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params});
    let request = post()
        .header("mcp-protocol-version", "2099-01-01")
        .header("mcp-method", "tools/list")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, text) = send(request).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!(-32022))
    );
    assert_eq!(
        body["error"]["data"],
        json!({"supported": ["2026-07-28"], "requested": "2099-01-01"})
    );
}

// TM-8
#[tokio::test]
async fn a_modern_request_without_its_metadata_is_refused() {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = post()
        .header("mcp-protocol-version", "2026-07-28")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, text) = send(request).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!(-32602))
    );
}

// TM-10
#[tokio::test]
async fn an_unknown_method_is_not_found_in_the_way_of_the_era() {
    for method in ["nope", "initialize", "ping", "subscriptions/listen"] {
        let (status, body) = modern(method, json!({})).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (StatusCode::NOT_FOUND, &json!(-32601)),
            "{method}"
        );
    }
    let (status, body) = legacy(json!({"jsonrpc": "2.0", "id": 1, "method": "nope"})).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::OK, &json!(-32601))
    );
}

// TM-14, TL-1
#[tokio::test]
async fn only_post_is_served_and_only_at_its_path() {
    for verb in ["GET", "DELETE", "PUT"] {
        let request = Request::builder()
            .method(verb)
            .uri("/mcp")
            .body(Body::empty())
            .unwrap();
        let (status, headers, _) = send(request).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers["allow"], "POST");
    }
    let request = Request::post("/other").body(Body::empty()).unwrap();
    assert_eq!(send(request).await.0, StatusCode::NOT_FOUND);
}

// TM-2
#[tokio::test]
async fn a_foreign_origin_is_forbidden() {
    for (origin, expected) in [
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
        ("http://localhost.evil.example", StatusCode::FORBIDDEN),
        ("http://localhost:6274", StatusCode::OK),
        ("http://127.0.0.1:6274", StatusCode::OK),
        ("http://[::1]:6274", StatusCode::OK),
    ] {
        let mut request = modern_request("tools/list", json!({}));
        request
            .headers_mut()
            .insert(ORIGIN, HeaderValue::from_static(origin));
        assert_eq!(send(request).await.0, expected, "{origin}");
    }
}

// SEC-63, TM-1
#[tokio::test]
async fn what_is_no_request_is_refused() {
    for body in ["", "{", "[]", "[{}]", "7", "\u{0}", &"[".repeat(10_000)] {
        let request = post().body(Body::from(body.to_owned())).unwrap();
        let (status, _, text) = send(request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:.20}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert!(body["error"]["code"].is_i64() && body["id"].is_null());
    }
    let large = Body::from("x".repeat(LARGEST_BODY + 1));
    assert_eq!(
        send(post().body(large).unwrap()).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let text = Request::post("/mcp").header("content-type", "text/plain");
    let request = text.body(Body::from("{}")).unwrap();
    assert_eq!(send(request).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
