//! `grant_type=authorization_code`.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use oauth::jose::alg::{Alg, AlgSet};
use oauth::jose::jwk::JwkSet;
use oauth::jose::jwt::{ACCESS_TOKEN, AbsentType, AcceptedTypes, VerifiedJwt};
use serde_json::{Value, json};

use crate::world::client::{
    Answer, ClientWorld, ISSUER, OTHER_RESOURCE, REDIRECT, RESOURCE, START, claims, refresh_form,
    with,
};

fn assert_refused(answer: &Answer, code: &str) {
    let status = if code == "invalid_client" { 401 } else { 400 };
    assert_eq!(answer.error(), (status, code.to_owned()), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

// SEC-73, AS-31
#[tokio::test]
async fn a_code_yields_tokens_once_and_nobody_may_keep_the_answer() {
    let world = ClientWorld::new().await;
    let answer = world.tokens().await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(tokens["scope"], "openid profile email mcp:tools");
    assert!(tokens["refresh_token"].is_string() && tokens["id_token"].is_string());
}

// RFC 9068 §2.2, AS-18, SEC-45
#[tokio::test]
async fn the_access_token_says_what_resources_need_to_know() {
    let world = ClientWorld::new().await;
    let token = world.tokens().await.text("access_token");
    let keys = JwkSet::parse(world.get("/jwks", &[]).await.body.as_bytes()).unwrap();
    let types = AcceptedTypes {
        named: &[ACCESS_TOKEN],
        absent: AbsentType::Refused,
    };
    let verified = VerifiedJwt::verify(&token, &keys, AlgSet::of(&[Alg::Es256]), types).unwrap();
    let mut said: BTreeMap<_, _> = verified.claims().members().clone().into_iter().collect();
    let token_id = said.remove("jti").unwrap();
    assert_eq!(token_id.as_str().unwrap().split('.').count(), 2);
    assert_eq!(
        serde_json::to_value(said).unwrap(),
        json!({
            "iss": ISSUER,
            "sub": world.user.id.to_string(),
            "aud": [RESOURCE, OTHER_RESOURCE, "mcp-gateway-demo"],
            "client_id": "app",
            "scope": "openid profile email mcp:tools",
            "iat": START.seconds(),
            "auth_time": START.seconds(),
            "exp": START.seconds() + 600,
        })
    );
}

// OpenID Connect Core §2
#[tokio::test]
async fn the_id_token_is_for_the_client_and_carries_the_nonce() {
    let world = ClientWorld::new().await;
    let id_token = claims(&world.tokens().await.text("id_token"));
    assert_eq!(id_token.audience(), ["app"]);
    assert_eq!(id_token.text("nonce"), Some("nonce-1"));
    assert_eq!(id_token.text("name"), Some("Alice"));
    assert_eq!(id_token.text("email"), Some("alice@example.org"));
}

#[tokio::test]
async fn without_openid_there_is_no_id_token() {
    let world = ClientWorld::new().await;
    let (code, mut grant) = world.grant("app");
    grant.granted.terms.id_token = false;
    world.store_code(&code, &grant).await;
    assert_eq!(
        world.token(&code.form("app")).await.json()["id_token"],
        Value::Null
    );
}

#[tokio::test]
async fn a_client_without_the_grant_type_gets_no_refresh_token() {
    let world = ClientWorld::new().await;
    let code = world.code_for("brief").await;
    let answer = world.token(&code.form("brief")).await;
    assert_eq!(
        (answer.status, &answer.json()["refresh_token"]),
        (200, &Value::Null)
    );
}

// SEC-3
#[tokio::test]
async fn a_replayed_code_revokes_everything_that_came_of_it() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let first = world.token(&code.form("app")).await;
    assert_eq!(first.status, 200);
    assert!(!world.is_revoked(&first.text("access_token")));

    assert_refused(&world.token(&code.form("app")).await, "invalid_grant");
    assert!(world.is_revoked(&first.text("access_token")));
    let refresh_token = first.text("refresh_token");
    let refreshed = world.token(&refresh_form("app", &refresh_token)).await;
    assert_refused(&refreshed, "invalid_grant");
}

// SEC-3
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_redeem_at_once_exactly_one_succeeds() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let form = code.form("app");
    let answers = join_all((0..50).map(|_| world.token(&form))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        assert_refused(answer, "invalid_grant");
    }
    assert!(
        world.is_revoked(&won[0].text("access_token")),
        "a replay revokes what the winner got"
    );
}

