//! Stores for tests: SQLite in memory, or PostgreSQL in a schema of its own when `SEKISHO_TEST_POSTGRES_URL` is set.

pub mod sample;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

use crate::revocation::Revocations;
use crate::seal::{Sealer, SealingKey};
use crate::seen::Seen;
use crate::url::StoreUrl;
use crate::{Inner, Store, migrate, random};

/// Where PostgreSQL is, for tests. The user must be allowed to create schemas.
pub const POSTGRES_URL: &str = "SEKISHO_TEST_POSTGRES_URL";

/// The sealer of all test stores.
///
/// # Panics
///
/// If the operating system gives no random bytes.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
pub fn sealer() -> Sealer {
    Sealer::new(&SealingKey::new([42; 32]), &[]).expect("a sealer")
}

/// An empty store.
///
/// # Panics
///
/// If there is none to be had.
pub async fn open() -> Store {
    open_url(&fresh_url().await).await
}

/// An empty store twice, as two nodes see it.
///
/// # Panics
///
/// If there is none to be had.
pub async fn open_twice() -> (Store, Store) {
    let url = fresh_url().await;
    let first = open_url(&url).await;
    if url == StoreUrl::memory() {
        // The connection is the database: the second node shares it, and nothing else.
        let inner = Inner {
            backend: Arc::clone(&first.inner.backend),
            sealer: sealer(),
            refresh_key: first.refresh_key().clone(),
            revocations: Revocations::default(),
            seen: Seen::default(),
        };
        return (
            first,
            Store {
                inner: Arc::new(inner),
            },
        );
    }
    let second = open_url(&url).await;
    (first, second)
}

/// The store in a SQLite file, created if there is none.
///
/// # Panics
///
/// If it cannot be opened.
pub async fn open_at(path: &Path) -> Store {
    open_url(&StoreUrl::file(path)).await
}

/// The store at a URL.
///
/// # Panics
///
/// If it cannot be opened.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
pub async fn open_url(url: &StoreUrl) -> Store {
    Store::open(url, sealer()).await.expect("a store")
}

/// A place for an empty store: in memory, or a schema that was just made.
///
/// # Panics
///
/// If PostgreSQL is configured and does not answer.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
pub async fn fresh_url() -> StoreUrl {
    match fresh_postgres_url().await {
        Some(url) => url.parse().expect("the URL of a store"),
        None => StoreUrl::memory(),
    }
}

/// The URL of a schema that was just made, if PostgreSQL is configured.
///
/// # Panics
///
/// If it is and does not answer.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are configured by the environment"
)]
pub async fn fresh_postgres_url() -> Option<String> {
    let base = std::env::var(POSTGRES_URL).ok()?;
    sqlx::any::install_default_drivers();
    let name = u64::from_be_bytes(random::bytes().expect("random bytes"));
    let schema = format!("test_{name:016x}");
    let mut connection = AnyConnection::connect(&base).await.expect("PostgreSQL");
    let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::raw_sql(create)
        .execute(&mut connection)
        .await
        .expect("a schema");
    connection.close().await.expect("a closed connection");
    let mut url: url::Url = base.parse().expect("the URL of PostgreSQL");
    url.query_pairs_mut()
        .append_pair("options[search_path]", &schema);
    Some(url.into())
}

/// Everything in the database, as text: to look for what must not be there (SEC-70). Bytes are in hexadecimal.
///
/// # Panics
///
/// If the database cannot be read.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
pub async fn dump(store: &Store) -> String {
    let tables: Vec<&str> = migrate::tables();
    let dump = store
        .inner
        .backend
        .read(&tables, |tables, connection| {
            Box::pin(async move {
                let mut text = String::new();
                for table in tables {
                    let select = AssertSqlSafe(format!("SELECT * FROM {table}"));
                    for row in sqlx::query(select).fetch_all(&mut *connection).await? {
                        text.push_str(&row_text(table, &row));
                    }
                }
                Ok(text)
            })
        })
        .await;
    dump.expect("a dump")
}

/// Takes a table away from a store, so that it fails as it would by a bug.
///
/// # Panics
///
/// If there is no such table.
#[expect(clippy::expect_used, reason = "a test that cannot run fails")]
pub async fn spoil(store: &Store, table: &'static str) {
    let dropped = store.inner.backend.write(table, |table, connection| {
        Box::pin(async move {
            let drop = AssertSqlSafe(format!("DROP TABLE {table}"));
            sqlx::raw_sql(drop).execute(connection).await?;
            Ok(())
        })
    });
    dropped.await.expect("a table to drop");
}

fn row_text(table: &str, row: &sqlx::any::AnyRow) -> String {
    use sqlx::{Column as _, Row as _};
    let mut text = table.to_owned();
    for column in row.columns() {
        let at = column.ordinal();
        let value = if let Ok(value) = row.try_get::<Option<String>, _>(at) {
            value.unwrap_or_default()
        } else if let Ok(value) = row.try_get::<i64, _>(at) {
            value.to_string()
        } else {
            let bytes: Vec<u8> = row.try_get(at).unwrap_or_default();
            hex(&bytes)
        };
        for part in [" ", column.name(), "=", &value] {
            text.push_str(part);
        }
    }
    text.push('\n');
    text
}

/// Bytes as [`dump`] shows them.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Waits until a condition holds.
///
/// # Panics
///
/// If it does not within ten seconds.
pub async fn eventually(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "it did not happen within ten seconds"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
