//! Scripts of other origins: on the endpoints that clients call, and on no page (SEC-74).

use http::Method;

use crate::world::client::ClientWorld;

const FOR_SCRIPTS: [&str; 6] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/jwks",
    "/token",
    "/revoke",
    "/userinfo",
];
const FOR_PEOPLE: [&str; 4] = ["/authorize", "/login", "/consent", "/logout"];

// SEC-74
#[tokio::test]
async fn a_preflight_is_answered_without_authentication() {
    let world = ClientWorld::new().await;
    for path in FOR_SCRIPTS {
        let headers = [
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            (
                "access-control-request-headers",
                "authorization, mcp-protocol-version, x-custom",
            ),
        ];
        let answer = world.send(Method::OPTIONS, path, &headers, "").await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert!(
            answer
                .header("access-control-allow-headers")
                .contains("authorization"),
            "{path}"
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            "",
            "{path}"
        );
    }
}

// SEC-74
#[tokio::test]
async fn errors_can_be_read_by_scripts_too() {
    let world = ClientWorld::new().await;
    let refused = world
        .post(
            "/token",
            &[("origin", "https://app.example")],
            &[("grant_type", "x")],
        )
        .await;
    assert_eq!(
        (
            refused.status,
            refused.header("access-control-allow-origin")
        ),
        (400, "*")
    );
    let challenged = world
        .get("/userinfo", &[("origin", "https://app.example")])
        .await;
    assert_eq!(
        (
            challenged.status,
            challenged.header("access-control-allow-origin")
        ),
        (401, "*")
    );
    assert!(
        challenged
            .header("access-control-expose-headers")
            .contains("WWW-Authenticate")
    );
}

// SEC-74
#[tokio::test]
async fn pages_are_closed_to_scripts() {
    let world = ClientWorld::new().await;
    for path in FOR_PEOPLE {
        let answer = world.get(path, &[("origin", "https://evil.example")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}
