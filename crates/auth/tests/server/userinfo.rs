//! The user information (OpenID Connect Core §5.3).

use http::Method;
use oauth::jose::jws::UnverifiedJws;
use serde_json::json;

use crate::world::client::{Answer, ClientWorld, refresh_form, with};

async fn userinfo(world: &ClientWorld, token: &str) -> Answer {
    world
        .get(
            "/userinfo",
            &[("authorization", &format!("Bearer {token}"))],
        )
        .await
}

#[tokio::test]
async fn the_holder_of_a_token_learns_about_its_user() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("access_token");
    let answer = userinfo(&world, &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({
            "sub": world.user.id.to_string(), "name": "Alice", "preferred_username": "alice",
            "email": "alice@example.org", "email_verified": false,
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let posted = world
        .send(
            Method::POST,
            "/userinfo",
            &[("authorization", &format!("bearer {token}"))],
            "",
        )
        .await;
    assert_eq!(posted.status, 200);
}

#[tokio::test]
async fn a_narrower_token_says_less() {
    let world = ClientWorld::new().await;
    let refresh_token = world.tokens().await.text("refresh_token");
    let narrow = world
        .token(&with(
            refresh_form("app", &refresh_token),
            &[("scope", "openid email")],
        ))
        .await;
    let answer = userinfo(&world, &narrow.text("access_token")).await;
    assert_eq!(answer.json()["name"], json!(null));
    assert_eq!(answer.json()["email"], "alice@example.org");
}

// RFC 6750 §3.1
#[tokio::test]
async fn without_a_token_there_is_a_challenge_without_error() {
    let world = ClientWorld::new().await;
    let answer = world.get("/userinfo", &[]).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Bearer realm=")
    );
    // Tokens in the query are not looked for.
    let token = world.tokens().await.text("access_token");
    assert_eq!(
        world
            .get(&format!("/userinfo?access_token={token}"), &[])
            .await
            .status,
        401
    );
}

fn assert_invalid(answer: &Answer) {
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(
        answer
            .header("www-authenticate")
            .starts_with("Bearer error=\"invalid_token\""),
        "{answer:?}"
    );
}

// SEC-40
#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let world = ClientWorld::new().await;
    assert_invalid(&userinfo(&world, &world.tokens().await.text("id_token")).await);
}

// SEC-39
#[tokio::test]
async fn a_token_of_somebody_else_is_refused() {
    let world = ClientWorld::new().await;
    let other = ClientWorld::new().await;
    assert_invalid(&userinfo(&world, &other.tokens().await.text("access_token")).await);
    assert_invalid(&userinfo(&world, "x").await);
}

// SEC-41
#[tokio::test]
async fn an_expired_token_is_refused() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("access_token");
    world.advance(599);
    assert_eq!(userinfo(&world, &token).await.status, 200);
    world.advance(12);
    assert_invalid(&userinfo(&world, &token).await);
}

// SEC-46
#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let world = ClientWorld::new().await;
    let tokens = world.tokens().await;
    world
        .post(
            "/revoke",
            &[],
            &[
                ("client_id", "app"),
                ("token", &tokens.text("refresh_token")),
            ],
        )
        .await;
    assert_invalid(&userinfo(&world, &tokens.text("access_token")).await);
}

#[tokio::test]
async fn a_disabled_user_is_nobody() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("access_token");
    store::user::set_disabled(&world.store, world.user.id, true)
        .await
        .unwrap();
    assert_invalid(&userinfo(&world, &token).await);
}

// RFC 6750 §3.1
#[tokio::test]
async fn a_token_without_openid_is_not_enough() {
    let world = ClientWorld::new().await;
    let refresh_token = world.tokens().await.text("refresh_token");
    let narrow = world
        .token(&with(
            refresh_form("app", &refresh_token),
            &[("scope", "mcp:tools")],
        ))
        .await;
    let answer = userinfo(&world, &narrow.text("access_token")).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .header("www-authenticate")
            .contains("error=\"insufficient_scope\"")
    );
}

// SEC-37
#[tokio::test]
async fn mapped_claims_are_said_in_the_tokens_of_their_scope_and_kind_and_follow_the_user() {
    let world = ClientWorld::with(|realm| {
        let tools = realm.scopes.iter_mut();
        let tools = tools.filter(|scope| scope.name.as_str() == "mcp:tools");
        for scope in tools {
            scope.claims = serde_json::from_value(json!([
                { "claim": "groups", "from": "groups", "tokens": ["access_token"] },
                { "claim": "department", "from": { "attribute": "dept" } },
                { "claim": "tenant", "from": { "value": "acme" }, "tokens": ["userinfo"] },
            ]))
            .unwrap();
        }
    })
    .await;
    let traits = serde_json::from_value(json!({
        "groups": ["staff", "admins"], "attributes": { "dept": "sales", "unsaid": "x" },
    }))
    .unwrap();
    let before = &world.user.traits;
    assert!(
        store::user::set_traits(&world.store, world.user.id, before, &traits)
            .await
            .unwrap()
    );
    let refresh_token = world.tokens().await.text("refresh_token");
    let tokens = world
        .token(&with(
            refresh_form("app", &refresh_token),
            &[("scope", "openid mcp:tools")],
        ))
        .await;
    let claim = |token: &str, name: &str| {
        let payload = claims_of(token);
        payload.get(name).cloned().unwrap_or_default()
    };
    let access = tokens.text("access_token");
    assert_eq!(claim(&access, "groups"), json!(["admins", "staff"]));
    assert_eq!(claim(&access, "department"), "sales");
    assert_eq!(claim(&access, "tenant"), json!(null));
    let id = tokens.text("id_token");
    assert_eq!(claim(&id, "groups"), json!(null));
    assert_eq!(claim(&id, "department"), "sales");
    let info = userinfo(&world, &access).await.json();
    assert_eq!(
        info,
        json!({
            "sub": world.user.id.to_string(), "department": "sales", "tenant": "acme",
        })
    );
    // Without the scope there is none of it.
    let plain = world
        .token(&with(
            refresh_form("app", &tokens.text("refresh_token")),
            &[("scope", "openid")],
        ))
        .await;
    let plain = plain.text("access_token");
    assert_eq!(claim(&plain, "groups"), json!(null));
    assert_eq!(claim(&plain, "department"), json!(null));
}

/// All that a token says.
fn claims_of(token: &str) -> serde_json::Value {
    let payload = UnverifiedJws::parse(token).unwrap().payload().to_vec();
    serde_json::from_slice(&payload).unwrap()
}
