//! What a transaction promises, on both databases.

use futures_util::future::join_all;

use super::*;
use crate::testing;

const WRITE: &str =
    "INSERT INTO counter (name, n, started_at, last_at, expires_at) VALUES ($1, 1, 0, 0, 0)";
const COUNT: &str = "SELECT COUNT(*) AS n FROM counter";

/// Inserts these, in order.
async fn insert(backend: &Backend, names: Vec<String>) -> Result<(), Error> {
    backend
        .write(names, |names, connection| {
            Box::pin(async move {
                for name in names {
                    sqlx::query(WRITE)
                        .bind(name.clone())
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
}

async fn count(backend: &Backend) -> i64 {
    let count = backend.read(&(), |(), connection| {
        Box::pin(async move {
            use sqlx::Row as _;
            Ok(sqlx::query(COUNT)
                .fetch_one(connection)
                .await?
                .try_get::<i64, _>("n")?)
        })
    });
    count.await.unwrap()
}

#[tokio::test]
async fn a_job_that_fails_leaves_nothing_behind() {
    let store = testing::open().await;
    let backend = store.backend();
    let names = vec!["a".to_owned(), "b".to_owned(), "a".to_owned()];
    assert!(matches!(insert(backend, names).await, Err(Error::Conflict)));
    assert_eq!(count(backend).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_share_a_transaction_fail_each_for_itself() {
    let store = testing::open().await;
    let backend = store.backend();
    insert(backend, vec!["taken".to_owned()]).await.unwrap();
    let jobs = (0..200).map(|number| {
        let second = if number % 2 == 0 {
            "taken".to_owned()
        } else {
            format!("{number}-b")
        };
        insert(backend, vec![format!("{number}-a"), second])
    });
    for (number, outcome) in join_all(jobs).await.into_iter().enumerate() {
        assert_eq!(outcome.is_err(), number % 2 == 0, "job {number}");
    }
    assert_eq!(count(backend).await, 1 + 200);
}

#[tokio::test]
async fn what_was_written_is_read_at_once() {
    let store = testing::open().await;
    for number in 0_i64..50 {
        insert(store.backend(), vec![number.to_string()])
            .await
            .unwrap();
        assert_eq!(count(store.backend()).await, number + 1);
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = testing::open().await;
    store.ping().await.unwrap();
    store.close().await;
    assert!(matches!(
        insert(store.backend(), vec!["a".to_owned()]).await,
        Err(Error::Closed)
    ));
    assert!(matches!(store.ping().await, Err(Error::Closed)));
    // Again does no harm.
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_finished_before_closing() {
    let url = testing::fresh_url().await;
    let store = testing::open_url(&url).await;
    let jobs: Vec<_> = (0..50)
        .map(|number| insert(store.backend(), vec![number.to_string()]))
        .collect();
    let (outcomes, ()) = tokio::join!(join_all(jobs), async {
        tokio::task::yield_now().await;
        store.close().await;
    });
    // Each was either done or refused; none hangs, and none is told otherwise than it is.
    for outcome in outcomes {
        assert!(
            matches!(
                &outcome,
                Ok(()) | Err(Error::Closed | Error::Unavailable(_))
            ),
            "{outcome:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_may_open_an_empty_database_at_once() {
    let url = testing::fresh_url().await;
    let stores = join_all((0..8).map(|_| testing::open_url(&url))).await;
    for store in &stores {
        store.ping().await.unwrap();
    }
}

/// Counts two counters up, the second only when another job has the lock on it.
struct Crossing {
    names: [&'static str; 2],
    meeting: Option<Arc<tokio::sync::Barrier>>,
    met: std::sync::atomic::AtomicBool,
}

async fn cross(backend: &Backend, crossing: Crossing) -> Result<(), Error> {
    backend
        .write(crossing, |crossing, connection| {
            Box::pin(async move {
                let [first, second] = crossing.names;
                for name in [first, second] {
                    let add =
                        sqlx::query("UPDATE counter SET n = n + 1 WHERE name = $1").bind(name);
                    add.execute(&mut *connection).await?;
                    let met = crossing.met.swap(true, std::sync::atomic::Ordering::SeqCst);
                    if let (false, Some(meeting)) = (met, &crossing.meeting) {
                        meeting.wait().await;
                    }
                }
                Ok(())
            })
        })
        .await
}

#[tokio::test]
async fn a_deadlock_is_resolved_by_trying_again() {
    let store = testing::open().await;
    let backend = store.backend();
    insert(backend, vec!["a".to_owned(), "b".to_owned()])
        .await
        .unwrap();
    // SQLite has one writer, so that two jobs never hold locks at the same time.
    let meeting =
        (backend.kind() == Kind::Postgres).then(|| Arc::new(tokio::sync::Barrier::new(2)));
    let crossing = |names| Crossing {
        names,
        meeting: meeting.clone(),
        met: false.into(),
    };
    let (one, other) = tokio::join!(
        cross(backend, crossing(["a", "b"])),
        cross(backend, crossing(["b", "a"]))
    );
    one.unwrap();
    other.unwrap();
    let sum = backend.read(&(), |(), connection| {
        Box::pin(async move {
            use sqlx::Row as _;
            let row = sqlx::query("SELECT COUNT(*) AS n FROM counter WHERE n = 3")
                .fetch_one(connection)
                .await?;
            Ok(row.try_get::<i64, _>("n")?)
        })
    });
    assert_eq!(sum.await.unwrap(), 2);
}

#[tokio::test]
async fn a_file_is_written_durably_and_by_the_writer_only() {
    let directory = std::env::temp_dir().join(format!("sekisho-pragmas-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let store = testing::open_at(&directory.join("sekisho.db")).await;
    let pragma: Job<&'static str, String> = |sql, connection| {
        Box::pin(async move {
            use sqlx::Row as _;
            let row = sqlx::query(sqlx::AssertSqlSafe(*sql))
                .fetch_one(connection)
                .await?;
            Ok(row
                .try_get::<String, _>(0)
                .or_else(|_| row.try_get::<i64, _>(0).map(|value| value.to_string()))?)
        })
    };
    let backend = store.backend();
    assert_eq!(
        backend.write("PRAGMA journal_mode", pragma).await.unwrap(),
        "wal"
    );
    // 2 is FULL.
    assert_eq!(
        backend.write("PRAGMA synchronous", pragma).await.unwrap(),
        "2"
    );
    assert_eq!(
        backend.write("PRAGMA foreign_keys", pragma).await.unwrap(),
        "1"
    );
    assert_eq!(
        backend.read(&"PRAGMA query_only", pragma).await.unwrap(),
        "1"
    );
    store.close().await;
    std::fs::remove_dir_all(&directory).unwrap();
}

/// A PostgreSQL that nobody runs: nothing listens on this port.
fn nobody(acquire: Duration) -> Backend {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    sqlx::any::install_default_drivers();
    let options = options(&format!("postgres://nobody@127.0.0.1:{port}/nothing")).unwrap();
    let pool = AnyPoolOptions::new()
        .acquire_timeout(acquire)
        .connect_lazy_with(options.clone());
    Backend::new(
        Kind::Postgres,
        Readers::Pool(pool.clone()),
        Writer::Pool(pool),
        Some(options),
    )
}

// SEC-90
#[tokio::test]
async fn a_pool_that_times_out_says_why_it_has_no_connection() {
    let backend = nobody(Duration::from_millis(10));
    let error = backend.ping().await.unwrap_err();
    assert!(error.is_outage());
    let why = oauth::causes::with_causes(&error);
    assert!(why.contains("Connection refused"), "{why}");
}

// SEC-90
#[tokio::test]
async fn nobody_waits_for_a_database_that_is_known_to_be_away() {
    // If anybody waited, this test would not end.
    let backend = nobody(Duration::from_hours(1));
    let mut probe = probe::Probe::default();
    let clock = model::clock::SystemClock;
    let looked = probe.look(&backend, &clock).await.unwrap_err();
    assert!(looked.is_outage());
    for error in [
        backend.ping().await.unwrap_err(),
        insert(&backend, vec!["a".to_owned()]).await.unwrap_err(),
    ] {
        assert!(error.is_outage());
        assert!(oauth::causes::with_causes(&error).contains("Connection refused"));
    }
}

/// The statement as the writer runs it.
async fn as_writer(backend: &Backend, sql: &'static str) -> Result<(), Error> {
    let run: Job<&'static str, ()> = |sql, connection| Box::pin(run(connection, sql));
    backend.write(sql, run).await
}

// SEC-90
#[tokio::test]
async fn a_disk_without_room_is_an_outage_that_passes() {
    let store = testing::open_url(&StoreUrl::memory()).await;
    let backend = store.backend();
    as_writer(backend, "PRAGMA max_page_count = 1")
        .await
        .unwrap();
    let long = "x".repeat(1_000_000);
    let full = insert(backend, vec![long.clone()]).await.unwrap_err();
    assert!(full.is_outage(), "{full:?}");
    as_writer(backend, "PRAGMA max_page_count = 1000000")
        .await
        .unwrap();
    insert(backend, vec![long]).await.unwrap();
}

// SEC-90
#[tokio::test]
async fn a_look_finds_a_database_that_does_not_take_what_is_written() {
    let store = testing::open_url(&StoreUrl::memory()).await;
    let (backend, clock) = (store.backend(), model::clock::SystemClock);
    let mut probe = probe::Probe::default();
    probe.look(backend, &clock).await.unwrap();
    let pragma: Job<&'static str, ()> = |sql, connection| Box::pin(run(connection, sql));
    // In memory there is one connection, for all.
    backend
        .read(&"PRAGMA query_only = ON", pragma)
        .await
        .unwrap();
    assert!(probe.look(backend, &clock).await.unwrap_err().is_outage());
    backend
        .read(&"PRAGMA query_only = OFF", pragma)
        .await
        .unwrap();
    probe.look(backend, &clock).await.unwrap();
}
