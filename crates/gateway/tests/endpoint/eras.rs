//! Both eras on the client's side, before both eras on the other.

use serde_json::{Value, json};
use testkit::fake_mcp::Script;

use crate::world::{LEGACY, MODERN, modern, world};

fn upstreams() -> Vec<(&'static str, Script)> {
    vec![
        ("modern", Script::modern()),
        ("modern over SSE", Script::modern().over_sse()),
        ("legacy", Script::legacy()),
        ("legacy over SSE", Script::legacy().over_sse()),
        ("legacy without sessions", Script::legacy_without_sessions()),
    ]
}

// TM-16, TL-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tools_are_listed_and_called_in_every_cell() {
    for (name, script) in upstreams() {
        let world = world(script).await;
        for era in [MODERN, LEGACY] {
            let listed = if era == MODERN {
                world.alice().modern("tools/list", json!({})).await
            } else {
                world.alice().legacy("tools/list", json!({})).await
            };
            assert_eq!(listed.status, 200, "{name} {era}");
            let listed = listed.json().await;
            let tools = listed["result"]["tools"].as_array().unwrap();
            assert!(
                tools
                    .iter()
                    .any(|tool| tool["name"] == "my-mcp-server___echo"),
                "{name} {era}"
            );
            assert_eq!(listed["result"].get("resultType").is_some(), era == MODERN);

            let called = world.alice().call(era, "echo", json!({"a": 1.5})).await;
            assert_eq!(called.status, 200, "{name} {era}");
            let called = called.json().await;
            assert_eq!(called["id"], 1, "{name} {era}");
            assert!(
                called["result"]["content"][0]["text"]
                    .as_str()
                    .unwrap()
                    .contains("1.5")
            );
            if era == MODERN {
                assert_eq!(called["result"]["resultType"], "complete", "{name}");
                let server = &called["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
                assert_eq!(server["name"], "demo", "{name}");
            } else {
                assert_eq!(called["result"].get("resultType"), None, "{name}");
                assert_eq!(
                    called["result"].pointer("/_meta/io.modelcontextprotocol~1serverInfo"),
                    None
                );
            }
        }
    }
}

// TM-15, D3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn discover_names_versions_capabilities_and_who_answers() {
    let world = world(Script::legacy()).await;
    world.gateway.settle().await;
    let result = world
        .alice()
        .modern("server/discover", json!({}))
        .await
        .json()
        .await["result"]
        .clone();
    assert_eq!(result["supportedVersions"][0], MODERN);
    assert_eq!(
        result["capabilities"],
        json!({"tools": {"listChanged": true}, "logging": {}})
    );
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "demo"
    );
    assert_eq!(result["resultType"], "complete");
    assert!(result["ttlMs"].as_u64().is_some());
    assert_eq!(result["cacheScope"], "private");
}

// TL-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn initialize_negotiates_the_version() {
    let world = world(Script::modern()).await;
    for (asked, agreed) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2024-11-05"),
        ("2099-01-01", "2025-11-25"),
    ] {
        let params = json!({"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": "x", "method": "initialize", "params": params});
        let answer = world.alice().post(&[], body.to_string()).await;
        assert_eq!(answer.status, 200);
        let answer = answer.json().await;
        assert_eq!(
            (&answer["id"], &answer["result"]["protocolVersion"]),
            (&json!("x"), &json!(agreed))
        );
    }
}

// TM-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn methods_of_the_other_era_do_not_exist() {
    let world = world(Script::dual()).await;
    for method in ["initialize", "ping", "logging/setLevel", "no/such"] {
        let answer = world.alice().modern(method, json!({})).await;
        assert_eq!(answer.refusal().await, (404, -32601), "{method}");
    }
    for method in [
        "server/discover",
        "subscriptions/listen",
        "elicitation/create",
        "no/such",
    ] {
        let answer = world.alice().legacy(method, json!({})).await;
        assert_eq!(answer.refusal().await, (200, -32601), "{method}");
    }
    // The version is to blame only where another one has the method.
    for (method, blames) in [
        ("ping", true),
        ("resources/subscribe", true),
        ("no/such", false),
    ] {
        let answer = world.alice().modern(method, json!({})).await.json().await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(message.contains(MODERN), blames, "{method}: {message}");
    }
    assert_eq!(
        world.alice().legacy("ping", json!({})).await.json().await["result"],
        json!({})
    );
}

