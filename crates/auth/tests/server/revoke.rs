//! Revocation (RFC 7009).

use crate::world::client::{Answer, ClientWorld, SECRET, basic, refresh_form};

async fn revoke(world: &ClientWorld, client_id: &str, token: &str) -> Answer {
    world
        .post(
            "/revoke",
            &[],
            &[("client_id", client_id), ("token", token)],
        )
        .await
}

#[tokio::test]
async fn a_refresh_token_takes_its_whole_grant_with_it() {
    let world = ClientWorld::new().await;
    let tokens = world.tokens().await;
    let answer = revoke(&world, "app", &tokens.text("refresh_token")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(world.is_revoked(&tokens.text("access_token")));
    let refreshed = world
        .token(&refresh_form("app", &tokens.text("refresh_token")))
        .await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn an_old_refresh_token_revokes_too() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await;
    let second = world
        .token(&refresh_form("app", &first.text("refresh_token")))
        .await;
    revoke(&world, "app", &first.text("refresh_token")).await;
    assert!(world.is_revoked(&second.text("access_token")));
}

#[tokio::test]
async fn an_access_token_takes_only_itself() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await;
    let second = world
        .token(&refresh_form("app", &first.text("refresh_token")))
        .await;
    assert_eq!(
        revoke(&world, "app", &first.text("access_token"))
            .await
            .status,
        200
    );
    assert!(world.is_revoked(&first.text("access_token")));
    assert!(!world.is_revoked(&second.text("access_token")));
    assert_eq!(
        world
            .token(&refresh_form("app", &second.text("refresh_token")))
            .await
            .status,
        200
    );
}

// RFC 7009 §2.1: and it isn't told whether there was one.
#[tokio::test]
async fn a_token_of_another_client_stays_and_nothing_is_told() {
    let world = ClientWorld::new().await;
    let tokens = world.tokens().await;
    for kind in ["refresh_token", "access_token"] {
        assert_eq!(
            revoke(&world, "other", &tokens.text(kind)).await.status,
            200
        );
    }
    assert!(!world.is_revoked(&tokens.text("access_token")));
    assert_eq!(
        world
            .token(&refresh_form("app", &tokens.text("refresh_token")))
            .await
            .status,
        200
    );
}

// RFC 7009 §2.2
#[tokio::test]
async fn what_is_no_token_is_as_good_as_revoked() {
    let world = ClientWorld::new().await;
    for token in ["x", "a.b.c", &"A".repeat(75)] {
        assert_eq!(revoke(&world, "app", token).await.status, 200);
    }
    assert!(world.store.revocations().is_empty());
}

#[tokio::test]
async fn the_client_must_authenticate() {
    let world = ClientWorld::new().await;
    assert_eq!(
        revoke(&world, "keeper", "x").await.error(),
        (401, "invalid_client".to_owned())
    );
    assert_eq!(
        revoke(&world, "nobody", "x").await.error(),
        (401, "invalid_client".to_owned())
    );
    let header = basic("keeper", SECRET);
    assert_eq!(
        world
            .post("/revoke", &[("authorization", &header)], &[("token", "x")])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_request_without_token_is_refused() {
    let world = ClientWorld::new().await;
    let answer = world.post("/revoke", &[], &[("client_id", "app")]).await;
    assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
}

// SEC-10
#[tokio::test]
async fn a_token_in_the_query_is_refused() {
    let world = ClientWorld::new().await;
    let answer = world
        .post(
            "/revoke?token=x",
            &[],
            &[("client_id", "app"), ("token", "x")],
        )
        .await;
    assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
}