// SEC-3
#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let world = ClientWorld::new().await;
    let (late, punctual) = (world.code().await, world.code().await);
    world.advance(59);
    assert_eq!(world.token(&punctual.form("app")).await.status, 200);
    world.advance(1);
    assert_refused(&world.token(&late.form("app")).await, "invalid_grant");
}

/// Refused with this error, and the code is as good as before.
async fn refused_without_harm(over: &[(&str, &str)], error: &str) {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    assert_refused(&world.token(&with(code.form("app"), over)).await, error);
    let answer = world.token(&code.form("app")).await;
    assert_eq!(answer.status, 200, "the code was burnt: {answer:?}");
    assert!(!world.is_revoked(&answer.text("access_token")));
}

// SEC-1, SEC-4
#[tokio::test]
async fn a_wrong_verifier_is_refused_and_costs_nothing() {
    refused_without_harm(&[("code_verifier", &"a".repeat(43))], "invalid_grant").await;
}

// SEC-1, SEC-4
#[tokio::test]
async fn a_malformed_verifier_is_refused_and_costs_nothing() {
    refused_without_harm(&[("code_verifier", &"a".repeat(42))], "invalid_request").await;
    refused_without_harm(&[("code_verifier", &"a".repeat(129))], "invalid_request").await;
}

// SEC-1, SEC-2, SEC-4
#[tokio::test]
async fn a_missing_verifier_is_refused_and_costs_nothing() {
    refused_without_harm(&[("code_verifier", "")], "invalid_grant").await;
}

// SEC-4, SEC-38, AS-29
#[tokio::test]
async fn a_resource_that_was_not_granted_is_refused_and_costs_nothing() {
    refused_without_harm(
        &[("resource", "http://127.0.0.1:8480/elsewhere")],
        "invalid_target",
    )
    .await;
    refused_without_harm(&[("resource", "not a uri")], "invalid_target").await;
    refused_without_harm(
        &[("resource", "http://127.0.0.1:8480/mcp#x")],
        "invalid_target",
    )
    .await;
}

// SEC-4, SEC-5
#[tokio::test]
async fn another_redirect_uri_is_refused_and_costs_nothing() {
    for other in [
        "http://127.0.0.1:6275/oauth/callback",
        "http://localhost:6274/oauth/callback",
        "nonsense",
        "javascript:x",
    ] {
        refused_without_harm(&[("redirect_uri", other)], "invalid_grant").await;
    }
}

// SEC-4, SEC-5
#[tokio::test]
async fn another_client_learns_nothing_and_costs_nothing() {
    refused_without_harm(&[("client_id", "other")], "invalid_grant").await;
    refused_without_harm(&[("client_id", "nobody")], "invalid_client").await;
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let foreign = world.token(&code.form("other")).await;
    let unknown = world
        .token(&with(code.form("other"), &[("code", "unknown")]))
        .await;
    assert_eq!(foreign.body, unknown.body);
}

// SEC-4
#[tokio::test]
async fn another_client_cannot_revoke_by_replaying() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let first = world.token(&code.form("app")).await;
    assert_refused(&world.token(&code.form("other")).await, "invalid_grant");
    assert!(!world.is_revoked(&first.text("access_token")));
}

// SEC-3, SEC-4
#[tokio::test]
async fn a_used_code_that_somebody_found_ends_nothing_without_its_verifier() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let first = world.token(&code.form("app")).await;
    let wrong = "a".repeat(43);
    for verifier in [wrong.as_str(), ""] {
        let found = with(code.form("app"), &[("code_verifier", verifier)]);
        assert_refused(&world.token(&found).await, "invalid_grant");
        assert!(!world.is_revoked(&first.text("access_token")));
    }
    // With the right one it is a replay, whatever else is wrong.
    let replay = with(code.form("app"), &[("resource", "https://other.example/")]);
    assert_refused(&world.token(&replay).await, "invalid_grant");
    assert!(world.is_revoked(&first.text("access_token")));
}

