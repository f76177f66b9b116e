//! A database on its way to becoming a [`Store`]: connected, looked at, and only then changed. Whether one may be begun
//! and which key belongs to it is decided between these steps.

use std::num::NonZeroU16;
use std::sync::Arc;

use model::refresh::TokenKey;
use sqlx::Row as _;

use crate::Store;
use crate::backend::{Backend, Kind};
use crate::error::Error;
use crate::key;
use crate::migrate;
use crate::query;
use crate::revocation;
use crate::seal::Sealer;
use crate::url::StoreUrl;

/// What was found in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing of ours.
    Nothing,
    /// Tables, and nothing yet that was sealed with a key.
    Tables,
    /// Something that was sealed with a key.
    Sealed,
}

/// A database that is connected, and locked if it is a file.
pub struct Opening {
    backend: Arc<Backend>,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opening({:?})", self.backend.kind())
    }
}

impl Opening {
    /// Connects. A SQLite file is made if there is none, without anything in it; its directory must exist. A file that
    /// another process has open is refused.
    /// `connections` bounds how many there are: to PostgreSQL, 16 unless it is given; or those that read a SQLite file, 4.
    pub async fn connect(url: &StoreUrl, connections: Option<NonZeroU16>) -> Result<Self, Error> {
        Ok(Self {
            backend: Arc::new(Backend::open(url, connections).await?),
        })
    }

    /// Looks what is there.
    pub async fn look(&self) -> Result<Found, Error> {
        self.backend
            .read(&self.backend.kind(), |kind: &Kind, connection| {
                Box::pin(async move {
                    let tables: i64 = sqlx::query(kind.count_tables_named())
                        .bind("server_secret")
                        .fetch_one(&mut *connection)
                        .await?
                        .try_get("n")?;
                    if tables == 0 {
                        return Ok(Found::Nothing);
                    }
                    let sealed = sqlx::query(query::SECRET_ANY)
                        .fetch_optional(connection)
                        .await?;
                    Ok(if sealed.is_some() {
                        Found::Sealed
                    } else {
                        Found::Tables
                    })
                })
            })
            .await
    }

    /// Brings the tables up to date. A newer schema than is known here is refused.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate::run(&self.backend).await
    }

    /// Brings the tables up to date, makes what is sealed on first use, and reads the log of revocations.
    pub async fn unlock(self, sealer: Sealer) -> Result<Store, Error> {
        let prepared = prepare(Arc::clone(&self.backend), sealer).await;
        if prepared.is_err() {
            // So that the file is free again when this returns.
            self.backend.close().await;
        }
        prepared
    }

    /// Leaves it as it is.
    pub async fn close(self) {
        self.backend.close().await;
    }
}

async fn prepare(backend: Arc<Backend>, sealer: Sealer) -> Result<Store, Error> {
    migrate::run(&backend).await?;
    let refresh_key = TokenKey::new(&key::server_secret(&backend, &sealer, "refresh").await?);
    let store = Store::new(backend, sealer, refresh_key);
    revocation::read_log(&store).await?;
    Ok(store)
}

impl Store {
    /// Opens the database, brings its schema up to date and reads the log of revocations.
    ///
    /// A SQLite file is created if there is none; its directory must exist. A file that another process has open is
    /// refused.
    pub async fn open(url: &StoreUrl, sealer: Sealer) -> Result<Self, Error> {
        Opening::connect(url, None).await?.unlock(sealer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    // A crash at any point of the first start can be told from a database that was lost or that belongs to another key.
    #[tokio::test]
    async fn each_step_of_the_beginning_can_be_told_from_the_others() {
        let url = testing::fresh_url().await;
        let opening = Opening::connect(&url, None).await.unwrap();
        assert_eq!(opening.look().await.unwrap(), Found::Nothing);
        opening.migrate().await.unwrap();
        assert_eq!(opening.look().await.unwrap(), Found::Tables);
        let backend = Arc::clone(&opening.backend);
        opening.unlock(testing::sealer()).await.unwrap();
        let opening = Opening { backend };
        assert_eq!(opening.look().await.unwrap(), Found::Sealed);
    }
}
