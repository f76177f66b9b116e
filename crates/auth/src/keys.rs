//! The keys that realms sign with: made at first use, kept sealed in the store, published before and after they sign
//! (SEC-42, SEC-43).
//!
//! Nothing runs in the background but the making of a first RSA key, which takes long: whoever needs a key that was read
//! too long ago reads the keys again and does what is due. A key that nobody needs may be late, but it is always published
//! for long enough before it signs.

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

use crate::failure::Internal;

/// How old what was read may be: how soon this node learns what another one did.
const MAX_AGE: Duration = Duration::from_mins(1);

/// What one thing that is due may make due next: a key signs, and then another one need not any more.
const MOST_ROUNDS: usize = 3;

/// The keys of one realm, parsed once.
#[derive(Debug)]
pub(crate) struct RealmKeys {
    access: Arc<SigningKey>,
    id: HashMap<SigningAlgorithm, Arc<SigningKey>>,
    parsed: HashMap<String, Arc<SigningKey>>,
    published: JwkSet,
    algorithms: Vec<SigningAlgorithm>,
    /// Whether there is a key of every algorithm that the realm wants.
    complete: bool,
}

impl RealmKeys {
    /// The key that signs access tokens.
    pub(crate) fn for_access_tokens(&self) -> &SigningKey {
        &self.access
    }

    /// The key that signs the ID tokens of a client that wants this algorithm.
    pub(crate) fn for_id_tokens(&self, algorithm: SigningAlgorithm) -> &SigningKey {
        self.id.get(&algorithm).unwrap_or(&self.access)
    }

    /// What verifiers may meet: the keys that will sign, sign and did sign.
    pub(crate) const fn published(&self) -> &JwkSet {
        &self.published
    }

    /// The algorithms of the published keys: while a realm changes its own, there are more than it wants.
    pub(crate) fn algorithms(&self) -> &[SigningAlgorithm] {
        &self.algorithms
    }
}

/// What keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// That of access tokens, and whatever others there are.
    AccessTokens,
    /// All that the realm wants: whoever asks first for a new realm waits for its RSA key.
    All,
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

