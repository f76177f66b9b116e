//! Clients that registered themselves (RFC 7591): a bounded number of unused ones, and those that people log in with
//! (SEC-33).

use model::clock::Timestamp;
use model::realm::{Lifetimes, RealmName};
use model::registration::{FIRST_USE, KEEP, Registered};
use model::secret::TokenHash;
use oauth::client_id::ClientId;
use sqlx::AnyConnection;

use crate::Store;
use crate::counter::{self, CounterName};
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::{Record, Row};
use crate::statement::{Statement, sql};

/// How many registrations may wait for their first use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one source; more are refused.
    pub per_source: u32,
    /// Of one site; more are refused.
    pub per_site: u32,
    /// Of a realm; the oldest of the source that has most, at the site that has most, make room for a new one.
    pub in_all: u32,
}

/// What became of a new registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is kept.
    Kept,
    /// Its source or site has too many that nobody used. The first of them is forgotten then.
    TooMany {
        /// When.
        until: Timestamp,
    },
}

/// Keeps a new registration, within the bounds. All that are made in a realm take turns, so that many at once gain nothing;
/// only who would be refused anyway is refused without a turn.
pub async fn insert(
    store: &Store,
    registered: &Registered,
    bounds: Bounds,
) -> Result<Inserted, Error> {
    let state = (registered.clone(), bounds);
    let outcome = store
        .backend()
        .read(&state, |(registered, bounds), connection| {
            Box::pin(room(connection, registered, *bounds))
        })
        .await?;
    if outcome != Inserted::Kept {
        return Ok(outcome);
    }
    store
        .backend()
        .write(state, |(registered, bounds), connection| {
            Box::pin(async move {
                let turn = CounterName::new("registration", &[registered.realm.as_str()]);
                counter::hold(connection, &turn, FIRST_USE, registered.created_at).await?;
                let outcome = room(connection, registered, *bounds).await?;
                if outcome == Inserted::Kept {
                    make_room(connection, &registered.realm, *bounds).await?;
                    put(connection, registered).await?;
                }
                Ok(outcome)
            })
        })
        .await
}

/// Whether there is room for one more from where this one comes.
async fn room(
    connection: &mut AnyConnection,
    registered: &Registered,
    bounds: Bounds,
) -> Result<Inserted, Error> {
    let waiting = sql(query::REGISTRATION_COUNT)
        .bind(&registered.realm)
        .bind(&registered.source)
        .bind(&registered.site)
        .bind(registered.created_at)
        .the_one::<Waiting>(connection)
        .await?;
    for ((count, until), bound) in [
        (waiting.of_source, bounds.per_source),
        (waiting.of_site, bounds.per_site),
    ] {
        if count >= i64::from(bound) {
            return Ok(Inserted::TooMany { until });
        }
    }
    Ok(Inserted::Kept)
}

/// How many wait for their first use, and when the first of them is forgotten.
struct Waiting {
    of_source: (i64, Timestamp),
    of_site: (i64, Timestamp),
}

impl Row for Waiting {
    const TABLE: &'static str = Registered::TABLE;
    const KEY: &'static str = Registered::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            of_source: (row.integer("of_source")?, row.time("first_of_source")?),
            of_site: (row.integer("of_site")?, row.time("first_of_site")?),
        })
    }
}

async fn make_room(
    connection: &mut AnyConnection,
    realm: &RealmName,
    bounds: Bounds,
) -> Result<(), Error> {
    sql(query::REGISTRATION_MAKE_ROOM)
        .bind(realm)
        .bind(bounds.in_all.saturating_sub(1))
        .execute(connection)
        .await?;
    Ok(())
}

