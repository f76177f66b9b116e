//! The discovery documents and who may read them.

use bytes::Bytes;
use http::Request;

use crate::world::{World, realm, realm_at};

const KINDS: [&str; 2] = ["oauth-authorization-server", "openid-configuration"];

// AS-4, AS-5
#[tokio::test]
async fn the_document_is_the_same_at_all_four_urls() {
    let world = World::new().await;
    let mut browser = world.browser();
    let mut bodies = Vec::new();
    for kind in KINDS {
        for url in [
            format!("http://127.0.0.1:8480/.well-known/{kind}/realms/mcp-demo"),
            format!("http://127.0.0.1:8480/realms/mcp-demo/.well-known/{kind}"),
        ] {
            let page = browser.get(&url).await.unwrap();
            assert_eq!(page.status, 200, "{url}");
            assert_eq!(page.header("content-type"), Some("application/json"));
            assert_eq!(
                page.json().unwrap()["issuer"],
                "http://127.0.0.1:8480/realms/mcp-demo"
            );
            bodies.push(page.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
}

// AS-4, AS-5
#[tokio::test]
async fn a_realm_bound_to_a_host_lives_at_its_root() {
    let world = World::with(realm_at("https://login.example")).await;
    let mut browser = world.browser();
    for kind in KINDS {
        let page = browser
            .get(&format!("https://login.example/.well-known/{kind}"))
            .await
            .unwrap();
        let document = page.json().unwrap();
        assert_eq!(document["issuer"], "https://login.example");
        assert_eq!(
            document["authorization_endpoint"],
            "https://login.example/authorize"
        );
        assert_eq!(document["token_endpoint"], "https://login.example/token");
    }
    let page = browser
        .get("https://login.example/authorize")
        .await
        .unwrap();
    assert_eq!(page.status, 400);
}

// AS-6, AS-8, AS-15, AS-28, AS-32, CI-12, SEC-9
#[tokio::test]
async fn the_document_says_what_is_implemented() {
    let world = World::new().await;
    let page = world
        .browser()
        .get(&world.url("/.well-known/oauth-authorization-server"))
        .await
        .unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&page.json().unwrap()).unwrap());
}

// AS-15, CI-12
#[tokio::test]
async fn documents_that_are_switched_off_are_not_advertised() {
    let mut realm = realm();
    realm.cimd.mode = model::client_policy::Mode::Off;
    let world = World::with(realm).await;
    let page = world
        .browser()
        .get(&world.url("/.well-known/openid-configuration"))
        .await
        .unwrap();
    assert_eq!(
        page.json().unwrap()["client_id_metadata_document_supported"],
        false
    );
}

// SEC-74
#[tokio::test]
async fn scripts_may_read_metadata_and_nothing_that_people_see() {
    let world = World::new().await;
    let mut browser = world.browser();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ] {
        let page = browser.get(&world.url(path)).await.unwrap();
        assert_eq!(
            page.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        assert_eq!(page.header("access-control-allow-credentials"), None);
        let preflight = Request::options(world.url(path))
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .header(
                "access-control-request-headers",
                "authorization,mcp-protocol-version,x-own",
            )
            .body(Bytes::new())
            .unwrap();
        let page = browser.send(preflight).await.unwrap();
        assert_eq!(page.status, 204);
        assert_eq!(
            page.header("access-control-allow-headers"),
            Some("authorization,mcp-protocol-version,x-own")
        );
        assert!(
            page.header("access-control-allow-methods")
                .unwrap()
                .contains("GET")
        );
    }
    for path in ["/authorize", "/login", "/consent", "/"] {
        let page = browser.get(&world.url(path)).await.unwrap();
        assert_eq!(page.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_here_is_not_found() {
    let world = World::new().await;
    let mut browser = world.browser();
    for url in [
        "http://127.0.0.1:8480/",
        "http://127.0.0.1:8480/realms/other/authorize",
        "http://127.0.0.1:8480/realms/mcp-demox/authorize",
        "http://evil.example/realms/mcp-demo/authorize",
        "http://127.0.0.1:8480/realms/mcp-demo/nothing",
        "http://127.0.0.1:8480/.well-known/oauth-authorization-server",
        "http://127.0.0.1:8480/.well-known/openid-configuration/realms/other",
    ] {
        assert_eq!(browser.get(url).await.unwrap().status, 404, "{url}");
    }
}
