//! All that differs between the databases: how to connect, how to write, what the words of the schema are.

mod lock;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;

use crate::error::Error;
use crate::url::{Place, StoreUrl};
use writer::Queue;

/// How many connections read a SQLite file.
const SQLITE_READERS: u32 = 4;
/// How many connections a node opens to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long to wait for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How often a transaction is tried on PostgreSQL.
const ATTEMPTS: u32 = 5;

/// For every SQLite connection. FULL, as a lost write could let a code be redeemed twice.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";
const SQLITE_READ_ONLY: &str = "PRAGMA query_only = ON;";
/// For every PostgreSQL connection: what is committed stays, whatever the server's default is.
const POSTGRES_DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

/// A statement or several on one connection, on behalf of a state.
pub(crate) type Job<S, T> =
    for<'a> fn(&'a S, &'a mut AnyConnection) -> BoxFuture<'a, Result<T, Error>>;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// The one word of the schema that differs.
    pub(crate) const fn blob(self) -> &'static str {
        match self {
            Self::Sqlite => "BLOB",
            Self::Postgres => "BYTEA",
        }
    }

    /// How many tables have the name `$1`, before anything else can be asked.
    pub(crate) const fn count_tables_named(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT COUNT(*) AS n FROM sqlite_master WHERE type = 'table' AND name = $1"
            }
            Self::Postgres => {
                "SELECT COUNT(*) AS n FROM pg_catalog.pg_class WHERE oid = to_regclass($1)"
            }
        }
    }

    /// Taken before migrating, so that of several nodes one migrates. On SQLite the transaction itself is the lock.
    pub(crate) const fn lock_schema(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT 1",
            Self::Postgres => "SELECT pg_advisory_xact_lock(7521478935)",
        }
    }
}

/// The connections.
pub(crate) struct Backend {
    kind: Kind,
    readers: Readers,
    writer: Writer,
}

enum Readers {
    /// In memory: the connection is the database.
    Shared(Arc<Mutex<Option<AnyConnection>>>),
    Pool(AnyPool),
}

enum Writer {
    /// SQLite: one writer for all.
    Queue(Queue),
    /// PostgreSQL: each transaction for itself.
    Pool(AnyPool),
}

impl Backend {
    pub(crate) async fn open(url: &StoreUrl) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        match &url.0 {
            Place::Memory => {
                let mut connection = connect("sqlite::memory:").await?;
                run(&mut connection, SQLITE_PRAGMAS).await?;
                let shared = Arc::new(Mutex::new(Some(connection)));
                let queue = Queue::start(Arc::clone(&shared), None);
                Ok(Self {
                    kind: Kind::Sqlite,
                    readers: Readers::Shared(shared),
                    writer: Writer::Queue(queue),
                })
            }
            Place::File(path) => Self::open_file(path).await,
            Place::Postgres(url) => {
                let options = AnyConnectOptions::from_url(url)?;
                let pool = AnyPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE)
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            sqlx::raw_sql(POSTGRES_DURABLE).execute(connection).await?;
                            Ok(())
                        })
                    })
                    .connect_with(options)
                    .await?;
                Ok(Self {
                    kind: Kind::Postgres,
                    readers: Readers::Pool(pool.clone()),
                    writer: Writer::Pool(pool),
                })
            }
        }
    }

    async fn open_file(path: &Path) -> Result<Self, Error> {
        let (path, lock) = lock::prepare(path)?;
        let url = lock::sqlite_url(&path);
        let mut connection = connect(&url).await?;
        run(&mut connection, SQLITE_PRAGMAS).await?;
        let readers = AnyPoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE)
            // A reader that failed once is replaced when it fails again; asking each time costs a round trip.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(SQLITE_PRAGMAS).execute(&mut *connection).await?;
                    sqlx::raw_sql(SQLITE_READ_ONLY).execute(&mut *connection).await?;
                    Ok(())
                })
            })
            .connect_with(options(&url)?)
            .await?;
        let queue = Queue::start(Arc::new(Mutex::new(Some(connection))), Some(lock));
        Ok(Self {
            kind: Kind::Sqlite,
            readers: Readers::Pool(readers),
            writer: Writer::Queue(queue),
        })
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs a job that only reads.
    pub(crate) async fn read<S, T>(&self, state: &S, job: Job<S, T>) -> Result<T, Error> {
        match &self.readers {
            Readers::Shared(shared) => {
                let mut connection = shared.lock().await;
                job(state, connection.as_mut().ok_or(Error::Closed)?).await
            }
            Readers::Pool(pool) => {
                let mut connection = pool.acquire().await?;
                job(state, &mut connection).await
            }
        }
    }

    /// Runs a job as one transaction: all of it and durable when this returns `Ok`, nothing of it otherwise. The job
    /// may run more than once before that, and it may take effect even if nobody waits for it any more.
    pub(crate) async fn write<S, T>(&self, state: S, job: Job<S, T>) -> Result<T, Error>
    where
        S: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &self.writer {
            Writer::Queue(queue) => queue.run(state, job).await,
            Writer::Pool(pool) => {
                let mut attempt = 1;
                loop {
                    match attempt_once(pool, &state, job).await {
                        Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
                        outcome => return outcome,
                    }
                }
            }
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        self.read(&(), |(), connection| {
            Box::pin(async move { Ok(connection.ping().await?) })
        })
        .await
    }

    /// The readers of a file go first: whoever leaves last brings its log home, and a reader can't.
    pub(crate) async fn close(&self) {
        if let Readers::Pool(pool) = &self.readers {
            pool.close().await;
        }
        match &self.writer {
            Writer::Queue(queue) => queue.close().await,
            Writer::Pool(pool) => pool.close().await,
        }
        if let Readers::Shared(shared) = &self.readers {
            drop(shared.lock().await.take());
        }
    }
}

async fn attempt_once<S, T>(pool: &AnyPool, state: &S, job: Job<S, T>) -> Result<T, Error> {
    let mut transaction = pool.begin().await?;
    let outcome = job(state, &mut transaction).await;
    match outcome {
        Ok(value) => {
            transaction.commit().await?;
            Ok(value)
        }
        Err(error) => {
            // What went wrong first is what matters; dropping it would roll back as well.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

fn options(url: &str) -> Result<AnyConnectOptions, Error> {
    Ok(url.parse()?)
}

async fn connect(url: &str) -> Result<AnyConnection, Error> {
    Ok(AnyConnection::connect_with(&options(url)?).await?)
}

async fn run(connection: &mut AnyConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
