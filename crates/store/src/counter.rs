//! Counters that all nodes share, against guessing and amplification (SEC-53, SEC-27). A window begins with the first
//! event and is forgotten as a whole; when the clock is turned back behind its beginning, it begins anew.

use std::fmt;
use std::time::Duration;

use model::clock::Timestamp;
use model::secret::TokenHash;
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::row::{Record, Row};
use crate::statement::{Argument, sql};

/// What is counted: a kind, and hashes of whatever it is counted for, so that names are short and tell nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterName(String);

impl CounterName {
    /// The counter of a kind for these things, for example a realm and a user name.
    pub fn new(kind: &'static str, things: &[&str]) -> Self {
        Self(format!("{kind}/{}", TokenHash::of_all(things)))
    }
}

impl From<&CounterName> for Argument {
    fn from(name: &CounterName) -> Self {
        name.0.as_str().into()
    }
}

impl fmt::Display for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a counter shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many events there were in the window.
    pub n: u32,
    /// When the first of them was.
    pub started_at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
}

/// Counts one event and says what the counter shows with it. To be sure against parallel guesses, count an attempt
/// before it is made, and [`clear`] or [`take_back`] after one that succeeded.
pub async fn add(
    store: &Store,
    name: &CounterName,
    window: Duration,
    now: Timestamp,
) -> Result<Count, Error> {
    store
        .backend()
        .write(
            (name.clone(), window, now),
            |(name, window, now), connection| Box::pin(add_within(connection, name, *window, *now)),
        )
        .await
}

/// Lets all transactions that do this under one name take turns, from here to their ends.
pub(crate) async fn hold(
    connection: &mut AnyConnection,
    name: &CounterName,
    window: Duration,
    now: Timestamp,
) -> Result<(), Error> {
    // Whoever counts up holds the row.
    add_within(connection, name, window, now).await?;
    Ok(())
}

async fn add_within(
    connection: &mut AnyConnection,
    name: &CounterName,
    window: Duration,
    now: Timestamp,
) -> Result<Count, Error> {
    let statement = sql(query::COUNTER_ADD).bind(name).bind(1_u32);
    let statement = statement.bind(now).bind(now + window);
    statement.the_one(connection).await
}

/// What a counter shows; nothing once its window is over.
pub async fn read_at(store: &Store, name: &CounterName, now: Timestamp) -> Result<Count, Error> {
    let found = store
        .one(sql(query::COUNTER_READ).bind(name).bind(now))
        .await?;
    Ok(found.unwrap_or_default())
}

/// Takes the event that [`add`] counted at `at` back: it was none after all. `before` is what the counter showed before
/// it: unless there were others since, the last event is again the one of then.
pub async fn take_back(
    store: &Store,
    name: &CounterName,
    at: Timestamp,
    before: Count,
) -> Result<(), Error> {
    let statement = sql(query::COUNTER_TAKE_BACK).bind(name);
    store
        .execute(statement.bind(at).bind(before.last_at))
        .await?;
    Ok(())
}

/// Sets a counter back.
pub async fn clear(store: &Store, name: &CounterName) -> Result<(), Error> {
    store.execute(sql(query::COUNTER_CLEAR).bind(name)).await?;
    Ok(())
}

