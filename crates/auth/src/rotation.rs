//! What an operator can have done about the signing keys of a realm besides waiting (SEC-42, SEC-43).

use model::clock::Timestamp;
use model::realm::{Realm, SigningAlgorithm};
use model::signing_key::{KeyState, Rotation};
use store::Store;

use crate::failure::Internal;
use crate::keys;

/// How a key is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The next key is published now and signs once all who keep the key set know it.
    Planned,
    /// Somebody else may have the keys: the next one signs at once, and what the others signed is worth nothing from now on.
    Compromised,
}

/// A key that takes over, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Its name.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// From when on.
    pub signs_from: Timestamp,
}

/// Replaces the keys of a realm, one for each algorithm that it wants. Nodes that run learn of it within a minute. A planned
/// change that has begun already goes on as it is.
///
/// # Errors
/// If the store fails, or no key can be made.
pub async fn rotate(
    store: &Store,
    realm: &Realm,
    urgency: Urgency,
    now: Timestamp,
) -> Result<Vec<Successor>, Internal> {
    let mut successors = Vec::new();
    for algorithm in realm.algorithms() {
        let successor = match urgency {
            Urgency::Planned => plan(store, realm, algorithm, now).await?,
            Urgency::Compromised => replace(store, realm, algorithm, now).await?,
        };
        successors.push(successor);
    }
    Ok(successors)
}

async fn plan(
    store: &Store,
    realm: &Realm,
    algorithm: SigningAlgorithm,
    now: Timestamp,
) -> Result<Successor, Internal> {
    let ahead = Rotation::default().publish_ahead;
    let all = store::key::list(store, &realm.name).await?;
    let pending = all.into_iter().find_map(|key| match key.state {
        KeyState::Pending { since } if key.algorithm == algorithm => Some((key.kid, since)),
        _ => None,
    });
    let (kid, since) = if let Some(begun) = pending {
        begun
    } else {
        let state = KeyState::Pending { since: now };
        (keys::create(store, realm, algorithm, state).await?, now)
    };
    Ok(Successor {
        kid,
        algorithm,
        signs_from: since + ahead,
    })
}

async fn replace(
    store: &Store,
    realm: &Realm,
    algorithm: SigningAlgorithm,
    now: Timestamp,
) -> Result<Successor, Internal> {
    let state = KeyState::Pending { since: now };
    let kid = keys::create(store, realm, algorithm, state).await?;
    loop {
        let all = store::key::list(store, &realm.name).await?;
        let others: Vec<_> = all
            .into_iter()
            .filter(|key| key.algorithm == algorithm && key.kid != kid)
            .collect();
        let signing = others.iter().filter(|key| key.state.is_active());
        let signing: Vec<String> = signing.map(|key| key.kid.clone()).collect();
        // Another node may change the keys at the same time: then they are looked at once more.
        if !store::key::switch(store, &kid, &signing, now).await? {
            continue;
        }
        for other in others {
            tracing::warn!(realm = %realm.name, kid = other.kid, "signing key deleted: somebody else may have it");
            store::key::delete(store, &other.kid).await?;
        }
        return Ok(Successor {
            kid,
            algorithm,
            signs_from: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::{Keys, Need};

    const START: Timestamp = Timestamp::from_seconds(1_000_000);
    const DAY: Duration = Duration::from_hours(24);

    async fn begun() -> (Store, Realm, String) {
        let store = store::testing::open().await;
        let mut realm = Realm::new("a".parse().unwrap(), "https://as.example".parse().unwrap());
        realm.signing_algorithm = SigningAlgorithm::Es256;
        let first = signing_at(&store, &realm, START).await;
        (store, realm, first)
    }

    /// The key that signs, as a program that has just started finds it.
    async fn signing_at(store: &Store, realm: &Realm, now: Timestamp) -> String {
        let keys = Keys::default();
        let keys = keys
            .of(store, realm, Need::AccessTokens, now)
            .await
            .unwrap();
        keys.for_access_tokens().kid().to_owned()
    }

    async fn published(store: &Store, realm: &Realm) -> Vec<String> {
        let all = store::key::list(store, &realm.name).await.unwrap();
        let own = all
            .into_iter()
            .filter(|key| key.algorithm == SigningAlgorithm::Es256);
        own.map(|key| key.kid).collect()
    }

    // SEC-43
    #[tokio::test]
    async fn a_planned_successor_is_published_for_a_day_before_it_signs() {
        let (store, realm, first) = begun().await;
        let at = START + DAY;
        let told = rotate(&store, &realm, Urgency::Planned, at).await.unwrap();
        let told = told.first().unwrap();
        assert_eq!(
            (told.algorithm, told.signs_from),
            (SigningAlgorithm::Es256, at + DAY)
        );
        assert_eq!(published(&store, &realm).await.len(), 2);
        let again = rotate(&store, &realm, Urgency::Planned, at + DAY / 2)
            .await
            .unwrap();
        assert_eq!(again.first().unwrap(), told, "it has begun already");
        let before = signing_at(&store, &realm, at + DAY / 2).await;
        assert_eq!(before, first);
        assert_eq!(signing_at(&store, &realm, at + DAY).await, told.kid);
        assert!(published(&store, &realm).await.contains(&first));
    }

    // SEC-42
    #[tokio::test]
    async fn keys_that_somebody_else_may_have_are_not_believed_any_more() {
        let (store, realm, first) = begun().await;
        rotate(&store, &realm, Urgency::Planned, START)
            .await
            .unwrap();
        let told = rotate(&store, &realm, Urgency::Compromised, START + DAY)
            .await
            .unwrap();
        let kid = &told.first().unwrap().kid;
        assert_eq!(signing_at(&store, &realm, START + DAY).await, *kid);
        assert_eq!(published(&store, &realm).await, std::slice::from_ref(kid));
        assert_ne!(*kid, first);
    }
}
