//! The key set, and the life of the keys in it.

use std::time::Duration;

use model::realm::SigningAlgorithm;
use oauth::jose::alg::{Alg, AlgSet};
use oauth::jose::jwk::JwkSet;
use oauth::jose::jws::UnverifiedJws;
use serde_json::Value;

use crate::world::World;

async fn published(world: &World) -> JwkSet {
    JwkSet::parse(world.get("/jwks", &[]).await.body.as_bytes()).unwrap()
}

async fn signing_kid(world: &World) -> String {
    let token = world.tokens().await.text("access_token");
    UnverifiedJws::parse(&token)
        .unwrap()
        .header()
        .kid
        .clone()
        .unwrap()
}

async fn id_token_algorithms(world: &World) -> Vec<String> {
    let document = world.get("/.well-known/openid-configuration", &[]).await;
    serde_json::from_value(document.json()["id_token_signing_alg_values_supported"].clone())
        .unwrap()
}

// SEC-42
#[tokio::test]
async fn only_public_halves_are_published() {
    let world = World::new().await;
    let answer = world.get("/jwks", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json();
    let members: Vec<_> = keys["keys"][0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
}

#[tokio::test]
async fn every_algorithm_signs_tokens_that_verify() {
    for (algorithm, alg) in [
        (SigningAlgorithm::Es256, Alg::Es256),
        (SigningAlgorithm::Rs256, Alg::Rs256),
        (SigningAlgorithm::EdDsa, Alg::EdDsa),
    ] {
        let world = World::with(|realm| realm.signing_algorithm = algorithm).await;
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

// SEC-43
#[tokio::test]
async fn a_new_key_is_published_long_before_it_signs_and_the_old_one_after() {
    let world = World::new().await;
    let old = signing_kid(&world).await;
    let day = Duration::from_hours(24);

    world.clock.advance(day * 89);
    let keys = published(&world).await;
    assert_eq!(keys.keys().len(), 2, "the next key is published");
    let new = keys
        .keys()
        .iter()
        .find_map(|key| key.kid().filter(|kid| *kid != old))
        .unwrap()
        .to_owned();
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
    let world = World::new().await;
    let old = signing_kid(&world).await;
    let day = Duration::from_hours(24);

    world.reload(|realm| realm.signing_algorithm = SigningAlgorithm::Rs256);
    world.advance(60);
    assert_eq!(signing_kid(&world).await, old);
    let keys = published(&world).await;
    let new = keys
        .keys()
        .iter()
        .find(|key| key.alg() == Some(Alg::Rs256))
        .and_then(|key| key.kid())
        .expect("the next key is published")
        .to_owned();
    assert_eq!(id_token_algorithms(&world).await, ["ES256", "RS256"]);

    world.clock.advance(day);
    assert_eq!(signing_kid(&world).await, new);
    assert!(
        published(&world).await.contains(&old),
        "tokens of the old key still verify"
    );
    assert_eq!(id_token_algorithms(&world).await, ["RS256", "ES256"]);

    world.clock.advance(day);
    assert!(!published(&world).await.contains(&old));
    assert_eq!(id_token_algorithms(&world).await, ["RS256"]);
}

// SEC-43
#[tokio::test]
async fn a_restart_keeps_the_keys() {
    let world = World::new().await;
    let before = world.get("/jwks", &[]).await.body;
    assert_eq!(world.get("/jwks", &[]).await.body, before);
}

// SEC-70
#[tokio::test]
async fn private_keys_never_leave_in_an_answer() {
    let world = World::with(|realm| realm.signing_algorithm = SigningAlgorithm::Rs256).await;
    let keys = world.get("/jwks", &[]).await.json();
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        assert_eq!(keys["keys"][0][member], Value::Null);
    }
}