// SEC-2
#[tokio::test]
async fn a_verifier_for_a_code_without_challenge_is_refused() {
    let world = ClientWorld::new().await;
    let (code, mut grant) = world.grant("keeper");
    grant.challenge = None;
    world.store_code(&code, &grant).await;
    let secret = [("client_secret", crate::world::client::SECRET)];
    assert_refused(
        &world.token(&with(code.form("keeper"), &secret)).await,
        "invalid_grant",
    );
    let without = with(with(code.form("keeper"), &secret), &[("code_verifier", "")]);
    assert_refused(
        &world
            .token(&with(without.clone(), &[("redirect_uri", "")]))
            .await,
        "invalid_grant",
    );
    assert_eq!(world.token(&without).await.status, 200);
}

// AS-29, AS-30, SEC-38
#[tokio::test]
async fn a_resource_narrows_the_audience() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let answer = world
        .token(&with(
            code.form("app"),
            &[("resource", "HTTP://127.0.0.1:8480/other/")],
        ))
        .await;
    assert_eq!(
        claims(&answer.text("access_token")).audience(),
        [OTHER_RESOURCE, "mcp-gateway-demo"]
    );
}

// SEC-38, SEC-4
#[tokio::test]
async fn what_the_operator_removed_in_the_meantime_is_in_no_token() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    world.reload(|realm| realm.resources.clear());
    assert_refused(&world.token(&code.form("app")).await, "invalid_target");
    world.reload(|realm| {
        realm.resources.truncate(1);
        realm
            .scopes
            .retain(|scope| scope.name.as_str() != "mcp:tools");
    });
    let answer = world.token(&code.form("app")).await;
    assert_eq!(answer.text("scope"), "openid profile email");
    assert_eq!(claims(&answer.text("access_token")).audience(), [RESOURCE]);
}

#[tokio::test]
async fn a_disabled_user_gets_nothing() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    store::user::set_disabled(&world.store, world.user.id, true)
        .await
        .unwrap();
    assert_refused(&world.token(&code.form("app")).await, "invalid_grant");
}

// SEC-77
#[tokio::test]
async fn a_code_of_another_realm_is_unknown() {
    let world = ClientWorld::new().await;
    let (code, mut grant) = world.grant("app");
    grant.granted.terms.realm = "elsewhere".parse().unwrap();
    world.store_code(&code, &grant).await;
    assert_refused(&world.token(&code.form("app")).await, "invalid_grant");
}

// SEC-9
#[tokio::test]
async fn other_grant_types_do_not_exist() {
    let world = ClientWorld::new().await;
    for grant_type in [
        "password",
        "client_credentials",
        "implicit",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ] {
        assert_refused(
            &world
                .token(&[("grant_type", grant_type), ("client_id", "app")])
                .await,
            "unsupported_grant_type",
        );
    }
    assert_refused(
        &world.token(&[("client_id", "app")]).await,
        "invalid_request",
    );
}

// SEC-10
#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let mut form = code.form("app");
    form.push(("code", "x"));
    assert_refused(&world.token(&form).await, "invalid_request");
}

