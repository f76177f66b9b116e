//! Revocations: a numbered log that every node reads, and the set of what it says in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::clock::{Clock, Timestamp};
use oauth::causes::with_causes;
use sqlx::AnyConnection;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Store;
use crate::error::Error;
use crate::query;
pub(crate) use crate::revocations::Entry;
pub use crate::revocations::Revocations;
use crate::row::{Record, Row};
use crate::statement::sql;

/// How often the log is read for what other nodes revoked (SEC-46).
pub const PERIOD: Duration = Duration::from_secs(1);

/// How many entries are read at once.
const CHUNK: i64 = 1000;

/// Revokes one access token until it has expired everywhere. This node knows when this returns, others within
/// [`PERIOD`]. `false` if it was known to be revoked.
pub async fn revoke(store: &Store, jti: &str, until: Timestamp) -> Result<bool, Error> {
    if store.revocations().covers(jti, until) {
        return Ok(false);
    }
    let entry = store
        .backend()
        .write((jti.to_owned(), until), |(jti, until), connection| {
            Box::pin(async move { append(connection, jti.clone(), *until).await })
        })
        .await?;
    store.revocations().add([entry]);
    Ok(true)
}

/// Reads the log again and again, until it is told to stop. One per process.
pub fn tail(store: &Store, clock: Arc<dyn Clock>, tasks: &TaskTracker, stop: CancellationToken) {
    let store = store.clone();
    tasks.spawn(async move {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match read_log(&store).await {
                Ok(()) => {
                    failing = false;
                    let now = clock.now();
                    store.revocations().prune(now);
                    *store.revocations().read_at.lock() = Some(now);
                }
                Err(Error::Closed) => return,
                // That is said where the database is watched.
                Err(error) if error.is_outage() => {}
                // Once, not every second.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(
                        error = with_causes(&error),
                        "could not read the log of revocations"
                    );
                }
                Err(_) => {}
            }
        }
    });
}

/// Reads what is new in the log.
pub(crate) async fn read_log(store: &Store) -> Result<(), Error> {
    let revocations = store.revocations();
    loop {
        let after = revocations.read.load(Ordering::Acquire);
        let statement = sql(query::REVOCATION_AFTER).bind(after).bind(CHUNK);
        let entries: Vec<Entry> = store.many(statement).await?;
        let Some(last) = entries.last().map(|entry| entry.seq) else {
            return Ok(());
        };
        revocations.add(entries);
        revocations.read.fetch_max(last, Ordering::AcqRel);
    }
}

/// Writes a line, as part of a transaction. The lock on the number is held to its end, so that lines become visible
/// in the order of their numbers.
pub(crate) async fn append(
    connection: &mut AnyConnection,
    subject: String,
    until: Timestamp,
) -> Result<Entry, Error> {
    let Head(seq) = sql(query::REVOCATION_NUMBER)
        .the_one(&mut *connection)
        .await?;
    let insert = sql(query::REVOCATION_INSERT).bind(seq);
    insert
        .bind(&subject)
        .bind(until)
        .execute(connection)
        .await?;
    Ok(Entry {
        seq,
        subject,
        until,
    })
}

impl Row for Entry {
    const TABLE: &'static str = "revocation";
    const KEY: &'static str = "subject";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            seq: row.integer("seq")?,
            subject: row.text("subject")?,
            until: row.time("until")?,
        })
    }
}

/// The number of the last line.
struct Head(i64);

impl Row for Head {
    const TABLE: &'static str = "revocation_head";
    const KEY: &'static str = "id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.integer("seq").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use model::clock::TestClock;

    use super::*;
    use crate::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1000);
    const LATER: Timestamp = Timestamp::from_seconds(2000);

    // SEC-46
    #[tokio::test]
    async fn a_revoked_token_is_known_at_once_and_others_are_not_touched() {
        let store = testing::open().await;
        assert!(!store.revocations().is_revoked("family.token"));
        revoke(&store, "family.token", LATER).await.unwrap();
        assert!(store.revocations().is_revoked("family.token"));
        assert!(!store.revocations().is_revoked("family.other"));
        assert!(!store.revocations().is_revoked("family"));
    }

    // SEC-46
    #[tokio::test]
    async fn another_node_learns_of_it_from_the_log() {
        let (here, there) = testing::open_twice().await;
        revoke(&here, "family", LATER).await.unwrap();
        assert!(!there.revocations().is_revoked("family.token"));
        read_log(&there).await.unwrap();
        assert!(there.revocations().is_revoked("family.token"));
        assert!(there.revocations().is_revoked("family"));
    }

    // SEC-76
    #[tokio::test]
    async fn what_is_revoked_again_and_again_is_one_line_of_the_log() {
        let (here, there) = testing::open_twice().await;
        assert!(revoke(&here, "family.token", LATER).await.unwrap());
        for _ in 0..3 {
            assert!(!revoke(&here, "family.token", LATER).await.unwrap());
        }
        read_log(&there).await.unwrap();
        assert_eq!(there.revocations().read.load(Ordering::Acquire), 1);
        assert!(revoke(&here, "family.token", LATER + PERIOD).await.unwrap());
    }

    // SEC-46
    #[tokio::test]
    async fn the_tailer_reads_the_log_and_forgets_what_has_expired() {
        let (here, there) = testing::open_twice().await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let clock = Arc::new(TestClock::at(NOW));
        tail(
            &there,
            Arc::clone(&clock) as Arc<dyn Clock>,
            &tasks,
            stop.clone(),
        );
        revoke(&here, "family.token", LATER).await.unwrap();
        testing::eventually(|| there.revocations().is_revoked("family.token")).await;
        clock.set(LATER);
        testing::eventually(|| there.revocations().is_empty()).await;
        assert_eq!(there.revocations().read_at(), Some(LATER));
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    // SEC-46
    #[tokio::test(flavor = "multi_thread")]
    async fn no_line_is_missed_however_many_write_at_once() {
        let (here, there) = testing::open_twice().await;
        let writes = (0..100).map(|number| {
            let here = here.clone();
            async move { revoke(&here, &format!("t{number}"), LATER).await }
        });
        let reads = async {
            for _ in 0..50 {
                read_log(&there).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(futures_util::future::join_all(writes), reads);
        assert!(written.iter().all(Result::is_ok));
        read_log(&there).await.unwrap();
        let missed: Vec<_> = (0..100)
            .filter(|number| !there.revocations().is_revoked(&format!("t{number}")))
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}
