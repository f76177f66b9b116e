//! What real clients send that no specification asks for: none of it spoils what is needed.

use http::Method;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, Script};

use crate::world::{LEGACY, MODERN, modern, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_byte_order_mark_and_null_members_do_no_harm() {
    let world = world(Script::dual()).await;
    for body in [
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":null,"_meta":null}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","result":null,"error":null}"#,
        r#"{"jsonrpc":"2.0","id":"a text","method":"tools/list","params":{"_meta":[]}}"#,
    ] {
        let answer = world.alice().post(&[], body).await.json().await;
        assert_eq!(
            answer["result"]["tools"].as_array().map(Vec::len),
            Some(5),
            "{body}: {answer}"
        );
    }
    let note = r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized","params":null}"#;
    let answer = world.alice().post(&[], note).await;
    assert_eq!(answer.status, 202);
    let request = r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#;
    let answer = world.alice().post(&[], request).await;
    assert_eq!(answer.refusal().await, (400, -32600));
}

// SEC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn json_is_json_whatever_it_is_called() {
    let world = world(Script::dual()).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for content_type in [
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json-rpc",
        "application/vnd.mcp+json",
        "text/json",
        "",
    ] {
        let alice = world.alice().with("content-type", content_type);
        assert_eq!(alice.post(&[], body).await.status, 200, "{content_type}");
    }
    let answer = world.alice().send(Method::POST, "/mcp", &[], body).await;
    assert_eq!(answer.status, 200, "not declared at all");
    let coded = world.alice().with("content-encoding", "gzip");
    let answer = coded.post(&[], body).await;
    assert_eq!(answer.header("accept-encoding"), "identity");
    assert_eq!(answer.refusal().await, (415, -31400));
    let plain = world.alice().with("content-encoding", "identity");
    assert_eq!(plain.post(&[], body).await.status, 200);
}

// TL-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn members_that_nobody_needs_may_be_of_any_type() {
    let world = world(Script::dual()).await;
    for params in [
        Value::Null,
        json!({}),
        json!({"protocolVersion": null, "capabilities": null, "clientInfo": null}),
        json!({"protocolVersion": 7, "capabilities": [], "clientInfo": "x", "_meta": 1}),
    ] {
        let answer = world.alice().legacy("initialize", params.clone()).await;
        let answer = answer.json().await;
        assert_eq!(answer["result"]["protocolVersion"], LEGACY, "{params}");
    }
    for (key, value) in [
        ("io.modelcontextprotocol/clientInfo", json!(null)),
        ("io.modelcontextprotocol/clientInfo", json!([1])),
        ("io.modelcontextprotocol/logLevel", json!(3)),
        ("progressToken", json!({})),
        ("progressToken", json!(null)),
        (
            "io.modelcontextprotocol/clientCapabilities",
            json!({"sampling": null, "roots": 1, "extensions": []}),
        ),
    ] {
        let params =
            json!({"name": "my-mcp-server___echo", "arguments": null, "_meta": {key: value}});
        let answer = world.alice().modern("tools/call", params).await;
        assert_eq!(answer.status, 200, "{key}: {value}");
    }
    for seen in world.upstream.seen_of("tools/call") {
        let params = &seen.json()["params"];
        let meta = &params["_meta"];
        assert_eq!(params.get("arguments"), None, "{params}");
        assert!(
            meta.get("io.modelcontextprotocol/logLevel").is_none(),
            "{meta}"
        );
        assert!(meta.get("progressToken").is_none(), "{meta}");
    }
}

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_session_is_called_what_the_sdks_call_it() {
    let world = world(Script::dual()).await;
    let alice = world.alice().with("mcp-session-id", "forgotten");
    for answer in [
        alice.legacy("tools/list", json!({})).await,
        alice.send(Method::GET, "/mcp", &[], "").await,
        alice.send(Method::DELETE, "/mcp", &[], "").await,
    ] {
        assert_eq!(answer.refusal().await, (404, -32001));
    }
}

// TM-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn log_messages_are_for_those_who_asked_and_for_sessions_as_the_target_chooses() {
    let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],"resultType":"complete"}}"#;
    let events = format!("data: {note}\n\ndata: {result}\n\n");
    let world = world(Script::dual().on("tools/call echo", Act::Events(events))).await;
    let logs = async |era: &str, level: &str| {
        let params = json!({"name": "my-mcp-server___echo", "_meta": {"io.modelcontextprotocol/logLevel": level}});
        let alice = world.alice();
        let answer = if era == MODERN {
            alice.modern("tools/call", params).await
        } else {
            let params = json!({"name": "my-mcp-server___echo"});
            alice.legacy("tools/call", params).await
        };
        let messages = answer.messages().await;
        let logs = messages
            .iter()
            .filter(|message| message["method"] == "notifications/message");
        logs.count()
    };
    assert_eq!(logs(MODERN, "info").await, 1);
    assert_eq!(logs(MODERN, "no level").await, 0);
    assert_eq!(logs(LEGACY, "").await, 1);
    let (headers, body) = modern("server/discover", json!({}));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let discovered = world.alice().post(&headers, body).await.json().await;
    assert_eq!(discovered["result"]["capabilities"]["logging"], json!({}));
    let params = json!({"protocolVersion": LEGACY});
    let agreed = world
        .alice()
        .legacy("initialize", params)
        .await
        .json()
        .await;
    assert_eq!(agreed["result"]["capabilities"]["logging"], json!({}));
}