impl Row for Count {
    const TABLE: &'static str = "counter";
    const KEY: &'static str = "name";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            n: row.count("n")?,
            started_at: row.time("started_at")?,
            last_at: row.time("last_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1000);
    const WINDOW: Duration = Duration::from_mins(15);

    fn name() -> CounterName {
        CounterName::new("login", &["demo", "alice"])
    }

    // SEC-53
    #[tokio::test]
    async fn events_of_one_window_add_up() {
        let store = testing::open().await;
        assert_eq!(
            read_at(&store, &name(), NOW).await.unwrap(),
            Count::default()
        );
        assert_eq!(add(&store, &name(), WINDOW, NOW).await.unwrap().n, 1);
        let later = NOW + Duration::from_mins(10);
        let expected = Count {
            n: 2,
            started_at: NOW,
            last_at: later,
        };
        assert_eq!(add(&store, &name(), WINDOW, later).await.unwrap(), expected);
        assert_eq!(read_at(&store, &name(), later).await.unwrap(), expected);
    }

    // SEC-53
    #[tokio::test]
    async fn a_window_that_is_over_counts_no_more() {
        let store = testing::open().await;
        add(&store, &name(), WINDOW, NOW).await.unwrap();
        let over = NOW + WINDOW;
        assert_eq!(
            read_at(&store, &name(), over).await.unwrap(),
            Count::default()
        );
        assert_eq!(
            add(&store, &name(), WINDOW, over).await.unwrap(),
            Count {
                n: 1,
                started_at: over,
                last_at: over
            }
        );
    }

    // SEC-53
    #[tokio::test]
    async fn counters_are_apart_and_can_be_cleared() {
        let store = testing::open().await;
        let other = CounterName::new("login", &["dem", "oalice"]);
        add(&store, &name(), WINDOW, NOW).await.unwrap();
        assert_eq!(read_at(&store, &other, NOW).await.unwrap().n, 0);
        clear(&store, &name()).await.unwrap();
        assert_eq!(read_at(&store, &name(), NOW).await.unwrap().n, 0);
    }

    // SEC-53
    #[tokio::test]
    async fn an_event_can_be_taken_back_within_its_window() {
        let store = testing::open().await;
        let none = Count::default();
        take_back(&store, &name(), NOW, none).await.unwrap();
        add(&store, &name(), WINDOW, NOW).await.unwrap();
        add(&store, &name(), WINDOW, NOW).await.unwrap();
        for left in [1, 0, 0] {
            take_back(&store, &name(), NOW, none).await.unwrap();
            assert_eq!(read_at(&store, &name(), NOW).await.unwrap().n, left);
        }
        assert_eq!(add(&store, &name(), WINDOW, NOW).await.unwrap().n, 1);
        take_back(&store, &name(), NOW + WINDOW, none)
            .await
            .unwrap();
        assert_eq!(read_at(&store, &name(), NOW).await.unwrap().n, 1);
    }

    // SEC-53
    #[tokio::test]
    async fn what_was_taken_back_was_not_the_last_event() {
        let store = testing::open().await;
        let first = add(&store, &name(), WINDOW, NOW).await.unwrap();
        let later = NOW + Duration::from_mins(1);
        add(&store, &name(), WINDOW, later).await.unwrap();
        take_back(&store, &name(), later, first).await.unwrap();
        assert_eq!(read_at(&store, &name(), later).await.unwrap(), first);
        // What came after it is.
        let latest = later + Duration::from_mins(1);
        add(&store, &name(), WINDOW, later).await.unwrap();
        add(&store, &name(), WINDOW, latest).await.unwrap();
        take_back(&store, &name(), later, first).await.unwrap();
        let shown = read_at(&store, &name(), latest).await.unwrap();
        assert_eq!((shown.n, shown.last_at), (2, latest));
    }

    // SEC-53, SEC-80
    #[tokio::test]
    async fn a_clock_that_is_turned_back_makes_no_window_longer() {
        let store = testing::open().await;
        let ahead = NOW + Duration::from_hours(2);
        add(&store, &name(), WINDOW, ahead).await.unwrap();
        let expected = Count {
            n: 2,
            started_at: NOW,
            last_at: NOW,
        };
        assert_eq!(add(&store, &name(), WINDOW, NOW).await.unwrap(), expected);
        assert_eq!(
            read_at(&store, &name(), NOW + WINDOW).await.unwrap(),
            Count::default()
        );
    }

    // SEC-53
    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_events_are_all_counted_and_each_sees_its_own_number() {
        let store = testing::open().await;
        let name = name();
        let mut seen: Vec<u32> = join_all((0..50).map(|_| add(&store, &name, WINDOW, NOW)))
            .await
            .into_iter()
            .map(|count| count.unwrap().n)
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    }
}
