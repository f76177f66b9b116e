//! Which tokens are let in, and what the others are told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use model::gateway::{ClaimRule, CustomClaim};
use oauth::jose::alg::Alg;
use oauth::jose::signing::SigningKey;
use serde_json::{Value, json};
use testkit::fake_idp::FakeIdp;
use testkit::fake_mcp::{FakeMcp, Script};

use crate::world::{
    AUDIENCE, Actor, MODERN, World, assemble, authorizer, settings, world, world_with,
    world_with_its_issuer_down,
};

const CHALLENGE_END: &str = r#"scope="mcp:tools", resource_metadata="http://127.0.0.1:8480/.well-known/oauth-protected-resource/mcp""#;

pub(crate) async fn refused(actor: Actor<'_>) -> (u16, String) {
    let answer = actor.modern("tools/list", json!({})).await;
    let error = answer
        .header("www-authenticate")
        .split_once("error=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(error, _)| error.to_owned());
    (answer.status.as_u16(), error.unwrap_or_default())
}

async fn with_claim(world: &World, name: &str, value: Value) -> (u16, String) {
    let token = world.idp.token(&world.claims_with(name, value)).unwrap();
    refused(world.holder(token)).await
}

pub(crate) fn invalid() -> (u16, String) {
    (401, "invalid_token".to_owned())
}

pub(crate) fn let_in() -> (u16, String) {
    (200, String::new())
}

/// A token put together by hand.
fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        encode(header),
        encode(claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

// RS-2, RS-3, RS-10, RS-11, RS-18
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_token_everything_is_answered_with_the_challenge() {
    let world = world(Script::dual()).await;
    let stranger = world.stranger();
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::POST] {
        let answer = stranger.send(method.clone(), "/mcp", &[], "").await;
        assert_eq!(answer.status, 401, "{method}");
        assert_eq!(
            answer.header("www-authenticate"),
            format!("Bearer {CHALLENGE_END}")
        );
        assert!(!answer.text().await.contains("my-mcp-server"));
    }
}

// RS-11: authentication comes before header validation, so that a probe meets the challenge
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stranger_with_a_broken_request_meets_the_challenge_too() {
    let world = world(Script::dual()).await;
    let headers = [
        ("content-type", "text/plain"),
        ("mcp-protocol-version", "1900-01-01"),
    ];
    let answer = world
        .stranger()
        .send(Method::POST, "/mcp", &headers, "{garbage")
        .await;
    assert_eq!(answer.status, 401);
}

// RS-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_good_token_is_let_in() {
    let world = world(Script::dual()).await;
    assert_eq!(refused(world.alice()).await, let_in());
}

// RS-6, SEC-39
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn garbage_is_an_invalid_token() {
    let world = world(Script::dual()).await;
    for token in ["x", "a.b.c", "..", "eyJhbGciOiJFUzI1NiJ9.e30.", "\u{e9}"] {
        let answer = world
            .holder("x".to_owned())
            .with("authorization", format!("Bearer {token}"));
        assert_eq!(refused(answer).await, invalid(), "{token}");
    }
}

// RS-6, SEC-41
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_expired_token_is_invalid_also_when_it_was_good_a_moment_ago() {
    let world = world(Script::dual()).await;
    let alice = world.alice();
    assert_eq!(refused(alice.clone()).await, let_in());
    world.clock.advance(std::time::Duration::from_secs(640));
    assert_eq!(refused(alice).await, invalid());
}

// SEC-41
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dates_issuer_and_subject_are_checked() {
    let world = world(Script::dual()).await;
    let now = world.now();
    assert_eq!(with_claim(&world, "nbf", json!(now + 100)).await, invalid());
    assert_eq!(with_claim(&world, "iat", json!(now + 100)).await, invalid());
    assert_eq!(with_claim(&world, "exp", Value::Null).await, invalid());
    assert_eq!(
        with_claim(&world, "iss", json!("https://other.example")).await,
        invalid()
    );
    let slash = format!("{}/", world.idp.issuer());
    assert_eq!(with_claim(&world, "iss", json!(slash)).await, invalid());
    assert_eq!(with_claim(&world, "sub", json!("")).await, invalid());
}

// RS-7, SEC-37
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_audience_is_a_string_or_a_list_with_ours_in_it() {
    let world = world(Script::dual()).await;
    assert_eq!(
        with_claim(&world, "aud", json!(["x", AUDIENCE])).await,
        let_in()
    );
    for other in [
        json!("other"),
        json!(["other"]),
        json!([]),
        json!("mcp-gateway-demo/"),
    ] {
        assert_eq!(with_claim(&world, "aud", other).await, invalid());
    }
}

