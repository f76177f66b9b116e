//! Signing keys of realms, and the server's own secrets; both sealed.

use model::clock::Timestamp;
use model::realm::RealmName;
use model::secret::Secret;
use model::signing_key::{KeyState, SigningKey};

use crate::Store;
use crate::backend::Backend;
use crate::error::Error;
use crate::query;
use crate::random;
use crate::row::{Record, Row};
use crate::seal::Sealer;
use crate::statement::{Statement, sql};

/// Adds a key. `false` if there is one of that `kid`, or another node was quicker to add an active key for the realm
/// and algorithm: then [`list`] gives that one.
pub async fn insert(store: &Store, key: &SigningKey) -> Result<bool, Error> {
    let sealed = store
        .sealer()
        .seal(&purpose(&key.kid), key.private.expose())?;
    let statement = sql(query::KEY_INSERT)
        .bind(&key.kid)
        .bind(&key.realm)
        .bind(key.algorithm.as_str())
        .bind(word(key.state))
        .bind(key.state.since())
        .bind(sealed);
    Ok(store.execute(statement).await? == 1)
}

/// All keys of a realm, oldest state first.
pub async fn list(store: &Store, realm: &RealmName) -> Result<Vec<SigningKey>, Error> {
    let stored: Vec<Stored> = store.many(sql(query::KEY_LIST).bind(realm)).await?;
    let opened = stored.into_iter().map(|stored| {
        let Stored { key, sealed } = stored;
        let private = store.sealer().open(&purpose(&key.kid), &sealed)?;
        Ok(SigningKey { private, ..key })
    });
    opened.collect()
}

/// A key, as yet without its private part, and that, sealed.
struct Stored {
    key: SigningKey,
    sealed: Vec<u8>,
}

impl Row for Stored {
    const TABLE: &'static str = "signing_key";
    const KEY: &'static str = "kid";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let since = row.time("since")?;
        Ok(Self {
            key: SigningKey {
                kid: row.text("kid")?,
                realm: row.parse("realm")?,
                algorithm: row.parse("algorithm")?,
                private: Secret::new(Vec::new()),
                state: match row.text("state")?.as_str() {
                    "pending" => KeyState::Pending { since },
                    "active" => KeyState::Active { since },
                    "retired" => KeyState::Retired { since },
                    _ => return Err(row.inconsistent("state")),
                },
            },
            sealed: row.bytes("private")?,
        })
    }
}

/// Retires these keys and lets that one sign. `false`, and nothing is changed, if any of them is not in the state for
/// it any more: another node was quicker.
pub async fn switch(
    store: &Store,
    to: &str,
    from: &[String],
    now: Timestamp,
) -> Result<bool, Error> {
    let retired = from.iter().map(|kid| change(kid, "active", "retired", now));
    let changes = retired.chain([change(to, "pending", "active", now)]);
    let switched = store
        .backend()
        .write(changes.collect::<Vec<_>>(), |changes, connection| {
            Box::pin(async move {
                for change in changes {
                    if change.execute(&mut *connection).await? != 1 {
                        // Undoes the others.
                        return Err(Error::Conflict);
                    }
                }
                Ok(())
            })
        })
        .await;
    match switched {
        Ok(()) => Ok(true),
        Err(Error::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Retires a key that has no successor, unless another node was quicker.
pub async fn retire(store: &Store, kid: &str, now: Timestamp) -> Result<(), Error> {
    store.execute(change(kid, "active", "retired", now)).await?;
    Ok(())
}

fn change(kid: &str, before: &str, after: &str, now: Timestamp) -> Statement {
    let statement = sql(query::KEY_SET_STATE).bind(kid);
    statement.bind(before).bind(after).bind(now)
}

/// Deletes a key: purged, or revoked in an emergency.
pub async fn delete(store: &Store, kid: &str) -> Result<(), Error> {
    store.execute(sql(query::KEY_DELETE).bind(kid)).await?;
    Ok(())
}

/// A secret of the server that is made on first use and the same for all nodes ever after.
pub(crate) async fn server_secret(
    backend: &Backend,
    sealer: &Sealer,
    name: &'static str,
) -> Result<Secret<[u8; 32]>, Error> {
    let fresh: Secret<[u8; 32]> = Secret::new(random::bytes()?);
    let purpose = format!("server_secret/{name}");
    let sealed = sealer.seal(&purpose, fresh.expose())?;
    let statements = [
        sql(query::SECRET_INSERT).bind(name).bind(sealed),
        sql(query::SECRET_LOAD).bind(name),
    ];
    let SealedSecret(stored) = backend
        .write(statements, |[insert, load], connection| {
            Box::pin(async move {
                insert.execute(&mut *connection).await?;
                load.the_one(connection).await
            })
        })
        .await?;
    let opened = sealer.open(&purpose, &stored)?;
    let inconsistent = || Error::Inconsistent {
        table: SealedSecret::TABLE,
        column: "sealed",
        id: name.to_owned(),
    };
    opened
        .expose()
        .as_slice()
        .try_into()
        .map(Secret::new)
        .map_err(|_| inconsistent())
}

/// The column `sealed`.
struct SealedSecret(Vec<u8>);

impl Row for SealedSecret {
    const TABLE: &'static str = "server_secret";
    const KEY: &'static str = "name";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.bytes("sealed").map(Self)
    }
}

fn purpose(kid: &str) -> String {
    format!("signing_key/{kid}")
}

const fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Pending { .. } => "pending",
        KeyState::Active { .. } => "active",
        KeyState::Retired { .. } => "retired",
    }
}

