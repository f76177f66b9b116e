//! The key set, and the life of the keys in it.

use std::time::Duration;

use model::realm::SigningAlgorithm;
use oauth::jose::alg::{Alg, AlgSet};
use oauth::jose::jwk::JwkSet;
use oauth::jose::jws::UnverifiedJws;
use serde_json::Value;

use crate::world::client::ClientWorld;

async fn published(world: &ClientWorld) -> JwkSet {
    JwkSet::parse(world.get("/jwks", &[]).await.body.as_bytes()).unwrap()
}

async fn signing_kid(world: &ClientWorld) -> String {
    let token = world.tokens().await.text("access_token");
    UnverifiedJws::parse(&token)
        .unwrap()
        .header()
        .kid
        .clone()
        .unwrap()
}

async fn id_token_algorithms(world: &ClientWorld) -> Vec<String> {
    let document = world.get("/.well-known/openid-configuration", &[]).await;
    serde_json::from_value(document.json()["id_token_signing_alg_values_supported"].clone())
        .unwrap()
}

// SEC-42
#[tokio::test]
async fn only_public_halves_are_published() {
    let world = ClientWorld::new().await;
    let answer = world.get("/jwks", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json();
    let mut members: Vec<Vec<_>> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            key.as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect()
        })
        .collect();
    members.sort();
    assert_eq!(
        members,
        [
            vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
            vec!["alg", "e", "kid", "kty", "n", "use"],
        ]
    );
}

#[tokio::test]
async fn every_algorithm_signs_tokens_that_verify() {
    for (algorithm, alg) in [
        (SigningAlgorithm::Es256, Alg::Es256),
        (SigningAlgorithm::Rs256, Alg::Rs256),
        (SigningAlgorithm::EdDsa, Alg::EdDsa),
    ] {
        let world = ClientWorld::with(|realm| realm.signing_algorithm = algorithm).await;
        let token = world.tokens().await.text("access_token");
        let unverified = UnverifiedJws::parse(&token).unwrap();
        assert_eq!(unverified.header().alg, alg.as_str());
        assert!(
            unverified
                .verify(&published(&world).await, AlgSet::of(&[alg]))
                .is_ok()
        );
    }
}

/// The keys of this algorithm.
fn kids(keys: &JwkSet, alg: Alg) -> Vec<String> {
    keys.keys()
        .iter()
        .filter(|key| key.alg() == Some(alg))
        .filter_map(|key| key.kid().map(str::to_owned))
        .collect()
}

// SEC-43
#[tokio::test]
async fn a_new_key_is_published_long_before_it_signs_and_the_old_one_after() {
    let world = ClientWorld::new().await;
    let old = signing_kid(&world).await;
    let day = Duration::from_hours(24);

    world.clock.advance(day * 89);
    let keys = kids(&published(&world).await, Alg::Es256);
    assert_eq!(keys.len(), 2, "the next key is published");
    let new = keys.iter().find(|kid| **kid != old).unwrap().clone();
    assert_eq!(signing_kid(&world).await, old);

    world.clock.advance(day);
    assert_eq!(signing_kid(&world).await, new);
    assert!(
        published(&world).await.contains(&old),
        "tokens of the old key still verify"
    );

    world.clock.advance(day);
    assert!(!published(&world).await.contains(&old));
}

// SEC-43
#[tokio::test]
async fn a_key_of_another_algorithm_is_published_long_before_it_signs_and_the_old_one_after() {
    let world = ClientWorld::new().await;
    let old = signing_kid(&world).await;
    let day = Duration::from_hours(24);

    world.reload(|realm| realm.signing_algorithm = SigningAlgorithm::EdDsa);
    world.clock.advance(day);
    assert_eq!(signing_kid(&world).await, old);
    let new = kids(&published(&world).await, Alg::EdDsa);
    let [new] = new.as_slice() else {
        panic!("the next key is published: {new:?}")
    };
    assert_eq!(
        id_token_algorithms(&world).await,
        ["RS256", "ES256", "EdDSA"]
    );

    world.clock.advance(day);
    assert_eq!(signing_kid(&world).await, *new);
    assert!(
        published(&world).await.contains(&old),
        "tokens of the old key still verify"
    );

    world.clock.advance(day);
    assert!(!published(&world).await.contains(&old));
    assert_eq!(id_token_algorithms(&world).await, ["RS256", "EdDSA"]);
}

async fn id_token_algorithm(world: &ClientWorld, client_id: &str) -> String {
    let code = world.code_for(client_id).await;
    let answer = world.token(&code.form(client_id)).await;
    let token = answer.text("id_token");
    let unverified = UnverifiedJws::parse(&token).unwrap();
    let keys = published(world).await;
    assert!(unverified.verify(&keys, AlgSet::ALL).is_ok());
    unverified.header().alg.clone()
}

// OpenID Connect Discovery §3, Registration §2: RS256 unless the client says otherwise.
#[tokio::test]
async fn id_tokens_are_signed_as_the_client_wants_and_access_tokens_as_the_realm_does() {
    let world = ClientWorld::with(|realm| {
        for client in &mut realm.clients {
            if client.client_id.as_str() == "other" {
                client.id_token_algorithm = SigningAlgorithm::Es256;
            }
        }
    })
    .await;
    assert_eq!(id_token_algorithms(&world).await, ["RS256", "ES256"]);
    assert_eq!(id_token_algorithm(&world, "app").await, "RS256");
    assert_eq!(id_token_algorithm(&world, "other").await, "ES256");
    let token = world.tokens().await.text("access_token");
    assert_eq!(UnverifiedJws::parse(&token).unwrap().header().alg, "ES256");
}

// SEC-43: caches hold a key set without it.
#[tokio::test]
async fn a_realm_from_before_signs_id_tokens_with_what_it_has_until_the_new_key_is_known() {
    let world = ClientWorld::new().await;
    let day = Duration::from_hours(24);
    let [rsa] = kids(&published(&world).await, Alg::Rs256)
        .try_into()
        .unwrap();
    store::key::delete(&world.store, &rsa).await.unwrap();

    world.clock.advance(day);
    assert_eq!(id_token_algorithm(&world, "app").await, "ES256");
    assert_eq!(kids(&published(&world).await, Alg::Rs256).len(), 1);
    world.clock.advance(day);
    assert_eq!(id_token_algorithm(&world, "app").await, "RS256");
}

// SEC-43
#[tokio::test]
async fn a_restart_keeps_the_keys() {
    let world = ClientWorld::new().await;
    let before = world.get("/jwks", &[]).await.body;
    assert_eq!(world.get("/jwks", &[]).await.body, before);
}

// SEC-70
#[tokio::test]
async fn private_keys_never_leave_in_an_answer() {
    let world = ClientWorld::with(|realm| realm.signing_algorithm = SigningAlgorithm::Rs256).await;
    let keys = world.get("/jwks", &[]).await.json();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        assert_eq!(keys["keys"][0][member], Value::Null);
    }
}
