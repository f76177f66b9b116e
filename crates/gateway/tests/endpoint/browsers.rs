//! Web pages: whose may call, and what they may read.

use http::Method;
use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::world;

// TM-2, SEC-62
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_of_foreign_origins_are_refused_before_anything_else() {
    let world = world(Script::dual()).await;
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
    ] {
        for actor in [world.alice(), world.stranger()] {
            let answer = actor
                .with("origin", origin)
                .modern("tools/list", json!({}))
                .await;
            assert_eq!(answer.status, 403, "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
            assert_eq!(answer.header("www-authenticate"), "");
        }
    }
}

// TM-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_of_this_machine_and_of_configured_origins_may_call_and_read_answers() {
    let world = world(Script::dual()).await;
    for origin in [
        "http://localhost:6274",
        "http://127.0.0.1:6274",
        "https://app.example",
    ] {
        let answer = world
            .alice()
            .with("origin", origin)
            .modern("tools/list", json!({}))
            .await;
        assert_eq!(answer.status, 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("vary"), "Origin");
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("WWW-Authenticate")
        );
    }
}

// SEC-74
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn refusals_can_be_read_by_pages_too() {
    let world = world(Script::dual()).await;
    let page = world.stranger().with("origin", "http://localhost:6274");
    let answer = page.modern("tools/list", json!({})).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "http://localhost:6274"
    );
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("WWW-Authenticate")
    );
}

// SEC-74
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_preflight_needs_no_token_and_echoes_the_headers_asked_for() {
    let world = world(Script::dual()).await;
    let headers = [
        ("origin", "http://localhost:6274"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,mcp-param-region",
        ),
    ];
    let answer = world
        .stranger()
        .send(Method::OPTIONS, "/mcp", &headers, "")
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "http://localhost:6274"
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization,content-type,mcp-param-region"
    );
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("DELETE")
    );
}

// SEC-74
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_preflight_of_a_foreign_page_permits_nothing() {
    let world = world(Script::dual()).await;
    let headers = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    let answer = world
        .stranger()
        .send(Method::OPTIONS, "/mcp", &headers, "")
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}
