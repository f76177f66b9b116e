//! SQLite and PostgreSQL: one SQL text, migrations, sealing of secrets.
//!
//! The map, in reading order:
//!
//! - [`url`], [`error`], [`seal`], [`opening`]: where the data is, what can go wrong, how secrets are kept, how it begins;
//! - `backend` (all that differs between the databases: connections, the writer), `migrate`, `query` (every statement),
//!   `statement` (one of them with its arguments), `row` (from rows to values);
//! - one module per noun, with functions that take the [`Store`]: [`user`], [`standing`], [`key`], [`grant`], [`family`],
//!   [`session`], [`consent`], [`revocation`], [`counter`], [`assertion`], [`approval`], [`registration`];
//! - [`health`]: whether the database does its work, and what its clock says;
//! - [`cleanup`] of what has expired, and `testing` (feature `testing`).
//!
//! Every function that changes something is one transaction. It is durable when the function returns: on SQLite
//! concurrent changes share one `fsync`. Tokens and codes are stored as hashes, keys are sealed (SEC-70).
//!
//! To store a new field: the noun in `model`, a new file in `migrations/`, the statements in `query`, the noun's module.

pub mod error;
pub mod opening;
pub mod seal;
pub mod url;

mod backend;
mod migrate;
mod query;
mod random;
mod revocations;
mod row;
mod seen;
mod statement;

pub mod approval;
pub mod assertion;
pub mod cleanup;
pub mod consent;
pub mod counter;
pub mod family;
pub mod grant;
mod granted;
pub mod key;
pub mod registration;
pub mod revocation;
pub mod session;
pub mod standing;
pub mod user;

pub mod health;

#[cfg(feature = "testing")]
pub mod testing;

use std::fmt;
use std::sync::Arc;

use model::refresh::TokenKey;

use crate::backend::Backend;
use crate::error::Error;
use crate::revocations::Revocations;
use crate::seal::Sealer;
use crate::seen::Seen;

/// The database. Clones share one set of connections.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<Backend>,
    sealer: Sealer,
    refresh_key: TokenKey,
    revocations: Revocations,
    seen: Seen,
}

impl Store {
    pub(crate) fn new(backend: Arc<Backend>, sealer: Sealer, refresh_key: TokenKey) -> Self {
        Self {
            inner: Arc::new(Inner {
                backend,
                sealer,
                refresh_key,
                revocations: Revocations::default(),
                seen: Seen::default(),
            }),
        }
    }

    /// Seals what leaves the process and comes back, such as cookies.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// The server's key for refresh tokens.
    pub fn refresh_key(&self) -> &TokenKey {
        &self.inner.refresh_key
    }

    /// What was revoked, in memory.
    pub fn revocations(&self) -> &Revocations {
        &self.inner.revocations
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.inner.backend.ping().await
    }

    /// Finishes what is under way and closes all connections. Later calls fail with [`Error::Closed`].
    pub async fn close(&self) {
        self.inner.backend.close().await;
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.inner.backend
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?})", self.inner.backend.kind())
    }
}