async fn put(connection: &mut AnyConnection, registered: &Registered) -> Result<(), Error> {
    sql(query::REGISTRATION_INSERT)
        .bind(&registered.client_id)
        .bind(&registered.realm)
        .bind(&registered.metadata)
        .bind(registered.secret)
        .bind(registered.access_token)
        .bind(&registered.source)
        .bind(&registered.site)
        .bind(registered.created_at)
        .bind(registered.expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// The registration of a client, unless it is forgotten by now.
pub async fn load(
    store: &Store,
    realm: &RealmName,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<Option<Registered>, Error> {
    let statement = sql(query::REGISTRATION_LOAD).bind(realm);
    store.one(statement.bind(client_id).bind(now)).await
}

/// Puts other metadata, and perhaps another secret, in the place of what a client registered. `false` if it is gone.
pub async fn replace(
    store: &Store,
    client_id: &ClientId,
    metadata: &str,
    secret: Option<TokenHash>,
) -> Result<bool, Error> {
    let statement = sql(query::REGISTRATION_REPLACE).bind(client_id);
    Ok(store.execute(statement.bind(metadata).bind(secret)).await? == 1)
}

/// Writes down that somebody logged in with a client: it is kept from then on.
pub async fn logged_in(store: &Store, client_id: &ClientId, now: Timestamp) -> Result<(), Error> {
    store
        .execute(used(query::REGISTRATION_USED, client_id, now))
        .await?;
    Ok(())
}

/// Writes down that a client got tokens. One that nobody ever logged in with is forgotten all the same.
pub async fn touch(store: &Store, client_id: &ClientId, now: Timestamp) -> Result<(), Error> {
    store
        .execute(used(query::REGISTRATION_TOUCH, client_id, now))
        .await?;
    Ok(())
}

/// Holds a registration as part of a transaction in which somebody agrees to what it asks for, so that whoever deletes it
/// comes before that, and is seen, or after it, and finds it used. `false` if it is gone.
pub(crate) async fn hold(
    connection: &mut AnyConnection,
    client_id: &ClientId,
    now: Timestamp,
) -> Result<bool, Error> {
    let statement = used(query::REGISTRATION_USED, client_id, now);
    Ok(statement.execute(connection).await? == 1)
}

fn used(text: &'static str, client_id: &ClientId, now: Timestamp) -> Statement {
    sql(text).bind(client_id).bind(now).bind(now + KEEP)
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
                    let about = |text| sql(text).bind(client_id);
                    let deleted = about(query::REGISTRATION_DELETE)
                        .one::<Used>(&mut *connection)
                        .await?;
                    // Nobody agreed to a client that nobody logged in with, so that nothing is looked for.
                    if deleted.is_none_or(|Used(at)| at.is_none()) {
                        return Ok(Vec::new());
                    }
                    for text in [query::CONSENT_DELETE_CLIENT, query::CODE_DELETE_OF_CLIENT] {
                        about(text).execute(&mut *connection).await?;
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

/// When it was used, whatever else is wrong with it: it can be forgotten all the same.
struct Used(Option<Timestamp>);

impl Row for Used {
    const TABLE: &'static str = Registered::TABLE;
    const KEY: &'static str = Registered::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.optional_time("used_at").map(Self)
    }
}

impl Row for Registered {
    const TABLE: &'static str = "registered_client";
    const KEY: &'static str = "client_id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let source = row.text("source")?;
        Ok(Self {
            client_id: row.parse("client_id")?,
            realm: row.parse("realm")?,
            metadata: row.text("metadata")?,
            secret: row.optional_hash("secret_hash")?,
            access_token: TokenHash::from_bytes(row.array("token_hash")?),
            site: row.optional_text("site")?.unwrap_or_else(|| source.clone()),
            source,
            created_at: row.time("created_at")?,
            used_at: row.optional_time("used_at")?,
            expires_at: row.time("expires_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use model::consent::Ask;
    use model::id::Id;
    use model::registration::{self, FIRST_USE};

    use super::*;
    use crate::testing::{self, sample};
    use crate::{cleanup, consent};

    const BOUNDS: Bounds = Bounds {
        per_source: 3,
        per_site: 4,
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
            site: source.to_owned(),
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

    fn at_site(number: u8, source: &str, site: &str) -> Registered {
        Registered {
            site: site.to_owned(),
            ..registered(number, source)
        }
    }

    // SEC-33, SEC-87
    #[tokio::test]
    async fn one_site_has_a_bounded_share_however_many_networks_it_has() {
        let store = testing::open().await;
        for number in 1..=4 {
            let one = at_site(number, &number.to_string(), "site");
            assert_eq!(insert(&store, &one, BOUNDS).await.unwrap(), Inserted::Kept);
        }
        let until = registered(1, "1").expires_at;
        let fifth = insert(&store, &at_site(5, "5", "site"), BOUNDS).await;
        assert_eq!(fifth.unwrap(), Inserted::TooMany { until });
        let elsewhere = insert(&store, &at_site(6, "6", "elsewhere"), BOUNDS).await;
        assert_eq!(elsewhere.unwrap(), Inserted::Kept);
    }

    // SEC-33, SEC-87
    #[tokio::test]
    async fn the_site_that_has_most_makes_room() {
        let store = testing::open().await;
        let from = [
            ("honest", "honest"),
            ("flood 1", "flood"),
            ("flood 2", "flood"),
            ("pair", "pair"),
            ("pair", "pair"),
            ("flood 3", "flood"),
            ("other", "other"),
        ];
        let all: Vec<_> = (1..)
            .zip(from)
            .map(|(number, (source, site))| at_site(number, source, site))
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
        // First one of the pair, whose site has no fewer than another and whose network has more; then the oldest of the flood.
        assert_eq!(kept, [1, 3, 5, 6, 7]);
    }

    // SEC-33
    #[tokio::test(flavor = "multi_thread")]
    async fn nodes_that_register_at_once_keep_the_bounds_together() {
        let (here, there) = testing::open_twice().await;
        let all: Vec<_> = (1..=40).map(|number| registered(number, "a")).collect();
        let outcomes = join_all(all.iter().enumerate().map(|(index, one)| {
            let node = if index % 2 == 0 { &here } else { &there };
            insert(node, one, BOUNDS)
        }))
        .await;
        let kept = outcomes
            .into_iter()
            .filter(|outcome| matches!(outcome, Ok(Inserted::Kept)))
            .count();
        assert_eq!(kept, 3);
        let others: Vec<_> = (50..90)
            .map(|number| registered(number, &number.to_string()))
            .collect();
        join_all(others.iter().enumerate().map(|(index, one)| {
            let node = if index % 2 == 0 { &here } else { &there };
            insert(node, one, BOUNDS)
        }))
        .await;
        let mut kept = 0;
        for one in all.iter().chain(&others) {
            kept += usize::from(is_kept(&here, one, sample::NOW).await);
        }
        assert_eq!(kept, 5);
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
        // The one, and whose turn it was to register.
        assert_eq!(cleanup::run(&store, later).await.unwrap(), 2);

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
