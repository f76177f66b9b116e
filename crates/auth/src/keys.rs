//! The keys that realms sign with: made at first use, kept sealed in the store, published before and after they sign
//! (SEC-42, SEC-43).
//!
//! Nothing runs in the background: whoever needs a key that was read too long ago reads the keys again and does what is
//! due. A key that nobody needs may be late, but it is always published for long enough before it signs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::clock::Timestamp;
use model::realm::{Realm, RealmName, SigningAlgorithm};
use model::secret::Secret;
use model::signing_key::{self, Due, KeyState, Rotation};
use oauth::jose::alg::Alg;
use oauth::jose::jwk::JwkSet;
use oauth::jose::signing::{SigningError, SigningKey};
use store::Store;

use crate::cx::Cx;
use crate::failure::Internal;

/// How old what was read may be: how soon this node learns what another one did.
const MAX_AGE: Duration = Duration::from_mins(1);

/// The keys of one realm, parsed once.
#[derive(Debug)]
pub(crate) struct RealmKeys {
    active: SigningKey,
    published: JwkSet,
    algorithms: Vec<SigningAlgorithm>,
}

impl RealmKeys {
    /// The key that signs.
    pub(crate) const fn active(&self) -> &SigningKey {
        &self.active
    }

    /// What verifiers may meet: the keys that will sign, sign and did sign.
    pub(crate) const fn published(&self) -> &JwkSet {
        &self.published
    }

    /// The algorithms of the published keys, that of the signing one first: while a realm changes its own, there are two.
    pub(crate) fn algorithms(&self) -> &[SigningAlgorithm] {
        &self.algorithms
    }
}

/// The keys of all realms that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    held: ArcSwap<HashMap<RealmName, Held>>,
    /// Held by whoever reads; the others wait, or go on with what is there.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Held {
    keys: Arc<RealmKeys>,
    read_at: Timestamp,
}

/// A key in the store that cannot be used.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    /// It cannot be read.
    #[error("signing key `{kid}`")]
    Unusable {
        kid: String,
        #[source]
        cause: SigningError,
    },
    /// No key signs, although one was just made.
    #[error("realm `{0}` has no active signing key")]
    NoneActive(RealmName),
}

impl Cx {
    /// The keys of the realm.
    pub(crate) async fn keys(&self) -> Result<Arc<RealmKeys>, Internal> {
        self.app
            .keys
            .of(&self.app.store, &self.realm.config, self.now)
            .await
    }
}

impl Keys {
    /// The keys of a realm, not older than [`MAX_AGE`] unless the store fails.
    pub(crate) async fn of(
        &self,
        store: &Store,
        realm: &Realm,
        now: Timestamp,
    ) -> Result<Arc<RealmKeys>, Internal> {
        let held = self.held(realm);
        if let Some(fresh) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Arc::clone(&fresh.keys));
        }
        let _flight = match (self.flight.try_lock(), held) {
            (Ok(flight), _) => flight,
            (Err(_), Some(stale)) => return Ok(stale.keys),
            (Err(_), None) => self.flight.lock().await,
        };
        let held = self.held(realm);
        if let Some(fresh) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Arc::clone(&fresh.keys));
        }
        match (read(store, realm, now).await, held) {
            (Ok(keys), _) => Ok(self.hold(realm, Arc::new(keys), now)),
            (Err(error), Some(stale)) => {
                error.log();
                Ok(self.hold(realm, stale.keys, now))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn held(&self, realm: &Realm) -> Option<Held> {
        self.held.load().get(&realm.name).cloned()
    }

    fn hold(&self, realm: &Realm, keys: Arc<RealmKeys>, read_at: Timestamp) -> Arc<RealmKeys> {
        self.held.rcu(|all| {
            let mut all = HashMap::clone(all);
            let held = Held {
                keys: Arc::clone(&keys),
                read_at,
            };
            all.insert(realm.name.clone(), held);
            all
        });
        keys
    }
}

impl Held {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.read_at + MAX_AGE
    }
}

