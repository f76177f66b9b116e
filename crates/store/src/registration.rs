//! Clients that registered themselves (RFC 7591): a bounded number of unused ones, and those that people log in with
//! (SEC-33).

use model::clock::Timestamp;
use model::realm::{Lifetimes, RealmName};
use model::registration::{KEEP, Registered};
use model::secret::TokenHash;
use oauth::client_id::ClientId;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::Record;

/// How many registrations may wait for their first use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one source; more are refused.
    pub per_source: u32,
    /// Of a realm; the oldest of the source that has most make room for a new one.
    pub in_all: u32,
}

/// What became of a new registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is kept.
    Kept,
    /// Its source has too many that nobody used. The first of them is forgotten then.
    TooMany {
        /// When.
        until: Timestamp,
    },
}

/// Keeps a new registration, within the bounds.
pub async fn insert(
    store: &Store,
    registered: &Registered,
    bounds: Bounds,
) -> Result<Inserted, Error> {
    store
        .backend()
        .write(
            (registered.clone(), bounds),
            |(registered, bounds), connection| {
                Box::pin(async move {
                    let realm = registered.realm.to_string();
                    let row = sqlx::query(query::REGISTRATION_COUNT)
                        .bind(realm.clone())
                        .bind(registered.source.clone())
                        .bind(registered.created_at.millis())
                        .fetch_one(&mut *connection)
                        .await?;
                    let waiting: i64 = row.try_get("n")?;
                    if waiting >= i64::from(bounds.per_source) {
                        let until = Timestamp::from_millis(row.try_get("first")?);
                        return Ok(Inserted::TooMany { until });
                    }
                    sqlx::query(query::REGISTRATION_MAKE_ROOM)
                        .bind(realm.clone())
                        .bind(i64::from(bounds.in_all.saturating_sub(1)))
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query(query::REGISTRATION_INSERT)
                        .bind(registered.client_id.to_string())
                        .bind(realm)
                        .bind(registered.metadata.clone())
                        .bind(registered.secret.map(|hash| hash.as_bytes().to_vec()))
                        .bind(registered.access_token.as_bytes().to_vec())
                        .bind(registered.source.clone())
                        .bind(registered.created_at.millis())
                        .bind(registered.expires_at.millis())
                        .execute(&mut *connection)
                        .await?;
                    Ok(Inserted::Kept)
                })
            },
        )
        .await
}

/// The registration of a client, unless it is forgotten by now.
pub async fn load(
    store: &Store,
    realm: &RealmName,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<Option<Registered>, Error> {
    store
        .backend()
        .read(
            &(realm, client_id, now),
            |(realm, client_id, now), connection| {
                Box::pin(async move {
                    let row = sqlx::query(query::REGISTRATION_LOAD)
                        .bind(realm.to_string())
                        .bind(client_id.to_string())
                        .bind(now.millis())
                        .fetch_optional(connection)
                        .await?;
                    row.as_ref().map(read).transpose()
                })
            },
        )
        .await
}

/// Puts other metadata, and perhaps another secret, in the place of what a client registered. `false` if it is gone.
pub async fn replace(
    store: &Store,
    client_id: &ClientId,
    metadata: &str,
    secret: Option<TokenHash>,
) -> Result<bool, Error> {
    store
        .backend()
        .write(
            (client_id.clone(), metadata.to_owned(), secret),
            |(client_id, metadata, secret), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::REGISTRATION_REPLACE)
                        .bind(client_id.to_string())
                        .bind(metadata.clone())
                        .bind(secret.map(|hash| hash.as_bytes().to_vec()));
                    Ok(query.execute(connection).await?.rows_affected() == 1)
                })
            },
        )
        .await
}

/// Writes down that somebody logged in with a client: it is kept from then on.
pub async fn logged_in(store: &Store, client_id: &ClientId, now: Timestamp) -> Result<(), Error> {
    used(store, query::REGISTRATION_USED, client_id, now).await
}

/// Writes down that a client got tokens. One that nobody ever logged in with is forgotten all the same.
pub async fn touch(store: &Store, client_id: &ClientId, now: Timestamp) -> Result<(), Error> {
    used(store, query::REGISTRATION_TOUCH, client_id, now).await
}