impl Keys {
    /// The keys of a realm, not older than [`MAX_AGE`] unless the store fails.
    pub(crate) async fn of(
        &self,
        store: &Store,
        realm: &Realm,
        need: Need,
        now: Timestamp,
    ) -> Result<Arc<RealmKeys>, Internal> {
        let held = self.held(realm, need);
        if let Some(fresh) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Arc::clone(&fresh.keys));
        }
        let _flight = match (self.flight.try_lock(), held) {
            (Ok(flight), _) => flight,
            (Err(_), Some(stale)) => return Ok(stale.keys),
            (Err(_), None) => self.flight.lock().await,
        };
        let held = self.held(realm, need);
        if let Some(fresh) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(Arc::clone(&fresh.keys));
        }
        let before = self.held.load().get(&realm.name).cloned();
        let before = before.as_ref().map(|held| &*held.keys);
        match (read(store, realm, need, before, now).await, held) {
            (Ok(keys), _) => Ok(self.hold(realm, Arc::new(keys), now)),
            (Err(error), Some(stale)) => {
                error.log();
                Ok(self.hold(realm, stale.keys, now))
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What there is, if it is enough.
    fn held(&self, realm: &Realm, need: Need) -> Option<Held> {
        let held = self.held.load().get(&realm.name).cloned()?;
        let algorithms = realm.algorithms();
        let wanted = match need {
            Need::AccessTokens => true,
            Need::All => {
                held.keys.complete
                    && algorithms
                        .iter()
                        .all(|algorithm| held.keys.algorithms.contains(algorithm))
            }
        };
        wanted.then_some(held)
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
async fn read(
    store: &Store,
    realm: &Realm,
    need: Need,
    before: Option<&RealmKeys>,
    now: Timestamp,
) -> Result<RealmKeys, Internal> {
    let wanted = realm.algorithms();
    for _ in 0..MOST_ROUNDS {
        let stored = store::key::list(store, &realm.name)
            .await
            .map_err(Internal::new)?;
        let mut due = signing_key::due(&stored, &wanted, &rotation(realm), now);
        let all = due.len();
        if need == Need::AccessTokens {
            due.retain(|step| !takes_long(step, realm));
        }
        if due.is_empty() {
            return parse(realm, &stored, before, all == 0);
        }
        for step in due {
            perform(store, realm, step, now).await?;
        }
        // Read again: another node may have been quicker, and then its key is everybody's.
    }
    let stored = store::key::list(store, &realm.name)
        .await
        .map_err(Internal::new)?;
    parse(realm, &stored, before, need == Need::All)
}

/// Whether nobody who only needs an access token should wait for it.
fn takes_long(step: &Due, realm: &Realm) -> bool {
    match step {
        Due::CreateActive(algorithm) | Due::CreatePending(algorithm) => {
            *algorithm == SigningAlgorithm::Rs256 && *algorithm != realm.signing_algorithm
        }
        Due::Switch { .. } | Due::Retire(_) | Due::Purge(_) => false,
    }
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
        Due::CreateActive(algorithm) => {
            create(store, realm, algorithm, KeyState::Active { since: now }).await?;
            Ok(())
        }
        Due::CreatePending(algorithm) => {
            create(store, realm, algorithm, KeyState::Pending { since: now }).await?;
            Ok(())
        }
        Due::Switch { to, from } => {
            if store::key::switch(store, &to, &from, now)
                .await
                .map_err(Internal::new)?
            {
                tracing::info!(realm = %realm.name, kid = to, "signing key takes over");
            }
            Ok(())
        }
        Due::Retire(kid) => {
            tracing::info!(realm = %realm.name, kid, "signing key of an algorithm that is not wanted any more retires");
            store::key::retire(store, &kid, now)
                .await
                .map_err(Internal::new)
        }
        Due::Purge(kid) => {
            tracing::info!(realm = %realm.name, kid, "signing key deleted");
            store::key::delete(store, &kid).await.map_err(Internal::new)
        }
    }
}

/// Makes a key and stores it; its name.
pub(crate) async fn create(
    store: &Store,
    realm: &Realm,
    algorithm: SigningAlgorithm,
    state: KeyState,
) -> Result<String, Internal> {
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
    Ok(row.kid)
}

/// The keys of these rows. What was parsed before is not parsed again: checking an RSA key takes its time.
fn parse(
    realm: &Realm,
    stored: &[signing_key::SigningKey],
    before: Option<&RealmKeys>,
    complete: bool,
) -> Result<RealmKeys, Internal> {
    let mut algorithms = Vec::new();
    let mut published = Vec::new();
    let mut parsed = HashMap::new();
    for row in stored {
        let key = match before.and_then(|before| before.parsed.get(&row.kid)) {
            Some(key) => Arc::clone(key),
            None => Arc::new(parse_one(row)?),
        };
        published.push(key.public().clone());
        parsed.insert(row.kid.clone(), key);
        if !algorithms.contains(&row.algorithm) {
            algorithms.push(row.algorithm);
        }
    }
    let current = |algorithm| {
        let row = signing_key::current(stored, algorithm)?;
        parsed.get(&row.kid).cloned()
    };
    let id = realm
        .algorithms()
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, current(algorithm)?)));
    Ok(RealmKeys {
        access: current(realm.signing_algorithm)
            .ok_or_else(|| Internal::new(KeyError::NoneActive(realm.name.clone())))?,
        id: id.collect(),
        published: JwkSet::new(published),
        parsed,
        algorithms,
        complete,
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

/// The algorithm by its name in JOSE.
pub(crate) const fn alg(algorithm: SigningAlgorithm) -> Alg {
    match algorithm {
        SigningAlgorithm::Es256 => Alg::Es256,
        SigningAlgorithm::Rs256 => Alg::Rs256,
        SigningAlgorithm::EdDsa => Alg::EdDsa,
    }
}

/// The algorithms of which clients of a realm may choose.
pub(crate) fn algorithms(realm: &Realm) -> Vec<Alg> {
    realm.algorithms().into_iter().map(alg).collect()
}
