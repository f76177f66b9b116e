//! All that differs between the databases: how to connect, how to write, what the words of the schema are.

mod job;
mod lock;
pub(crate) mod probe;
mod writer;

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sqlx::any::{Any, AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use crate::error::{Error, Outage};
use crate::url::{Place, StoreUrl};
pub(crate) use job::Job;
use writer::Queue;

/// How many connections read a SQLite file, unless that is said.
const SQLITE_READERS: u32 = 4;
/// How many connections a node opens to PostgreSQL, unless that is said.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long to wait for one of them.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a job may take once it has a connection: a server that is paused, or cut off, or a disk that hangs, must
/// not hold up those who wait.
const ANSWER: Duration = Duration::from_secs(15);
/// How long it may take to find out why there is no connection, and for how long that is known then.
const REASON: Duration = Duration::from_secs(1);
/// How often a transaction is tried on PostgreSQL.
const ATTEMPTS: u32 = 5;

/// For every SQLite connection. FULL, as a lost write could let a code be redeemed twice.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";
const SQLITE_READ_ONLY: &str = "PRAGMA query_only = ON;";
/// For every PostgreSQL connection: what is committed stays, whatever the server's default is; no statement and no lock
/// takes for ever; and a node that stands still in the midst of a transaction does not stop the others for long.
const POSTGRES_SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
    SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '20s'";

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
            // Another node may be at work on large tables.
            Self::Postgres => {
                "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(7521478935)"
            }
        }
    }
}