async fn used(
    store: &Store,
    statement: &'static str,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<(), Error> {
    store
        .backend()
        .write(
            (statement, client_id.clone(), now),
            |(statement, client_id, now), connection| {
                Box::pin(async move {
                    sqlx::query(*statement)
                        .bind(client_id.to_string())
                        .bind(now.millis())
                        .bind((*now + KEEP).millis())
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            },
        )
        .await
}

/// Forgets a client, what users agreed to for it, and what it got: codes on their way, families and tokens. How many grants
/// were revoked.
pub async fn delete(
    store: &Store,
    client_id: &ClientId,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<usize, Error> {
    let until = family::forget_at(lifetimes, now);
    let revoked = store
        .backend()
        .write(
            (client_id.clone(), now, until),
            |(client_id, now, until), connection| {
                Box::pin(async move {
                    let deleted = sqlx::query(query::REGISTRATION_DELETE)
                        .bind(client_id.to_string())
                        .fetch_optional(&mut *connection)
                        .await?;
                    let used_at: Option<i64> = match deleted {
                        Some(row) => row.try_get("used_at")?,
                        None => None,
                    };
                    // Nothing was granted to a client that nobody logged in with, so that nothing is looked for.
                    if used_at.is_none() {
                        return Ok(Vec::new());
                    }
                    for statement in [query::CONSENT_DELETE_CLIENT, query::CODE_DELETE_OF_CLIENT] {
                        sqlx::query(statement)
                            .bind(client_id.to_string())
                            .execute(&mut *connection)
                            .await?;
                    }
                    let which = Which::OfClient(client_id.clone());
                    family::revoke_within(connection, &which, *now, *until).await
                })
            },
        )
        .await?;
    let grants = revoked.len();
    store.revocations().add(revoked);
    Ok(grants)
}

fn read(row: &AnyRow) -> Result<Registered, Error> {
    let row = Record {
        row,
        table: "registered_client",
        id: row.try_get("client_id").unwrap_or_default(),
    };
    let secret = row
        .optional_bytes("secret_hash")?
        .map(TryInto::try_into)
        .transpose()
        .map_err(|_| row.inconsistent("secret_hash"))?;
    Ok(Registered {
        client_id: row.parse("client_id")?,
        realm: row.parse("realm")?,
        metadata: row.text("metadata")?,
        secret: secret.map(TokenHash::from_bytes),
        access_token: TokenHash::from_bytes(row.array("token_hash")?),
        source: row.text("source")?,
        created_at: row.time("created_at")?,
        used_at: row.optional_time("used_at")?,
        expires_at: row.time("expires_at")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::consent::Ask;
    use model::id::Id;
    use model::registration::{self, FIRST_USE};

    use super::*;
    use crate::testing::{self, sample};
    use crate::{cleanup, consent};

    const BOUNDS: Bounds = Bounds {
        per_source: 3,
        in_all: 5,
    };

    fn realm() -> RealmName {
        "demo".parse().unwrap()
    }

    fn registered(number: u8, source: &str) -> Registered {
        let created_at = sample::NOW + Duration::from_secs(u64::from(number));
        Registered {
            client_id: registration::client_id(&[number; 16]).unwrap(),
            realm: realm(),
            metadata: "{}".to_owned(),
            secret: None,
            access_token: TokenHash::of([number]),
            source: source.to_owned(),
            created_at,
            used_at: None,
            expires_at: created_at + FIRST_USE,
        }
    }

    async fn is_kept(store: &Store, registered: &Registered, now: Timestamp) -> bool {
        load(store, &realm(), &registered.client_id, now)
            .await
            .unwrap()
            .is_some()
    }

    // SEC-33
    #[tokio::test]
    async fn a_registration_reads_back_until_it_is_replaced_or_deleted() {
        let store = testing::open().await;
        let one = Registered {
            secret: Some(TokenHash::of("secret")),
            ..registered(1, "a")
        };
        insert(&store, &one, BOUNDS).await.unwrap();
        let stored = load(&store, &realm(), &one.client_id, sample::NOW).await;
        assert_eq!(stored.unwrap(), Some(one.clone()));
        let elsewhere = load(
            &store,
            &"other".parse().unwrap(),
            &one.client_id,
            sample::NOW,
        )
        .await;
        assert_eq!(elsewhere.unwrap(), None);

        let other = "{\"scope\":\"a\"}";
        assert!(replace(&store, &one.client_id, other, None).await.unwrap());
        let stored = load(&store, &realm(), &one.client_id, sample::NOW).await;
        let stored = stored.unwrap().unwrap();
        assert_eq!((stored.metadata.as_str(), stored.secret), (other, None));

        let lifetimes = Lifetimes::default();
        let grants = delete(&store, &one.client_id, &lifetimes, sample::NOW).await;
        assert_eq!(grants.unwrap(), 0);
        assert!(!is_kept(&store, &one, sample::NOW).await);
        assert!(!replace(&store, &one.client_id, other, None).await.unwrap());
    }

    // SEC-33
    #[tokio::test]
    async fn one_source_has_so_many_unused_registrations_and_no_more() {
        let store = testing::open().await;
        for number in 1..=3 {
            let inserted = insert(&store, &registered(number, "a"), BOUNDS).await;
            assert_eq!(inserted.unwrap(), Inserted::Kept);
        }
        let until = registered(1, "a").expires_at;
        let fourth = insert(&store, &registered(4, "a"), BOUNDS).await;
        assert_eq!(fourth.unwrap(), Inserted::TooMany { until });
        let of_another = insert(&store, &registered(5, "b"), BOUNDS).await;
        assert_eq!(of_another.unwrap(), Inserted::Kept);
        // One that somebody logged in with is not counted.
        let first = registered(1, "a").client_id;
        logged_in(&store, &first, sample::NOW).await.unwrap();
        let fourth = insert(&store, &registered(4, "a"), BOUNDS).await;
        assert_eq!(fourth.unwrap(), Inserted::Kept);
    }

    // SEC-33
    #[tokio::test]
    async fn the_oldest_unused_registrations_make_room_and_used_ones_stay() {
        let store = testing::open().await;
        let all: Vec<_> = (1..=9)
            .map(|number| registered(number, &number.to_string()))
            .collect();
        for (number, one) in (1..).zip(&all) {
            insert(&store, one, BOUNDS).await.unwrap();
            if number == 1 {
                logged_in(&store, &one.client_id, sample::NOW)
                    .await
                    .unwrap();
            }
        }
        let mut kept = Vec::new();
        for (number, one) in (1..).zip(&all) {
            if is_kept(&store, one, sample::NOW).await {
                kept.push(number);
            }
        }
        assert_eq!(kept, [1, 5, 6, 7, 8, 9]);
    }

    // SEC-33, SEC-87
    #[tokio::test]
    async fn who_registers_most_makes_room_and_not_who_came_first() {
        let store = testing::open().await;
        let sources = ["honest", "flood", "flood", "flood", "other", "another"];
        let all: Vec<_> = (1..)
            .zip(sources)
            .map(|(number, source)| registered(number, source))
            .collect();
        for one in &all {
            let inserted = insert(&store, one, BOUNDS).await;
            assert_eq!(inserted.unwrap(), Inserted::Kept);
        }
        let mut kept = Vec::new();
        for (number, one) in (1..).zip(&all) {
            if is_kept(&store, one, sample::NOW).await {
                kept.push(number);
            }
        }
        assert_eq!(kept, [1, 3, 4, 5, 6]);
    }

    // SEC-33
    #[tokio::test]
    async fn what_nobody_uses_leaves_nothing_behind() {
        let store = testing::open().await;
        let (unused, used) = (registered(1, "a"), registered(2, "a"));
        for one in [&unused, &used] {
            insert(&store, one, BOUNDS).await.unwrap();
        }
        touch(&store, &unused.client_id, sample::NOW).await.unwrap();
        logged_in(&store, &used.client_id, sample::NOW)
            .await
            .unwrap();
        let agreed = Ask {
            client_id: used.client_id.clone(),
            redirect_origin: "http://localhost".to_owned(),
            resources: Vec::new(),
            scope: "a".parse().unwrap(),
            document_hash: None,
        };
        let user = Id::from_bytes([1; 16]);
        consent::save(&store, &agreed.agree(user, sample::NOW))
            .await
            .unwrap();

        let later = sample::NOW + FIRST_USE + Duration::from_secs(2);
        assert!(!is_kept(&store, &unused, later).await);
        assert!(is_kept(&store, &used, later).await);
        assert_eq!(cleanup::run(&store, later).await.unwrap(), 1);

        // Used again after a month, it is kept for ninety days from then.
        let month = sample::NOW + Duration::from_hours(30 * 24);
        touch(&store, &used.client_id, month).await.unwrap();
        assert_eq!(
            cleanup::run(&store, sample::NOW + KEEP + KEEP / 8)
                .await
                .unwrap(),
            0
        );
        let end = month + KEEP + Duration::from_secs(1);
        assert!(!is_kept(&store, &used, end).await);
        assert_eq!(cleanup::run(&store, end).await.unwrap(), 2);
        let left = consent::list(&store, user, &used.client_id).await.unwrap();
        assert_eq!(left, []);
    }
}
