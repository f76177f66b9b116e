//! Forgets what has expired, in chunks, so that nobody waits long for a lock. Any node may do it at any time.

use std::time::Duration;

use model::clock::Timestamp;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::statement::sql;

/// How long what has expired is kept, so that a late replay of a code is still recognized as one (SEC-3).
const KEEP: Duration = Duration::from_hours(24);

/// How long a host waits for a decision. Then it has to be asked for again, so that a list that strangers filled gets room
/// by itself (SEC-33).
const WAIT: Duration = Duration::from_hours(7 * 24);

/// How many rows one transaction deletes.
const CHUNK: u64 = 1000;

/// What is deleted, and how long after its expiry.
const STATEMENTS: &[(&str, Duration)] = &[
    (query::CLEAN_CODES, KEEP),
    (query::CLEAN_FAMILIES, KEEP),
    (query::CLEAN_SESSIONS, Duration::ZERO),
    (query::CLEAN_REVOCATIONS, Duration::ZERO),
    (query::CLEAN_COUNTERS, Duration::ZERO),
    (query::CLEAN_ASSERTIONS, Duration::ZERO),
    (query::CLEAN_APPROVALS, WAIT),
    // Before the registrations that they belong to.
    (query::CLEAN_REGISTERED_CONSENTS, Duration::ZERO),
    (query::CLEAN_REGISTRATIONS, Duration::ZERO),
];

/// Deletes what has expired; how many rows there were.
pub async fn run(store: &Store, now: Timestamp) -> Result<u64, Error> {
    let mut total = 0;
    for (sql, keep) in STATEMENTS {
        loop {
            let deleted = delete_chunk(store, sql, now - *keep).await?;
            total += deleted;
            if deleted < CHUNK {
                break;
            }
        }
    }
    Ok(total)
}

async fn delete_chunk(store: &Store, text: &'static str, before: Timestamp) -> Result<u64, Error> {
    let chunk = i64::try_from(CHUNK).unwrap_or(i64::MAX);
    store.execute(sql(text).bind(before).bind(chunk)).await
}

#[cfg(test)]
mod tests {
    use model::id::Id;
    use model::secret::TokenHash;
    use model::session::Session;

    use super::*;
    use crate::counter::{self, CounterName};
    use crate::testing::{self, sample};
    use crate::{approval, assertion, family, grant, revocation, session};

    #[tokio::test]
    async fn only_what_has_expired_is_forgotten() {
        let store = testing::open().await;
        let soon = sample::NOW + Duration::from_mins(10);
        grant::insert(&store, TokenHash::of("used"), &sample::grant())
            .await
            .unwrap();
        grant::insert(&store, TokenHash::of("unused"), &sample::grant())
            .await
            .unwrap();
        let family = sample::family(1);
        grant::redeem(&store, TokenHash::of("used"), &family, sample::NOW)
            .await
            .unwrap();
        let browser = Session::begin(
            Id::from_bytes([1; 16]),
            "demo".parse().unwrap(),
            Id::from_bytes([2; 16]),
            sample::NOW,
        );
        session::insert(&store, TokenHash::of("cookie"), &browser, soon)
            .await
            .unwrap();
        revocation::revoke(&store, "token", soon).await.unwrap();
        counter::add(
            &store,
            &CounterName::new("login", &["a"]),
            Duration::from_mins(10),
            sample::NOW,
        )
        .await
        .unwrap();
        assertion::use_once(&store, &"client".parse().unwrap(), "jti", soon)
            .await
            .unwrap();

        assert_eq!(run(&store, sample::NOW).await.unwrap(), 0);
        assert_eq!(run(&store, soon + Duration::from_secs(1)).await.unwrap(), 4);
        // A replay within a day is still recognized.
        assert!(
            grant::load(&store, TokenHash::of("used"))
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(run(&store, soon + KEEP).await.unwrap(), 2);
        assert!(
            grant::load(&store, TokenHash::of("used"))
                .await
                .unwrap()
                .is_none()
        );
        assert!(family::load(&store, family.id).await.unwrap().is_some());
        assert_eq!(
            run(&store, family.idle_expires_at + KEEP + KEEP)
                .await
                .unwrap(),
            1
        );
        assert!(family::load(&store, family.id).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn more_than_a_chunk_is_forgotten_too() {
        let store = testing::open().await;
        let client = "client".parse().unwrap();
        let uses = (0..CHUNK + 10).map(|number| {
            let (store, client) = (&store, &client);
            async move {
                assertion::use_once(store, client, &number.to_string(), sample::NOW)
                    .await
                    .unwrap()
            }
        });
        futures_util::future::join_all(uses).await;
        assert_eq!(
            run(&store, sample::NOW + Duration::from_secs(1))
                .await
                .unwrap(),
            CHUNK + 10
        );
    }

    // SEC-33, SEC-34
    #[tokio::test]
    async fn a_host_waits_a_week_for_a_decision_and_a_decision_is_kept() {
        let store = testing::open().await;
        let realm = "demo".parse().unwrap();
        approval::ask(&store, &realm, "old.example", sample::NOW)
            .await
            .unwrap();
        let verdict = approval::Verdict::Denied;
        approval::decide(&store, &realm, "denied.example", verdict, sample::NOW)
            .await
            .unwrap();
        let later = sample::NOW + WAIT;
        approval::ask(&store, &realm, "new.example", later)
            .await
            .unwrap();
        assert_eq!(run(&store, later).await.unwrap(), 0);
        assert_eq!(
            run(&store, later + Duration::from_secs(1)).await.unwrap(),
            1
        );
        let left: Vec<String> = approval::list(&store, &realm)
            .await
            .unwrap()
            .into_iter()
            .map(|approval| approval.host)
            .collect();
        assert_eq!(left, ["new.example", "denied.example"]);
    }
}
