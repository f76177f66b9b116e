//! What can go wrong in the database. Never the peer's fault, except for [`Error::Conflict`]; and an outage, which passes,
//! is told apart from a bug, which stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A row with this key exists already.
    #[error("a row with this key exists already")]
    Conflict,
    /// The database cannot be reached, does not answer, or has no room at the moment: the same may well succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] Arc<Outage>),
    /// The database refused a statement: it will again.
    #[error("the database refused a statement")]
    Database(#[source] Arc<sqlx::Error>),
    /// The file could not be prepared.
    #[error("the file `{path}` could not be opened")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// Another process has the SQLite file open.
    #[error(
        "the database `{path}` is in use by another process; hint: one SQLite file serves one process, use PostgreSQL for several"
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the schema of the database has the major version {found}, but this program knows only {known}; hint: run a newer version"
    )]
    SchemaNewer {
        /// The major version of the schema.
        found: i64,
        /// The newest one that is known.
        known: i64,
    },
    /// A row contains what this program never wrote there.
    #[error("column `{column}` of row `{id}` in table `{table}` is inconsistent")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The key of the row.
        id: String,
    },
    /// A sealed value cannot be opened: the sealing key is another one, or the value was changed.
    #[error(
        "a sealed value cannot be opened; hint: is the sealing key of the store the one it was written with?"
    )]
    Unseal(#[from] UnsealError),
    /// The operating system gave no random bytes.
    #[error("no random bytes were to be had")]
    Random,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What keeps the database from being available.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// What the driver, the operating system or the database says.
    #[error(transparent)]
    Driver(#[from] sqlx::Error),
    /// No connection became free in time.
    #[error("no connection became free within {} s", .0.as_secs())]
    AllInUse(Duration),
    /// It took a statement, or was asked for a connection, and says nothing.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
}

/// Why a sealed value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// It has not the form of a sealed value.
    #[error("not a sealed value")]
    Malformed,
    /// It was sealed with a key that is not among ours.
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// It was changed, or sealed for another purpose.
    #[error("not authentic")]
    NotAuthentic,
}

impl From<Outage> for Error {
    fn from(outage: Outage) -> Self {
        Self::Unavailable(Arc::new(outage))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Conflict,
            other if is_outage(&other) => Outage::Driver(other).into(),
            other => Self::Database(Arc::new(other)),
        }
    }
}

impl Error {
    /// Whether this passes: then who asked should ask again in a while. What does not pass is a bug, or damage.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Closed)
    }

    /// Whether the same transaction may well succeed if it is tried again: PostgreSQL chose it as the victim of a
    /// deadlock or of a serialization conflict.
    pub(crate) fn is_transient(&self) -> bool {
        let Self::Unavailable(outage) = self else {
            return false;
        };
        let Outage::Driver(error) = &**outage else {
            return false;
        };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        matches!(code.as_deref(), Some("40001" | "40P01"))
    }
}

/// Whether the driver speaks of a connection, of time or of room, and not of a statement.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
        _ => false,
    }
}

fn is_outage_code(code: &str) -> bool {
    // SQLSTATE has five characters; SQLite's codes are numbers below 10,000, the primary one in their lowest byte.
    if code.len() == 5 {
        return matches!(
            code,
            // A standby, after its primary was lost; a lock that did not become free in time.
            "25006" | "55P03"
        ) || matches!(
            code.get(..2),
            // Connection; authorization, as while a password is changed; no such database; transaction rolled back;
            // resources; operator's intervention and timeouts; the system below.
            Some("08" | "28" | "3D" | "40" | "53" | "57" | "58")
        );
    }
    let Ok(code) = code.parse::<u16>() else {
        return false;
    };
    // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL (of locking).
    matches!(code & 0xff, 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-90
    #[test]
    fn outages_are_told_apart_from_bugs_by_their_codes() {
        for outage in [
            "08006", "28P01", "3D000", "40001", "53100", "53300", "55P03", "57014", "57P01",
            "57P03", "58030", "25006", "5", "261", "10", "778", "13", "14",
        ] {
            assert!(is_outage_code(outage), "{outage}");
        }
        for bug in [
            "42601", "42P01", "23502", "22P02", "XX000", "1", "11", "26", "787", "", "x",
        ] {
            assert!(!is_outage_code(bug), "{bug}");
        }
    }

    // SEC-90
    #[test]
    fn an_outage_says_why() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::from(sqlx::Error::Io(refused));
        assert!(error.is_outage());
        assert_eq!(
            oauth::causes::with_causes(&error),
            "the database is not available: error communicating with database: connection refused"
        );
        assert!(!Error::from(sqlx::Error::RowNotFound).is_outage());
    }
}
