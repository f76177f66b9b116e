//! What can go wrong in the database. Never the peer's fault, except for [`Error::Conflict`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::seal::UnsealError;

/// A failure of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A row with this key exists already.
    #[error("a row with this key exists already")]
    Conflict,
    /// The database refused, or cannot be reached.
    #[error("the database failed")]
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
        "the schema of the database has version {found}, but this program knows only {known}; hint: run a newer version"
    )]
    SchemaNewer {
        /// The version of the schema.
        found: i64,
        /// The newest version that is known.
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

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Self::Conflict,
            other => Self::Database(Arc::new(other)),
        }
    }
}

impl Error {
    /// Whether the same transaction may well succeed if it is tried again: PostgreSQL chose it as the victim of a
    /// deadlock or of a serialization conflict.
    pub(crate) fn is_transient(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        matches!(code.as_deref(), Some("40001" | "40P01"))
    }
}
