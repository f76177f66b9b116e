//! `grant_type=refresh_token`.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::world::client::{
    Answer, ClientWorld, OTHER_RESOURCE, RESOURCE, claims, refresh_form, with,
};

const GRACE: u64 = 120;

async fn refresh(world: &ClientWorld, token: &str) -> Answer {
    world.token(&refresh_form("app", token)).await
}

fn assert_refused(answer: &Answer, code: &str) {
    assert_eq!(answer.error(), (400, code.to_owned()), "{answer:?}");
}

// AS-19, SEC-48, SEC-73
#[tokio::test]
async fn every_refresh_rotates_the_token() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await;
    let mut token = first.text("refresh_token");
    for _ in 0..5 {
        world.advance(600);
        let answer = refresh(&world, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.text("scope"), "openid profile email mcp:tools");
        assert_ne!(answer.text("refresh_token"), token);
        token = answer.text("refresh_token");
        let family = |token: &str| {
            claims(token)
                .token_id()
                .unwrap()
                .split('.')
                .next()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            family(&answer.text("access_token")),
            family(&first.text("access_token"))
        );
    }
}

// SEC-48: what Claude Code, Codex and claude.ai do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_refreshes_get_the_same_successor() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let answers = join_all((0..20).map(|_| refresh(&world, &token))).await;
    let successors: Vec<_> = answers
        .iter()
        .map(|answer| answer.text("refresh_token"))
        .collect();
    assert!(
        successors.windows(2).all(|pair| pair[0] == pair[1]),
        "{successors:?}"
    );
    assert_ne!(successors[0], token);
    let mut access_tokens: Vec<_> = answers
        .iter()
        .map(|answer| answer.text("access_token"))
        .collect();
    access_tokens.dedup();
    assert_eq!(access_tokens.len(), 20, "access tokens are never shared");
}

// SEC-48
#[tokio::test]
async fn the_previous_token_gives_the_same_successor_within_the_grace() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let successor = refresh(&world, &token).await.text("refresh_token");
    world.advance(GRACE - 1);
    assert_eq!(
        refresh(&world, &token).await.text("refresh_token"),
        successor
    );
    assert_eq!(refresh(&world, &successor).await.status, 200);
}

// SEC-48: the answer was lost, and the client comes back much later.
#[tokio::test]
async fn a_lost_answer_costs_nothing() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let lost = refresh(&world, &token).await.text("refresh_token");
    world.advance(3600);
    let recovered = refresh(&world, &token).await;
    assert_eq!(recovered.status, 200);
    assert_ne!(recovered.text("refresh_token"), lost);
    // Who presents the lost one now is not the client.
    assert_refused(&refresh(&world, &lost).await, "invalid_grant");
    assert_refused(
        &refresh(&world, &recovered.text("refresh_token")).await,
        "invalid_grant",
    );
}

// SEC-48
#[tokio::test]
async fn a_stolen_token_ends_the_grant_for_both() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await;
    let second = refresh(&world, &first.text("refresh_token")).await;
    let third = refresh(&world, &second.text("refresh_token")).await;
    world.advance(GRACE);
    assert_refused(
        &refresh(&world, &first.text("refresh_token")).await,
        "invalid_grant",
    );
    assert_refused(
        &refresh(&world, &third.text("refresh_token")).await,
        "invalid_grant",
    );
    for answer in [first, second, third] {
        assert!(world.is_revoked(&answer.text("access_token")));
    }
}

// SEC-49
#[tokio::test]
async fn another_client_is_refused_and_changes_nothing() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let foreign = world.token(&refresh_form("other", &token)).await;
    assert_refused(&foreign, "invalid_grant");
    let garbage = world.token(&refresh_form("other", &"A".repeat(75))).await;
    assert_eq!(
        foreign.body, garbage.body,
        "somebody else's token looks like none"
    );
    assert_eq!(refresh(&world, &token).await.status, 200);
}

// SEC-49
#[tokio::test]
async fn another_client_cannot_revoke_with_an_old_token() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await.text("refresh_token");
    let second = refresh(&world, &first).await.text("refresh_token");
    let third = refresh(&world, &second).await.text("refresh_token");
    assert_refused(
        &world.token(&refresh_form("other", &first)).await,
        "invalid_grant",
    );
    assert_eq!(refresh(&world, &third).await.status, 200);
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let world = ClientWorld::new().await;
    for token in ["x", "a.b.c", &"A".repeat(75), &"A".repeat(10_000)] {
        assert_refused(&refresh(&world, token).await, "invalid_grant");
    }
}

// SEC-38, AS-29
#[tokio::test]
async fn a_resource_narrows_this_access_token_only() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let narrow = world
        .token(&with(
            refresh_form("app", &token),
            &[("resource", OTHER_RESOURCE)],
        ))
        .await;
    assert_eq!(
        claims(&narrow.text("access_token")).audience(),
        [OTHER_RESOURCE, "mcp-gateway-demo"]
    );
    let wide = refresh(&world, &narrow.text("refresh_token")).await;
    assert_eq!(claims(&wide.text("access_token")).audience().len(), 3);
}

