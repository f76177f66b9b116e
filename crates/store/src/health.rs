//! Whether the database does its work, seen from beside the requests; and what its clock says (SEC-80, SEC-90).
//!
//! Several nodes decide about the same codes and families. Where the clock of a node is off, the database's clock decides
//! for all of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::clock::{Clock, Timestamp};
use oauth::causes::with_causes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Store;
use crate::backend::probe::Probe;
use crate::error::Error;

/// How often a database that works is looked at, besides whenever something failed.
const PERIOD: Duration = Duration::from_secs(5);
/// How often one that does not.
const AGAIN: Duration = Duration::from_secs(1);

impl Store {
    /// What was wrong with the database when it was last looked at; it costs nothing to ask.
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.inner.seen.failure.load_full()
    }

    /// By how many milliseconds the database's clock is ahead of this machine's; 0 if that makes no difference.
    pub fn clock_ahead(&self) -> i64 {
        self.inner.seen.ahead.load(Ordering::Relaxed)
    }
}

/// The clock that decides where several nodes must agree: `local`, corrected by the database's where they differ.
pub fn clock(store: &Store, local: Arc<dyn Clock>) -> Arc<dyn Clock> {
    Arc::new(DatabaseClock {
        store: store.clone(),
        local,
    })
}

struct DatabaseClock {
    store: Store,
    local: Arc<dyn Clock>,
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let local = self.local.now().millis();
        Timestamp::from_millis(local.saturating_add(self.store.clock_ahead()))
    }
}

impl fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseClock({} ms ahead)", self.store.clock_ahead())
    }
}

/// Looks at the database once. `local` is the clock of this machine.
///
/// # Errors
/// What is wrong with it.
pub async fn look(store: &Store, local: &dyn Clock) -> Result<(), Error> {
    let mut probe = Probe::default();
    let outcome = look_with(&mut probe, store, local).await;
    probe.end().await;
    outcome
}

/// Looks at the database again and again, until it is told to stop. One per process.
pub fn watch(store: &Store, local: Arc<dyn Clock>, tasks: &TaskTracker, stop: CancellationToken) {
    let store = store.clone();
    tasks.spawn(async move {
        let mut probe = Probe::default();
        let again = async {
            loop {
                match look_with(&mut probe, &store, &*local).await {
                    Ok(()) => {
                        // Whichever comes first.
                        let _ = tokio::time::timeout(PERIOD, store.backend().trouble()).await;
                    }
                    Err(Error::Closed) => return,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        };
        stop.run_until_cancelled(again).await;
        probe.end().await;
    });
}

async fn look_with(probe: &mut Probe, store: &Store, local: &dyn Clock) -> Result<(), Error> {
    let seen = &store.inner.seen;
    let outcome = probe.look(store.backend(), local).await;
    let before = seen
        .failure
        .swap(outcome.as_ref().err().cloned().map(Arc::new));
    match (&outcome, before) {
        (Ok(_), Some(_)) => tracing::info!("the database is available again"),
        (Err(Error::Closed), _) | (Ok(_), None) => {}
        (Err(error), None) => tracing::warn!(error = with_causes(error), "the database fails"),
        // Said already, unless it is something else now.
        (Err(error), Some(before)) if with_causes(error) != with_causes(&before) => {
            tracing::warn!(error = with_causes(error), "the database still fails");
        }
        (Err(_), Some(_)) => {}
    }
    if let Some(ahead) = outcome? {
        seen.measured(ahead);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::clock::{SystemClock, TestClock};

    use super::*;
    use crate::seen::Seen;
    use crate::testing;

    // SEC-80
    #[test]
    fn small_differences_of_clocks_do_not_count_and_large_ones_do() {
        let seen = Seen::default();
        let after = |ahead| {
            seen.measured(ahead);
            seen.ahead.load(Ordering::Relaxed)
        };
        assert_eq!([after(900), after(-1000)], [0, 0]);
        assert_eq!([after(40_000), after(40_900)], [40_000, 40_000]);
        assert_eq!([after(-3000), after(200)], [-3000, 0]);
    }

    // SEC-80
    #[tokio::test]
    async fn nodes_whose_clocks_differ_agree_by_the_clock_of_their_database() {
        let (one, other) = testing::open_twice().await;
        let right = SystemClock.now();
        let slow = Arc::new(TestClock::at(right - Duration::from_mins(2)));
        look(&one, &SystemClock).await.unwrap();
        look(&other, &*slow).await.unwrap();
        let clocks = [
            clock(&one, Arc::new(SystemClock)),
            clock(&other, slow.clone()),
        ];
        if one.backend().kind() == crate::backend::Kind::Sqlite {
            // One process, one clock.
            assert_eq!(clocks[1].now(), slow.now());
        } else {
            let [one, other] = clocks.map(|clock| clock.now());
            assert!(one.since(other).max(other.since(one)) < Duration::from_mins(1));
        }
    }

    // SEC-90
    #[tokio::test]
    async fn a_database_that_works_is_seen_to_and_a_closed_one_is_not() {
        let store = testing::open().await;
        look(&store, &SystemClock).await.unwrap();
        assert!(store.failure().is_none());
        store.close().await;
        assert!(
            look(&store, &SystemClock).await.is_err()
                || store.backend().kind() == crate::backend::Kind::Postgres
        );
    }
}