// SEC-71, SEC-72
#[tokio::test]
async fn no_answer_repeats_what_stands_behind_a_semicolon() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let media_type = [("content-type", "application/x-www-form-urlencoded")];
    let live = code.form("app");
    let joined = |separator: &str| {
        live.iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(separator)
    };
    let hidden = joined("%3B");
    for body in [
        joined(";"),
        format!("grant_type=authorization_code;{}", joined("&")),
        format!("grant_type={hidden}&client_id=app"),
        format!("grant_type=refresh_token&refresh_token=x&client_id=app&scope=mcp:tools;{hidden}"),
        format!("{hidden}&{hidden}"),
        joined("; "),
        format!(
            "grant_type=authorization_code&client_id=app; code={}",
            code.code
        ),
        format!(
            "grant_type=authorization_code&client_id=app;COD%45={}",
            code.code
        ),
        format!(
            "grant_type=authorization_code&client_id=app;assertion={}",
            code.code
        ),
    ] {
        let answer = world.send(Method::POST, "/token", &media_type, &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        let told = answer.body.clone();
        for (name, value) in &live {
            let secret = value.len() > 12;
            assert!(!secret || !told.contains(value), "`{name}` is in {told}");
        }
    }
    assert_eq!(world.token(&code.form("app")).await.status, 200);
}

// SEC-10
#[tokio::test]
async fn parameters_in_the_query_are_refused() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    assert_refused(
        &world
            .post("/token?client_id=app", &[], &code.form("app"))
            .await,
        "invalid_request",
    );
    assert_eq!(world.token(&code.form("app")).await.status, 200);
}

// SEC-10
#[tokio::test]
async fn other_media_types_are_refused() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let json = json!({ "grant_type": "authorization_code", "code": code.code, "client_id": "app" })
        .to_string();
    for content_type in [
        "application/json",
        "application/json, application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
    ] {
        let answer = world
            .send(
                Method::POST,
                "/token",
                &[("content-type", content_type)],
                &json,
            )
            .await;
        assert_refused(&answer, "invalid_request");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let world = ClientWorld::new().await;
    let large = "x".repeat(100_000);
    assert_refused(
        &world.token(&[("grant_type", &large)]).await,
        "invalid_request",
    );
}

#[tokio::test]
async fn the_token_endpoint_answers_only_post() {
    let world = ClientWorld::new().await;
    assert_eq!(world.get("/token", &[]).await.status, 405);
}

// SEC-72
#[tokio::test]
async fn a_failure_of_ours_is_told_as_a_reference_and_nothing_else() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    store::testing::spoil(&world.store, "code_grant").await;
    let answer = world.token(&code.form("app")).await;
    assert_eq!(answer.header("retry-after"), "");
    assert_eq!(answer.error(), (500, "server_error".to_owned()));
    let description = answer.text("error_description");
    assert!(
        description.starts_with("internal error, reference ") && description.len() < 60,
        "{description}"
    );
}

// SEC-90, SEC-72: a client that is told `server_error` has its user log in anew; one that is told this asks again.
#[tokio::test]
async fn while_the_store_is_away_every_endpoint_of_clients_says_that_it_passes() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    let first = world.token(&code.form("app")).await;
    let (access, refresh) = (first.text("access_token"), first.text("refresh_token"));
    let other = world.code().await;
    world.store.close().await;
    let bearer = format!("Bearer {access}");
    for answer in [
        world.token(&other.form("app")).await,
        world.token(&refresh_form("app", &refresh)).await,
        world
            .post("/revoke", &[], &[("client_id", "app"), ("token", &refresh)])
            .await,
        world
            .post("/revoke", &[], &[("client_id", "app"), ("token", &access)])
            .await,
        world.get("/userinfo", &[("authorization", &bearer)]).await,
    ] {
        assert_eq!(
            answer.error(),
            (503, "temporarily_unavailable".to_owned()),
            "{answer:?}"
        );
        assert_eq!(answer.header("retry-after"), "2");
        let description = answer.text("error_description");
        assert!(
            description.starts_with("the server is not available at the moment, reference ")
                && description.len() < 90,
            "{description}"
        );
    }
}

#[tokio::test]
async fn the_redirect_uri_need_not_be_repeated_with_pkce() {
    let world = ClientWorld::new().await;
    let code = world.code().await;
    assert_eq!(
        world
            .token(&with(code.form("app"), &[("redirect_uri", "")]))
            .await
            .status,
        200
    );
    assert_eq!(
        REDIRECT
            .parse::<oauth::redirect_uri::RedirectUri>()
            .unwrap()
            .display_host(),
        "127.0.0.1"
    );
}