/// Does what is due, and reads what there is.
async fn read(store: &Store, realm: &Realm, now: Timestamp) -> Result<RealmKeys, Internal> {
    let stored = store::key::list(store, &realm.name)
        .await
        .map_err(Internal::new)?;
    let due = signing_key::due(&stored, realm.signing_algorithm, &rotation(realm), now);
    if due.is_empty() {
        return parse(realm, &stored);
    }
    for step in due {
        perform(store, realm, step, now).await?;
    }
    // Read again: another node may have been quicker, and then its key is everybody's.
    let stored = store::key::list(store, &realm.name)
        .await
        .map_err(Internal::new)?;
    parse(realm, &stored)
}

/// A retired key stays published for as long as the longest token that it signed.
fn rotation(realm: &Realm) -> Rotation {
    let default = Rotation::default();
    Rotation {
        keep: default.keep.max(realm.lifetimes.access_token * 2),
        ..default
    }
}

async fn perform(store: &Store, realm: &Realm, step: Due, now: Timestamp) -> Result<(), Internal> {
    match step {
        Due::CreateActive => create(store, realm, KeyState::Active { since: now }).await,
        Due::CreatePending => create(store, realm, KeyState::Pending { since: now }).await,
        Due::Switch { to, from } => {
            if store::key::switch(store, &to, &from, now)
                .await
                .map_err(Internal::new)?
            {
                tracing::info!(realm = %realm.name, kid = to, "signing key takes over");
            }
            Ok(())
        }
        Due::Purge(kid) => {
            tracing::info!(realm = %realm.name, kid, "signing key deleted");
            store::key::delete(store, &kid).await.map_err(Internal::new)
        }
    }
}

async fn create(store: &Store, realm: &Realm, state: KeyState) -> Result<(), Internal> {
    let algorithm = realm.signing_algorithm;
    // Making an RSA key takes long enough to hold up everybody else on this thread.
    let key = tokio::task::spawn_blocking(move || SigningKey::generate(alg(algorithm)))
        .await
        .map_err(Internal::new)?
        .map_err(Internal::new)?;
    let private = key.to_pkcs8().map_err(Internal::new)?;
    let row = signing_key::SigningKey {
        kid: key.kid().to_owned(),
        realm: realm.name.clone(),
        algorithm,
        private: Secret::new(private.to_vec()),
        state,
    };
    if store::key::insert(store, &row)
        .await
        .map_err(Internal::new)?
    {
        tracing::info!(realm = %realm.name, kid = row.kid, algorithm = %algorithm, "signing key made");
    }
    Ok(())
}

fn parse(realm: &Realm, stored: &[signing_key::SigningKey]) -> Result<RealmKeys, Internal> {
    let none_active = || Internal::new(KeyError::NoneActive(realm.name.clone()));
    let current = signing_key::current(stored, realm.signing_algorithm).ok_or_else(none_active)?;
    let mut algorithms = vec![current.algorithm];
    let mut published = Vec::new();
    for row in stored {
        published.push(parse_one(row)?.public().clone());
        if !algorithms.contains(&row.algorithm) {
            algorithms.push(row.algorithm);
        }
    }
    Ok(RealmKeys {
        active: parse_one(current)?,
        published: JwkSet::new(published),
        algorithms,
    })
}

fn parse_one(row: &signing_key::SigningKey) -> Result<SigningKey, Internal> {
    let unusable = |cause| {
        Internal::new(KeyError::Unusable {
            kid: row.kid.clone(),
            cause,
        })
    };
    SigningKey::from_pkcs8(alg(row.algorithm), row.private.expose()).map_err(unusable)
}

const fn alg(algorithm: SigningAlgorithm) -> Alg {
    match algorithm {
        SigningAlgorithm::Es256 => Alg::Es256,
        SigningAlgorithm::Rs256 => Alg::Rs256,
        SigningAlgorithm::EdDsa => Alg::EdDsa,
    }
}
