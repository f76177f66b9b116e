//! The one writer of a SQLite database: whatever waits is done in one transaction, a savepoint for each, so that many
//! share one `fsync`.

use std::fs::File;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{AnyConnection, Connection as _};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::job::Job;
use crate::error::Error;

/// How many jobs share one transaction at most.
const BATCH: usize = 64;
/// How many may wait before callers have to.
const WAITING: usize = 1024;

/// Where jobs wait for the writer.
pub(super) struct Queue {
    sender: mpsc::Sender<Message>,
    tasks: TaskTracker,
}

enum Message {
    Write(Box<dyn Pending>),
    Stop,
}

impl Queue {
    /// Starts the writer. It keeps the lock of the file as long as it runs.
    pub(super) fn start(connection: Arc<Mutex<Option<AnyConnection>>>, lock: Option<File>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            work(&connection, receiver).await;
            // Closed before the lock is gone, unless it is shared with readers and closed by them.
            if lock.is_some()
                && let Some(connection) = connection.lock().await.take()
            {
                leave(connection).await;
            }
            drop(lock);
        });
        tasks.close();
        Self { sender, tasks }
    }

    /// Waits for its turn, then for the transaction that it was part of.
    pub(super) async fn run<S, T>(&self, state: S, job: Job<S, T>) -> Result<T, Error>
    where
        S: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Write {
            state,
            job,
            outcome: None,
            reply,
        };
        self.sender
            .send(Message::Write(Box::new(pending)))
            .await
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Finishes what waits, and ends.
    pub(super) async fn close(&self) {
        // It has ended already if it cannot be told to.
        let _ = self.sender.send(Message::Stop).await;
        self.tasks.wait().await;
    }
}

/// A job without its types.
trait Pending: Send {
    /// Runs it; `true` if what it did shall stay.
    fn run<'a>(&'a mut self, connection: &'a mut AnyConnection) -> BoxFuture<'a, bool>;
    /// Tells its caller, once it is known whether the transaction was committed.
    fn finish(self: Box<Self>, committed: Result<(), Error>);
}

struct Write<S, T> {
    state: S,
    job: Job<S, T>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<S: Send + Sync, T: Send> Pending for Write<S, T> {
    fn run<'a>(&'a mut self, connection: &'a mut AnyConnection) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let outcome = (self.job)(&self.state, connection).await;
            let keep = outcome.is_ok();
            self.outcome = Some(outcome);
            keep
        })
    }

    fn finish(self: Box<Self>, committed: Result<(), Error>) {
        let outcome = match (self.outcome, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::Closed),
        };
        // Whoever waited may be gone.
        let _ = self.reply.send(outcome);
    }
}

/// Brings what the log (`-wal`) holds into the file itself, so that a copy of the file is a copy of the database, and
/// closes the connection.
async fn leave(mut connection: AnyConnection) {
    // If it fails, nothing is lost: the log stays, and whoever opens the file next reads it.
    let checkpoint = execute(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    let closed = connection.close().await.map_err(Error::from);
    if let Err(error) = checkpoint.and(closed) {
        tracing::warn!(%error, "the log of the database was not brought into its file");
    }
}

async fn work(connection: &Mutex<Option<AnyConnection>>, mut receiver: mpsc::Receiver<Message>) {
    let mut stopped = false;
    while !stopped {
        let Some(first) = receiver.recv().await else {
            return;
        };
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(job) => batch.push(job),
                Message::Stop => {
                    stopped = true;
                    receiver.close();
                }
            }
            next = if batch.len() < BATCH || stopped {
                receiver.try_recv().ok()
            } else {
                None
            };
        }
        let mut connection = connection.lock().await;
        let committed = match connection.as_mut() {
            Some(connection) => transact(connection, &mut batch).await,
            None => Err(Error::Closed),
        };
        drop(connection);
        for job in batch {
            job.finish(committed.clone());
        }
    }
}

/// One transaction for all; a job that fails is undone by itself.
async fn transact(
    connection: &mut AnyConnection,
    batch: &mut [Box<dyn Pending>],
) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    execute(connection, "BEGIN IMMEDIATE").await?;
    let outcome = match batch {
        // Alone, it needs no savepoint.
        [only] => {
            if only.run(connection).await {
                execute(connection, "COMMIT").await
            } else {
                execute(connection, "ROLLBACK").await
            }
        }
        many => match each(connection, many).await {
            Ok(()) => execute(connection, "COMMIT").await,
            Err(error) => Err(error),
        },
    };
    if outcome.is_err() {
        // SQLite has undone some failed commits by itself; then there is nothing to roll back.
        let _ = execute(connection, "ROLLBACK").await;
    }
    outcome
}

async fn each(connection: &mut AnyConnection, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
    for job in batch {
        execute(connection, "SAVEPOINT job").await?;
        if !job.run(connection).await {
            execute(connection, "ROLLBACK TO job").await?;
        }
        execute(connection, "RELEASE job").await?;
    }
    Ok(())
}

async fn execute(connection: &mut AnyConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