// SEC-37
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn any_audience_is_let_in_only_by_the_switch_that_says_danger() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).danger_any_audience = true;
    })
    .await;
    assert_eq!(with_claim(&world, "aud", json!("other")).await, let_in());
}

// SEC-39
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unsigned_and_symmetric_tokens_are_invalid() {
    let world = world(Script::dual()).await;
    let claims = world.claims();
    let kid = &world.idp.key_set()["keys"][0]["kid"];
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "HS512", ""] {
        let token = forged(
            &json!({"alg": alg, "typ": "at+jwt", "kid": kid}),
            &claims,
            b"",
        );
        assert_eq!(refused(world.holder(token)).await, invalid(), "{alg}");
    }
    // HS256 with the public key as the secret.
    let public = world.idp.key_set()["keys"][0].to_string();
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
    let message = forged(&header, &claims, b"");
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&secret, message.trim_end_matches('.').as_bytes());
    assert_eq!(
        refused(world.holder(forged(&header, &claims, tag.as_ref()))).await,
        invalid()
    );
}

// SEC-39
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_that_the_token_brings_along_is_not_believed() {
    let world = world(Script::dual()).await;
    let own = SigningKey::generate(Alg::Es256).unwrap();
    let header =
        json!({"alg": "ES256", "typ": "at+jwt", "jwk": own.public().to_value(), "kid": own.kid()});
    let unsigned = forged(&header, &world.claims(), b"");
    let signature = own.sign(unsigned.trim_end_matches('.').as_bytes()).unwrap();
    let token = forged(&header, &world.claims(), &signature);
    assert_eq!(refused(world.holder(token)).await, invalid());
}

