//! The schema: one set of statements for both databases, applied under a lock, one transaction for all that is new.

use sqlx::{AssertSqlSafe, Row as _};

use crate::backend::{Backend, Kind};
use crate::error::Error;

/// Every migration, in order. The number is its place, from one. What was released is never edited: a change is a new
/// file, and first extends what earlier versions of the program can still work with: tables, and columns with a default.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_users.sql"),
    include_str!("../migrations/0002_keys.sql"),
    include_str!("../migrations/0003_grants.sql"),
    include_str!("../migrations/0004_sessions.sql"),
    include_str!("../migrations/0005_revocations.sql"),
    include_str!("../migrations/0006_counters.sql"),
    include_str!("../migrations/0007_declared_passwords.sql"),
    include_str!("../migrations/0008_declared_users.sql"),
    include_str!("../migrations/0009_registrations.sql"),
    include_str!("../migrations/0010_registration_sites.sql"),
    include_str!("../migrations/0011_traits.sql"),
];

/// What earlier versions of the program can't work with any more: whoever adds a migration that takes something away from
/// them, or changes its meaning, counts this up. Nodes of one major version run side by side while a new one is rolled out.
const MAJOR: i64 = 1;

const CREATE_MAJOR: &str =
    "CREATE TABLE IF NOT EXISTS schema_major (major BIGINT NOT NULL PRIMARY KEY)";
const NEWEST_MAJOR: &str = "SELECT COALESCE(MAX(major), 1) AS major FROM schema_major";
const RECORD_MAJOR: &str = "INSERT INTO schema_major (major) VALUES ($1) ON CONFLICT DO NOTHING";

const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)";
const NEWEST: &str = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_version";
const RECORD: &str = "INSERT INTO schema_version (version) VALUES ($1)";

/// Brings the schema up to date. One that is newer than what is known here is used as it is, unless it is so by a major
/// version, which is refused.
pub(crate) async fn run(backend: &Backend) -> Result<(), Error> {
    backend
        .write_patiently(backend.kind(), |kind: &Kind, connection| {
            Box::pin(async move {
                sqlx::raw_sql(kind.lock_schema())
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql(CREATE).execute(&mut *connection).await?;
                sqlx::raw_sql(CREATE_MAJOR)
                    .execute(&mut *connection)
                    .await?;
                let found: i64 = sqlx::query(NEWEST_MAJOR)
                    .fetch_one(&mut *connection)
                    .await?
                    .try_get("major")?;
                if found > MAJOR {
                    return Err(Error::SchemaNewer {
                        found,
                        known: MAJOR,
                    });
                }
                sqlx::query(RECORD_MAJOR)
                    .bind(MAJOR)
                    .execute(&mut *connection)
                    .await?;
                let found: i64 = sqlx::query(NEWEST)
                    .fetch_one(&mut *connection)
                    .await?
                    .try_get("version")?;
                let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
                if found > known {
                    tracing::info!(found, known, "the schema of the database is newer");
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
        .chain(["schema_version", "schema_major"])
        .collect()
}
