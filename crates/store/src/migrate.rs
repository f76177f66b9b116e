//! The schema: one set of statements for both databases, applied under a lock, one transaction for all that is new.

use sqlx::{AssertSqlSafe, Row as _};

use crate::backend::{Backend, Kind};
use crate::error::Error;

/// Every migration, in order. The number is its place, from one. What was released is never edited: a change is a new
/// file, and first extends what the earlier version of the program can still work with.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_users.sql"),
    include_str!("../migrations/0002_keys.sql"),
    include_str!("../migrations/0003_grants.sql"),
    include_str!("../migrations/0004_sessions.sql"),
    include_str!("../migrations/0005_revocations.sql"),
    include_str!("../migrations/0006_counters.sql"),
    include_str!("../migrations/0007_declared_passwords.sql"),
];

const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)";
const NEWEST: &str = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_version";
const RECORD: &str = "INSERT INTO schema_version (version) VALUES ($1)";

/// Brings the schema up to date. A newer one than is known here is refused.
pub(crate) async fn run(backend: &Backend) -> Result<(), Error> {
    backend
        .write(backend.kind(), |kind: &Kind, connection| {
            Box::pin(async move {
                sqlx::raw_sql(kind.lock_schema())
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql(CREATE).execute(&mut *connection).await?;
                let found: i64 = sqlx::query(NEWEST)
                    .fetch_one(&mut *connection)
                    .await?
                    .try_get("version")?;
                let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
                if found > known {
                    return Err(Error::SchemaNewer { found, known });
                }
                let done = usize::try_from(found).unwrap_or(0);
                for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
                    let sql = sql.replace("{blob}", kind.blob());
                    sqlx::raw_sql(AssertSqlSafe(sql))
                        .execute(&mut *connection)
                        .await?;
                    sqlx::query(RECORD)
                        .bind(number)
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
}

/// The names of all tables.
#[cfg(feature = "testing")]
pub(crate) fn tables() -> Vec<&'static str> {
    let after_create = MIGRATIONS
        .iter()
        .flat_map(|sql| sql.split("CREATE TABLE ").skip(1));
    after_create
        .filter_map(|rest| rest.split_whitespace().next())
        .chain(["schema_version"])
        .collect()
}