// SEC-38
#[tokio::test]
async fn a_resource_beyond_the_grant_is_refused_and_costs_nothing() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let wide = with(
        refresh_form("app", &token),
        &[("resource", "http://127.0.0.1:8480/elsewhere")],
    );
    assert_refused(&world.token(&wide).await, "invalid_target");
    let answer = refresh(&world, &token).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_scope_narrows_and_never_widens() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let wide = with(refresh_form("app", &token), &[("scope", "mcp:tools admin")]);
    assert_refused(&world.token(&wide).await, "invalid_scope");
    let narrow = world
        .token(&with(
            refresh_form("app", &token),
            &[("scope", "openid mcp:tools")],
        ))
        .await;
    assert_eq!(narrow.text("scope"), "openid mcp:tools");
    assert_eq!(
        claims(&narrow.text("access_token")).scopes(),
        ["openid", "mcp:tools"]
    );
    assert_eq!(
        refresh(&world, &narrow.text("refresh_token"))
            .await
            .text("scope"),
        "openid profile email mcp:tools"
    );
}

// OpenID Connect Core §12.2: a signature that nobody asked for costs everybody time.
#[tokio::test]
async fn an_id_token_comes_with_a_refresh_only_where_it_is_asked_for() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let plain = refresh(&world, &token).await;
    assert_eq!(plain.json()["id_token"], Value::Null);
    let form = refresh_form("app", &token);
    let asked = world
        .token(&with(form, &[("scope", "openid profile")]))
        .await;
    assert_eq!(claims(&asked.text("id_token")).audience(), ["app"]);
}

// SEC-38
#[tokio::test]
async fn scopes_that_the_operator_removed_are_left_out() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    world.reload(|realm| {
        realm
            .scopes
            .retain(|scope| scope.name.as_str() != "mcp:tools");
    });
    let answer = refresh(&world, &token).await;
    assert_eq!(answer.text("scope"), "openid profile email");
    let claims = claims(&answer.text("access_token"));
    assert_eq!(claims.scopes(), ["openid", "profile", "email"]);
    assert_eq!(claims.audience(), [RESOURCE, OTHER_RESOURCE]);
    let token = answer.text("refresh_token");
    let gone = with(refresh_form("app", &token), &[("scope", "mcp:tools")]);
    assert_refused(&world.token(&gone).await, "invalid_scope");
}

// SEC-38, AS-29
#[tokio::test]
async fn resources_that_the_operator_removed_are_in_no_new_token() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    world.reload(|realm| realm.resources.truncate(1));
    let gone = with(refresh_form("app", &token), &[("resource", OTHER_RESOURCE)]);
    assert_refused(&world.token(&gone).await, "invalid_target");
    let answer = refresh(&world, &token).await;
    assert_eq!(
        claims(&answer.text("access_token")).audience(),
        [RESOURCE, "mcp-gateway-demo"]
    );
    let token = answer.text("refresh_token");
    world.reload(|realm| realm.resources.clear());
    assert_refused(&refresh(&world, &token).await, "invalid_target");
    // That costs the client nothing: what comes back is granted as before.
    world.reload(|_| {});
    assert_eq!(refresh(&world, &token).await.status, 200);
}

// SEC-48: a replay is a replay, whatever else is wrong with it.
#[tokio::test]
async fn a_replay_that_asks_for_too_much_still_ends_the_grant() {
    let world = ClientWorld::new().await;
    let first = world.tokens().await.text("refresh_token");
    let second = refresh(&world, &first).await.text("refresh_token");
    let third = refresh(&world, &second).await.text("refresh_token");
    let replay = with(refresh_form("app", &first), &[("scope", "admin")]);
    assert_refused(&world.token(&replay).await, "invalid_grant");
    assert_refused(&refresh(&world, &third).await, "invalid_grant");
}

// SEC-45
#[tokio::test]
async fn an_idle_grant_ends() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    world.clock.advance(Duration::from_hours(14 * 24));
    assert_refused(&refresh(&world, &token).await, "invalid_grant");
}

// SEC-45
#[tokio::test]
async fn even_a_busy_grant_ends() {
    let world = ClientWorld::new().await;
    let mut token = world.tokens().await.text("refresh_token");
    for _ in 0..8 {
        world.clock.advance(Duration::from_hours(11 * 24));
        let answer = refresh(&world, &token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        token = answer.text("refresh_token");
    }
    world.clock.advance(Duration::from_hours(3 * 24));
    assert_refused(&refresh(&world, &token).await, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_renews_the_id_token_without_the_nonce() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    let form = with(refresh_form("app", &token), &[("scope", "openid")]);
    let id_token = claims(&world.token(&form).await.text("id_token"));
    assert_eq!(
        (id_token.audience(), id_token.get("nonce")),
        (["app".to_owned()].as_slice(), None::<&Value>)
    );
}

#[tokio::test]
async fn a_client_that_lost_the_grant_type_cannot_refresh() {
    let world = ClientWorld::new().await;
    let answer = world.token(&refresh_form("brief", "x")).await;
    assert_refused(&answer, "unauthorized_client");
}

#[tokio::test]
async fn a_disabled_user_gets_no_more_tokens() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("refresh_token");
    store::user::set_disabled(&world.store, world.user.id, true)
        .await
        .unwrap();
    assert_refused(&refresh(&world, &token).await, "invalid_grant");
    store::user::set_disabled(&world.store, world.user.id, false)
        .await
        .unwrap();
    assert_eq!(refresh(&world, &token).await.status, 200);
}
