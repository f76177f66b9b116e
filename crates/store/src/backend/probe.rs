//! A look at the database that asks for everything that it must be able to do: answer, and keep what is written.

use std::sync::Arc;
use std::time::Duration;

use model::clock::Clock;
use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::time::timeout;

use super::{Backend, Kind, POSTGRES_SETTINGS};
use crate::error::{Error, Outage};
use crate::query;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(5);

/// A measurement of the clock that took longer says little.
const PROMPT: i64 = 1000;

const POSTGRES_CLOCK: &str =
    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS millis";

/// Looks at one database. To PostgreSQL it has a connection of its own, so that others who use all of the pool's are not
/// taken for a failure.
#[derive(Default)]
pub(crate) struct Probe {
    connection: Option<AnyConnection>,
}

impl Probe {
    /// Writes and reads. How far the database's clock is ahead of `local`, in milliseconds, where it has one of its own
    /// and answered at once.
    pub(crate) async fn look(
        &mut self,
        backend: &Backend,
        local: &dyn Clock,
    ) -> Result<Option<i64>, Error> {
        let silent = || Outage::Silent(LOOK);
        if backend.kind == Kind::Sqlite {
            let now = local.now().millis();
            let written = backend.write(now, |now, connection| {
                Box::pin(async move { write(connection, *now).await })
            });
            timeout(LOOK, written).await.map_err(|_| silent())??;
            timeout(LOOK, backend.ping())
                .await
                .map_err(|_| silent())??;
            return Ok(Some(0));
        }
        let reached = timeout(LOOK, self.reach(backend, local)).await;
        let reached = reached.unwrap_or_else(|_| Err(silent().into()));
        let away = match &reached {
            Err(Error::Unavailable(outage)) if self.connection.is_none() => {
                Some(Arc::clone(outage))
            }
            // It answers; if it refuses to write, it can still be read.
            Ok(_) | Err(_) => None,
        };
        backend.away.store(away);
        reached
    }

    /// Keeps its connection only if the database answers on it.
    async fn reach(&mut self, backend: &Backend, local: &dyn Clock) -> Result<Option<i64>, Error> {
        // The connection is its own, and would outlive the others.
        if backend.is_closed() {
            return Err(Error::Closed);
        }
        let mut connection = match (self.connection.take(), &backend.options) {
            (Some(connection), _) => connection,
            (None, Some(options)) => {
                let mut connection = AnyConnection::connect_with(options).await?;
                sqlx::raw_sql(POSTGRES_SETTINGS)
                    .execute(&mut connection)
                    .await?;
                connection
            }
            (None, None) => return Err(Error::Closed),
        };
        let before = local.now();
        let row = sqlx::query(POSTGRES_CLOCK)
            .fetch_one(&mut connection)
            .await?;
        let after = local.now();
        let theirs: i64 = row.try_get("millis")?;
        let written = write(&mut connection, theirs).await;
        if !written.as_ref().is_err_and(is_broken) {
            self.connection = Some(connection);
        }
        written?;
        let took = after.millis() - before.millis();
        let ahead = theirs - (before.millis() + took / 2);
        Ok((0..=PROMPT).contains(&took).then_some(ahead))
    }

    /// Ends its connection.
    pub(crate) async fn end(self) {
        if let Some(connection) = self.connection {
            // It ends with the process at the latest.
            let _ = timeout(LOOK, connection.close()).await;
        }
    }
}

/// Whether it is the connection that failed, and not what the database makes of a statement.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Unavailable(outage) => !matches!(**outage, Outage::Driver(sqlx::Error::Database(_))),
        _ => false,
    }
}

/// Changes something: what stays the same may never reach the disk.
async fn write(connection: &mut AnyConnection, now: i64) -> Result<(), Error> {
    sqlx::query(query::PROBE_WRITE)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