// SEC-40
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_kinds_of_tokens_are_no_access_tokens() {
    let world = world(Script::dual()).await;
    let claims = world.claims();
    for typ in [
        "oauth-id-jag+jwt",
        "dpop+jwt",
        "logout+jwt",
        "client-authentication+jwt",
    ] {
        let token = world.idp.token_of_type(typ, &claims).unwrap();
        assert_eq!(refused(world.holder(token)).await, invalid(), "{typ}");
    }
    let id_token = world.claims_with("at_hash", json!("x"));
    let id_token = world.idp.token_of_type("JWT", &id_token).unwrap();
    assert_eq!(refused(world.holder(id_token)).await, invalid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_shaped_like_keycloaks_is_let_in() {
    let world = world(Script::dual()).await;
    let claims = json!({
        "iss": world.idp.issuer(), "sub": "f:1", "aud": AUDIENCE, "azp": "https://c.example/client.json",
        "exp": world.now() + 300, "iat": world.now(), "typ": "Bearer", "scope": "openid profile email mcp:tools",
        "sid": "x", "acr": "1", "allowed-origins": ["http://localhost:6274"],
    });
    let token = world.idp.token_of_type("JWT", &claims).unwrap();
    assert_eq!(refused(world.holder(token)).await, let_in());
}

// RS-12, RS-13, RS-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_without_the_scope_is_told_all_scopes_that_are_needed() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).allowed_scopes = "mcp:tools mcp:more".parse().unwrap();
    })
    .await;
    let answer = world.alice().modern("tools/list", json!({})).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains(r#"error="insufficient_scope""#),
        "{challenge}"
    );
    assert!(
        challenge.contains(r#"scope="mcp:tools mcp:more""#),
        "{challenge}"
    );
    assert!(challenge.contains("resource_metadata="), "{challenge}");
    let both = world.claims_with("scope", json!("mcp:more mcp:tools"));
    assert_eq!(
        refused(world.holder(world.idp.token(&both).unwrap())).await,
        let_in()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn scopes_are_found_in_scp_too() {
    let world = world(Script::dual()).await;
    let mut claims = world.claims_with("scp", json!(["mcp:tools"]));
    claims.as_object_mut().unwrap().remove("scope");
    assert_eq!(
        refused(world.holder(world.idp.token(&claims).unwrap())).await,
        let_in()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_is_not_allowed_is_refused_without_a_challenge() {
    let world = world_with(Script::dual(), |settings| {
        authorizer(settings).allowed_clients = vec!["other".parse().unwrap()];
    })
    .await;
    assert_eq!(refused(world.alice()).await, (403, String::new()));
    assert_eq!(
        with_claim(&world, "client_id", json!("other")).await,
        let_in()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn custom_claims_must_hold() {
    let world = world_with(Script::dual(), |settings| {
        let rule = ClaimRule::ContainsAny(vec!["ops".to_owned()]);
        authorizer(settings).custom_claims = vec![CustomClaim {
            name: "groups".to_owned(),
            rule,
        }];
    })
    .await;
    assert_eq!(refused(world.alice()).await, (403, String::new()));
    assert_eq!(
        with_claim(&world, "groups", json!(["ops", "dev"])).await,
        let_in()
    );
}

// RS-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_token_in_the_query_is_refused() {
    let world = world(Script::dual()).await;
    let uri = format!("/mcp?access_token={}", world.token());
    for actor in [world.stranger(), world.alice()] {
        let answer = actor.send(Method::POST, &uri, &[], "").await;
        assert_eq!(answer.status, 400);
        assert!(
            answer
                .header("www-authenticate")
                .contains(r#"error="invalid_request""#)
        );
    }
}

// SEC-46
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_revoked_token_dies_at_once_and_with_it_its_family() {
    for revoked in ["family.1", "family"] {
        let world = world(Script::dual()).await;
        let alice = world.alice();
        assert_eq!(refused(alice.clone()).await, let_in());
        world.revoked.lock().push(revoked.to_owned());
        assert_eq!(refused(alice).await, invalid(), "{revoked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_signature_algorithms_are_understood() {
    for alg in Alg::ALL.iter().copied() {
        let world = world(Script::dual()).await;
        world.idp.rotate(alg).unwrap();
        assert_eq!(refused(world.alice()).await, let_in(), "{alg}");
    }
}

// SEC-43, SEC-44
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_new_key_is_found_when_a_token_names_it() {
    let world = world(Script::dual()).await;
    assert_eq!(refused(world.alice()).await, let_in());
    assert_eq!(world.idp.fetches().keys, 1);
    world.idp.rotate(Alg::Es256).unwrap();
    assert_eq!(refused(world.alice()).await, let_in());
    assert_eq!(
        (world.idp.fetches().keys, world.idp.fetches().discovery),
        (2, 1)
    );
}

// SEC-43
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_withdrawn_key_stops_counting_when_newer_ones_are_seen() {
    let world = world(Script::dual()).await;
    let old = world.alice();
    assert_eq!(refused(old.clone()).await, let_in());
    world.idp.rotate(Alg::Es256).unwrap();
    world.idp.withdraw_older_keys();
    assert_eq!(refused(world.alice()).await, let_in());
    assert_eq!(refused(old).await, invalid());
}

// SEC-44
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_storm_of_unknown_keys_makes_one_fetch() {
    let world = world(Script::dual()).await;
    assert_eq!(refused(world.alice()).await, let_in());
    let storm = (0..200).map(|number| {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("unknown-{number}")});
        refused(world.holder(forged(&header, &world.claims(), &[0; 64])))
    });
    for outcome in futures_util::future::join_all(storm).await {
        assert_eq!(outcome, invalid());
    }
    assert_eq!(world.idp.fetches().keys, 2);
}

// SEC-44
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tokens_of_other_issuers_cause_no_fetch_of_keys() {
    let world = world(Script::dual()).await;
    assert_eq!(refused(world.alice()).await, let_in());
    let other = FakeIdp::start().await.unwrap();
    let token = other.token(&other.claims(AUDIENCE, world.now())).unwrap();
    assert_eq!(refused(world.holder(token)).await, invalid());
    assert_eq!((world.idp.fetches().keys, other.fetches().keys), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_keys_no_token_can_be_judged_and_later_it_can() {
    let world = world_with_its_issuer_down().await;
    let answer = world.alice().modern("tools/list", json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, "5")
    );
}

// SEC-41
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let foreign = world_with(Script::dual(), |settings| {
        authorizer(settings).issuer = Some("https://auth.example.com".to_owned());
    })
    .await;
    assert_eq!(refused(foreign.alice()).await, invalid());
    let expected = foreign.claims_with("iss", json!("https://auth.example.com"));
    let token = foreign.idp.token(&expected).unwrap();
    assert_eq!(refused(foreign.holder(token)).await, (503, String::new()));
    assert_eq!(foreign.idp.fetches().keys, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_issuer_can_be_named_and_a_slash_at_its_end_is_no_matter() {
    let idp = FakeIdp::start().await.unwrap();
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
    let settings = settings(&idp, &[("my-mcp-server", upstream.url())]);
    let issuer = format!("{}/", idp.issuer());
    let world = assemble(upstream, idp, settings, |settings| {
        authorizer(settings).issuer = Some(issuer);
    });
    assert_eq!(refused(world.alice()).await, let_in());
}

// RS-8, SEC-36, BP-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_token_never_reaches_the_target() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let token = world.token();
        for era in [MODERN, crate::world::LEGACY] {
            let answer = world.alice().call(era, "headers", json!({})).await;
            assert_eq!(answer.status, 200);
        }
        for seen in world.upstream.seen() {
            let whole = format!("{seen:?}");
            assert!(
                !whole.contains(&token) && !whole.contains("authorization"),
                "{whole}"
            );
        }
    }
}