// TM-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_version_is_told_the_served_ones() {
    let world = world(Script::dual()).await;
    let (headers, body) = modern("tools/list", json!({}));
    let body = body.replace(MODERN, "1900-01-01");
    let mut headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    headers[0].1 = "1900-01-01";
    let answer = world.alice().post(&headers, body).await;
    assert_eq!(answer.status, 400);
    let error = answer.json().await["error"].clone();
    assert_eq!(error["code"], -32022);
    assert_eq!(error["data"]["requested"], "1900-01-01");
    assert_eq!(error["data"]["supported"][0], MODERN);
}

// TL-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_version_of_a_legacy_client_is_refused_and_none_is_assumed_to_be_the_oldest() {
    let world = world(Script::dual()).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let answer = world
        .alice()
        .post(&[("mcp-protocol-version", "1900-01-01")], body.clone())
        .await;
    assert_eq!(answer.refusal().await, (400, -32022));
    assert_eq!(world.alice().post(&[], body).await.status, 200);
}

// TM-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn modern_requests_need_their_metadata_except_client_info() {
    let world = world(Script::dual()).await;
    let headers = [
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/list"),
    ];
    let post = async |meta: Value| {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
        world.alice().post(&headers, body.to_string()).await
    };
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    assert_eq!(
        post(json!({version: MODERN, capabilities: {}}))
            .await
            .status,
        200
    );
    assert_eq!(
        post(json!({version: MODERN})).await.refusal().await,
        (400, -32602)
    );
    assert_eq!(
        post(json!({capabilities: {}})).await.refusal().await,
        (400, -32602)
    );
    assert_eq!(post(json!({})).await.refusal().await, (400, -32602));
}

// TM-14
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_request_ignores_session_ids() {
    let world = world(Script::dual()).await;
    let alice = world
        .alice()
        .with("mcp-session-id", "nonsense")
        .with("last-event-id", "7");
    let answer = alice.modern("tools/list", json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("mcp-session-id")),
        (200, "")
    );
}

// TM-7, TM-8, SEC-36: whatever is decided is decided by the body, and a target hears of nothing but that.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn headers_that_a_version_does_not_have_decide_nothing() {
    let world = world(Script::modern()).await;
    let named = [
        ("mcp-method", "tools/list"),
        ("mcp-name", "my-mcp-server___progress"),
    ];
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "my-mcp-server___echo", "arguments": {"a": 1}},
    });
    let old: Vec<_> = [("mcp-protocol-version", LEGACY)]
        .into_iter()
        .chain(named)
        .collect();
    let called = world.alice().post(&old, call.to_string()).await;
    assert_eq!(
        called.json().await["result"]["content"][0]["text"],
        r#"{"a":1}"#
    );
    let seen = world.upstream.seen_of("tools/call");
    assert_eq!(seen[0].header("mcp-method"), Some("tools/call"));
    assert_eq!(seen[0].header("mcp-name"), Some("echo"));
    // Of a version that nobody knows it is not known what its headers would mean.
    let (headers, body) = modern("tools/call", json!({"name": "my-mcp-server___echo"}));
    let unknown = "2099-01-01";
    let body = body.replace(MODERN, unknown);
    let headers = headers.iter().map(|(name, value)| match *name {
        "mcp-protocol-version" => (*name, unknown),
        name => (name, value.as_str()),
    });
    let headers: Vec<_> = headers.collect();
    let refused = world.alice().post(&headers, body).await;
    assert_eq!(refused.refusal().await, (400, -32022));
    assert_eq!(world.upstream.seen_of("tools/call").len(), 1);
}
