//! Protected resource metadata.

use http::Method;
use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::{authorizer, authorizers, world, world_with, world_with_its_issuer_down};

const ROOT: &str = "/.well-known/oauth-protected-resource";
const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

// RS-1, RS-2, RS-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_document_is_public_and_the_same_at_both_urls() {
    let world = world(Script::dual()).await;
    for path in [ROOT, PATH] {
        let answer = world.stranger().send(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            answer.json().await,
            json!({
                "resource": "http://127.0.0.1:8480/mcp",
                "authorization_servers": [world.idp.issuer()],
                "scopes_supported": ["mcp:tools"],
                "bearer_methods_supported": ["header"],
                "resource_name": "demo",
            })
        );
    }
}

// RS-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_the_issuer_is_down_its_name_is_presumed() {
    let world = world_with_its_issuer_down().await;
    let answer = world.stranger().send(Method::GET, PATH, &[], "").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(
        answer.json().await["authorization_servers"],
        json!([world.idp.issuer()])
    );
}

// RS-15
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn offline_access_is_neither_published_nor_asked_for() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).allowed_scopes = "mcp:tools offline_access".parse().unwrap();
    })
    .await;
    let published = world
        .stranger()
        .send(Method::GET, PATH, &[], "")
        .await
        .text()
        .await;
    let challenged = world.stranger().send(Method::POST, "/mcp", &[], "").await;
    assert!(!published.contains("offline_access"));
    assert!(
        !challenged
            .header("www-authenticate")
            .contains("offline_access")
    );
    assert_eq!(
        world.alice().modern("tools/list", json!({})).await.status,
        200
    );
}

// §8-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_gateway_at_the_root_has_no_slash_in_its_name() {
    let world = world_with(Script::dual(), |settings| {
        settings.url = "https://gateway.example".parse().unwrap();
    })
    .await;
    let document = world
        .stranger()
        .send(Method::GET, ROOT, &[], "")
        .await
        .json()
        .await;
    assert_eq!(document["resource"], "https://gateway.example");
    let challenge = world.stranger().send(Method::POST, "/", &[], "").await;
    assert!(
        challenge
            .header("www-authenticate")
            .contains(&format!("https://gateway.example{ROOT}"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_paths_and_methods_are_not_served() {
    let world = world(Script::dual()).await;
    assert_eq!(
        world
            .alice()
            .send(Method::GET, "/other", &[], "")
            .await
            .status,
        404
    );
    assert_eq!(
        world.alice().send(Method::POST, PATH, &[], "").await.status,
        405
    );
}

// SEC-74
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn browsers_may_ask_first() {
    let world = world(Script::dual()).await;
    let headers = [
        ("origin", "https://anywhere.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ];
    let answer = world
        .stranger()
        .send(Method::OPTIONS, PATH, &headers, "")
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "mcp-protocol-version"
    );
}

// RS-1, RS-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_was_told_a_slash_at_the_end_finds_the_resource_spelled_so() {
    let spelled = "http://127.0.0.1:8480/mcp/";
    let world = world_with(Script::dual(), |settings| {
        for authorizer in authorizers(settings) {
            authorizer.allowed_audiences = vec!["http://127.0.0.1:8480/mcp".to_owned()];
        }
    })
    .await;
    for (endpoint, resource) in [("/mcp", "http://127.0.0.1:8480/mcp"), ("/mcp/", spelled)] {
        let refused = world
            .stranger()
            .send(Method::POST, endpoint, &[], "{}")
            .await;
        let path = format!("/.well-known/oauth-protected-resource{endpoint}");
        let leads_to = format!("resource_metadata=\"http://127.0.0.1:8480{path}\"");
        let challenge = refused.header("www-authenticate").to_owned();
        assert!(challenge.ends_with(&leads_to), "{challenge}");
        let document = world.stranger().send(Method::GET, &path, &[], "").await;
        assert_eq!(document.json().await["resource"], resource);
        // The issuer puts into the token what the client asked for.
        let token = world
            .idp
            .token(&world.claims_with("aud", json!(resource)))
            .unwrap();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let answer = world
            .holder(token)
            .send(Method::POST, endpoint, &[], body)
            .await;
        assert_eq!(answer.status, 200, "{resource}");
    }
    let root = "/.well-known/oauth-protected-resource";
    let document = world.stranger().send(Method::GET, root, &[], "").await;
    assert_eq!(
        document.json().await["resource"],
        "http://127.0.0.1:8480/mcp"
    );
}