#[cfg(test)]
mod tests {
    use model::realm::SigningAlgorithm;

    use super::*;
    use crate::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    fn key(kid: &str, state: KeyState) -> SigningKey {
        SigningKey {
            kid: kid.to_owned(),
            realm: "demo".parse().unwrap(),
            algorithm: SigningAlgorithm::Es256,
            private: Secret::new(kid.as_bytes().to_vec()),
            state,
        }
    }

    async fn states(store: &Store) -> Vec<(String, &'static str)> {
        let mut states: Vec<_> = list(store, &"demo".parse().unwrap())
            .await
            .unwrap()
            .into_iter()
            .map(|key| (key.kid, word(key.state)))
            .collect();
        states.sort();
        states
    }

    // SEC-42
    #[tokio::test]
    async fn a_key_comes_back_as_it_was() {
        let store = testing::open().await;
        assert!(
            insert(&store, &key("k1", KeyState::Active { since: NOW }))
                .await
                .unwrap()
        );
        let keys = list(&store, &"demo".parse().unwrap()).await.unwrap();
        let [stored] = keys.as_slice() else {
            panic!("{} keys", keys.len())
        };
        assert_eq!(
            (stored.kid.as_str(), stored.state),
            ("k1", KeyState::Active { since: NOW })
        );
        assert_eq!(stored.private.expose(), b"k1");
        assert!(
            list(&store, &"other".parse().unwrap())
                .await
                .unwrap()
                .is_empty()
        );
    }

    // SEC-43
    #[tokio::test]
    async fn only_one_of_two_nodes_adds_the_first_key() {
        let store = testing::open().await;
        assert!(
            insert(&store, &key("k1", KeyState::Active { since: NOW }))
                .await
                .unwrap()
        );
        assert!(
            !insert(&store, &key("k2", KeyState::Active { since: NOW }))
                .await
                .unwrap()
        );
        assert!(
            insert(&store, &key("k3", KeyState::Pending { since: NOW }))
                .await
                .unwrap()
        );
        assert_eq!(
            states(&store).await,
            [("k1".to_owned(), "active"), ("k3".to_owned(), "pending")]
        );
    }

    // SEC-43
    #[tokio::test]
    async fn a_switch_happens_as_a_whole_and_once() {
        let store = testing::open().await;
        insert(&store, &key("k1", KeyState::Active { since: NOW }))
            .await
            .unwrap();
        insert(&store, &key("k2", KeyState::Pending { since: NOW }))
            .await
            .unwrap();
        let from = vec!["k1".to_owned()];
        assert!(!switch(&store, "missing", &from, NOW).await.unwrap());
        assert_eq!(
            states(&store).await,
            [("k1".to_owned(), "active"), ("k2".to_owned(), "pending")]
        );
        assert!(switch(&store, "k2", &from, NOW).await.unwrap());
        assert!(!switch(&store, "k2", &from, NOW).await.unwrap());
        assert_eq!(
            states(&store).await,
            [("k1".to_owned(), "retired"), ("k2".to_owned(), "active")]
        );
        delete(&store, "k1").await.unwrap();
        assert_eq!(states(&store).await, [("k2".to_owned(), "active")]);
    }
}
