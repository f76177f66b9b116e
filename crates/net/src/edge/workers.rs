//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so does what its requests wait for: no
//! task moves between cores, and no thread is woken to look for work that another has. Under load
//! that is a quarter of the cost of a request.

use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long the end of a thread waits for work that blocks.
const PATIENCE: Duration = Duration::from_secs(1);

/// A timer that ends before every other makes the thread write to its own wake-up descriptor, once for each such timer,
/// until it sleeps next. One that always ends soon spares requests that.
const NEXT_TIMER: Duration = Duration::from_secs(1);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Threads that serve connections. They end when this is dropped.
#[derive(Debug)]
pub struct Workers {
    all: Vec<Worker>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// A connection's place at one of the threads; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// When the system gives no more threads or descriptors.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let start = |number: usize| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let end = end.clone();
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    NUMBER.set(number);
                    runtime.block_on(end.run_until_cancelled(ticking()));
                    runtime.shutdown_timeout(PATIENCE);
                })?;
            Ok(Worker {
                runtime: handle,
                connections: Arc::default(),
            })
        };
        let all = (1..=count.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self {
            all,
            _end: end.drop_guard(),
        })
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.all.len().max(1)
    }

    /// A place at the thread with the fewest connections.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let load = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let worker = self.all.iter().min_by_key(load)?;
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Some(Seat {
            runtime: worker.runtime.clone(),
            connections: Arc::clone(&worker.connections),
        })
    }
}

async fn ticking() {
    let mut ticks = tokio::time::interval(NEXT_TIMER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of this thread among the workers, from 1; 0 on every other thread.
pub(crate) fn current() -> usize {
    NUMBER.get()
}

/// Makes a socket known to the runtime of this thread instead of the one that accepted it.
pub(crate) fn adopt(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_the_fewest_are() {
        let workers = Workers::start(NonZeroUsize::MIN.saturating_add(1)).unwrap();
        let threads = |seat: &Seat| seat.runtime.id();
        let (first, second) = (workers.seat().unwrap(), workers.seat().unwrap());
        assert_ne!(threads(&first), threads(&second));
        let left = threads(&first);
        drop(first);
        assert_eq!(threads(&workers.seat().unwrap()), left);
    }

    #[tokio::test]
    async fn a_worker_knows_its_number_and_others_are_none() {
        let workers = Workers::start(NonZeroUsize::MIN).unwrap();
        let seat = workers.seat().unwrap();
        let number = seat.runtime.spawn(async { current() }).await.unwrap();
        assert_eq!((number, current()), (1, 0));
    }
}