/// The connections.
pub(crate) struct Backend {
    kind: Kind,
    readers: Readers,
    writer: Writer,
    /// How to reach PostgreSQL.
    options: Option<AnyConnectOptions>,
    /// Why there was no connection, and when that was found out.
    reason: Mutex<Option<(Instant, Arc<Outage>)>>,
    /// As long as [`probe`] finds the database away: nobody waits for a new connection meanwhile.
    away: ArcSwapOption<Outage>,
    /// Something failed that makes another look worthwhile.
    trouble: Notify,
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
    /// Connects, with so many connections at most, or as many as usual. A SQLite file has one more, which writes.
    pub(crate) async fn open(
        url: &StoreUrl,
        connections: Option<NonZeroU16>,
    ) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let at_most = |usual| connections.map_or(usual, |count| u32::from(count.get()));
        match &url.0 {
            Place::Memory => {
                let mut connection = connect("sqlite::memory:").await?;
                run(&mut connection, SQLITE_PRAGMAS).await?;
                let shared = Arc::new(Mutex::new(Some(connection)));
                let queue = Queue::start(Arc::clone(&shared), None);
                Ok(Self::new(
                    Kind::Sqlite,
                    Readers::Shared(shared),
                    Writer::Queue(queue),
                    None,
                ))
            }
            Place::File(path) => Self::open_file(path, at_most(SQLITE_READERS)).await,
            Place::Postgres(url) => {
                let options = AnyConnectOptions::from_url(url)?;
                // The pool would forget why it can't connect.
                connect_patiently(&options).await?.close().await?;
                let pool = AnyPoolOptions::new()
                    .max_connections(at_most(POSTGRES_CONNECTIONS))
                    .acquire_timeout(ACQUIRE)
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            sqlx::raw_sql(POSTGRES_SETTINGS).execute(connection).await?;
                            Ok(())
                        })
                    })
                    .connect_with(options.clone())
                    .await?;
                Ok(Self::new(
                    Kind::Postgres,
                    Readers::Pool(pool.clone()),
                    Writer::Pool(pool),
                    Some(options),
                ))
            }
        }
    }

    fn new(
        kind: Kind,
        readers: Readers,
        writer: Writer,
        options: Option<AnyConnectOptions>,
    ) -> Self {
        Self {
            kind,
            readers,
            writer,
            options,
            reason: Mutex::default(),
            away: ArcSwapOption::default(),
            trouble: Notify::new(),
        }
    }

    async fn open_file(path: &Path, readers: u32) -> Result<Self, Error> {
        let (path, lock) = lock::prepare(path)?;
        let url = lock::sqlite_url(&path);
        let mut connection = connect(&url).await?;
        run(&mut connection, SQLITE_PRAGMAS).await?;
        let readers = AnyPoolOptions::new()
            .max_connections(readers)
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
        Ok(Self::new(
            Kind::Sqlite,
            Readers::Pool(readers),
            Writer::Queue(queue),
            None,
        ))
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Runs a job that only reads.
    pub(crate) async fn read<S, T>(&self, state: &S, job: Job<S, T>) -> Result<T, Error> {
        let outcome = match &self.readers {
            Readers::Shared(shared) => {
                let mut connection = shared.lock().await;
                return job(state, connection.as_mut().ok_or(Error::Closed)?).await;
            }
            Readers::Pool(pool) => match self.acquire(pool).await {
                Ok(mut lent) => {
                    let outcome = in_time(job(state, &mut lent.connection)).await;
                    lent.returned(&outcome);
                    outcome
                }
                Err(error) => Err(error),
            },
        };
        self.noticed(outcome)
    }

    /// Runs a job as one transaction: all of it and durable when this returns `Ok`, nothing of it otherwise. The job
    /// may run more than once before that, and it may take effect even if nobody waits for it any more, or if the
    /// database falls silent.
    pub(crate) async fn write<S, T>(&self, state: S, job: Job<S, T>) -> Result<T, Error>
    where
        S: Send + Sync + 'static,
        T: Send + 'static,
    {
        let outcome = match (&self.writer, &self.readers) {
            (Writer::Queue(queue), Readers::Shared(_)) => queue.run(state, job).await,
            (Writer::Queue(queue), Readers::Pool(_)) => in_time(queue.run(state, job)).await,
            (Writer::Pool(pool), _) => {
                let mut attempt = 1;
                loop {
                    match self.attempt_once(pool, &state, job).await {
                        Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
                        outcome => break outcome,
                    }
                }
            }
        };
        self.noticed(outcome)
    }

    /// Like [`Self::write`], however long it takes: for migrations.
    pub(crate) async fn write_patiently<S, T>(&self, state: S, job: Job<S, T>) -> Result<T, Error>
    where
        S: Send + Sync + 'static,
        T: Send + 'static,
    {
        match &self.writer {
            Writer::Queue(queue) => queue.run(state, job).await,
            Writer::Pool(pool) => {
                let mut lent = self.acquire(pool).await?;
                let outcome = transact(&mut lent.connection, &state, job).await;
                lent.returned(&outcome);
                outcome
            }
        }
    }

    async fn attempt_once<S, T>(
        &self,
        pool: &AnyPool,
        state: &S,
        job: Job<S, T>,
    ) -> Result<T, Error> {
        let mut lent = self.acquire(pool).await?;
        let outcome = in_time(transact(&mut lent.connection, state, job)).await;
        lent.returned(&outcome);
        outcome
    }

    /// A connection. While the database is known to be away, only one that is open already.
    async fn acquire(&self, pool: &AnyPool) -> Result<Lent, Error> {
        let lent = |connection| Lent {
            connection,
            // A file's connection can always be used again.
            in_order: self.kind == Kind::Sqlite,
        };
        if let Some(away) = &*self.away.load() {
            return match pool.try_acquire() {
                Some(connection) => Ok(lent(connection)),
                None if pool.is_closed() => Err(Error::Closed),
                None => Err(Error::Unavailable(Arc::clone(away))),
            };
        }
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {
                self.trouble.notify_one();
                Err(Error::Unavailable(self.reason().await))
            }
            outcome => Ok(lent(outcome?)),
        }
    }

    /// Why there is no connection: a pool tries again until its time is over, and forgets what it was told meanwhile.
    async fn reason(&self) -> Arc<Outage> {
        let mut known = self.reason.lock().await;
        if let Some((at, outage)) = &*known
            && at.elapsed() < REASON
        {
            return Arc::clone(outage);
        }
        let outage = match &self.options {
            None => Outage::AllInUse(ACQUIRE),
            Some(options) => match timeout(REASON, AnyConnection::connect_with(options)).await {
                Ok(Ok(connection)) => {
                    // It was only to be seen whether there can be one.
                    let _ = timeout(REASON, connection.close()).await;
                    Outage::AllInUse(ACQUIRE)
                }
                Ok(Err(error)) => Outage::Driver(error),
                Err(_) => Outage::Silent(ACQUIRE),
            },
        };
        let outage = Arc::new(outage);
        *known = Some((Instant::now(), Arc::clone(&outage)));
        outage
    }

    fn noticed<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.as_ref().is_err_and(Error::is_outage) {
            self.trouble.notify_one();
        }
        outcome
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        self.read(&(), |(), connection| {
            Box::pin(async move { Ok(connection.ping().await?) })
        })
        .await
    }

    /// Waits until something fails in a way that makes another look worthwhile.
    pub(crate) async fn trouble(&self) {
        self.trouble.notified().await;
    }

    /// Whether it was closed, as far as that can be known without asking the database.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&self.writer, Writer::Pool(pool) if pool.is_closed())
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

/// A connection of a pool. Where its job was given up, or broke off, nobody waits for what it still has to say: a server
/// that is cut off may never say it, and the pool would be one connection smaller for so long.
struct Lent {
    connection: PoolConnection<Any>,
    in_order: bool,
}

impl Lent {
    fn returned<T>(&mut self, outcome: &Result<T, Error>) {
        self.in_order |= !outcome.as_ref().is_err_and(Error::is_outage);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.in_order {
            self.connection.close_on_drop();
        }
    }
}

/// Ends waiting for a database that has fallen silent.
async fn in_time<T>(job: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(ANSWER, job).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Outage::Silent(ANSWER).into()),
    }
}

async fn transact<S, T>(
    connection: &mut AnyConnection,
    state: &S,
    job: Job<S, T>,
) -> Result<T, Error> {
    let mut transaction = connection.begin().await?;
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

/// The first connection. A server that is just starting gets the time that any connection gets.
async fn connect_patiently(options: &AnyConnectOptions) -> Result<AnyConnection, Error> {
    let deadline = Instant::now() + ACQUIRE;
    let mut pause = Duration::from_millis(20);
    loop {
        let error = match timeout(ACQUIRE, AnyConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => Error::from(error),
            Err(_) => return Err(Outage::Silent(ACQUIRE).into()),
        };
        if !error.is_outage() || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
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
