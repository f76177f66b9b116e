//! Threads of their own for password hashing: each check needs 19 MiB and a core for some 15 ms (SEC-53, SEC-79).
//!
//! Nothing else runs on them, so that neither waits for the other: not for names that do not resolve, not for files.
//! A thread keeps the memory of its checks and ends, and gives it back, when there was nothing to do for a while (SEC-91).

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use model::password::{Cost, Memory, PasswordError, PasswordHash};
use model::secret::Secret;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// What one check needs, in bytes: Argon2's memory and a little for itself.
const BYTES_PER_CHECK: u64 = 20 * 1024 * 1024;

/// How long a login waits for its turn before it is told to come back.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a thread without work keeps its memory.
const REST: Duration = Duration::from_secs(2);

/// Checks passwords off the async threads, no more at a time than memory and cores allow. Clones share the threads.
#[derive(Clone)]
pub struct PasswordPool {
    turns: Arc<Semaphore>,
    threads: Arc<Threads>,
    cost: Cost,
}

/// Why a password was not checked.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Nobody got ready in time.
    #[error("all password workers are busy")]
    Busy,
    /// The stored hash is unusable, or hashing failed.
    #[error("password could not be checked")]
    Password(#[from] PasswordError),
    /// The system gives no thread.
    #[error("no thread for password hashing can be started")]
    Thread(#[from] std::io::Error),
    /// The worker died.
    #[error("password worker ended early")]
    Worker(#[from] oneshot::error::RecvError),
}

impl Default for PasswordPool {
    /// At most 256 MiB.
    fn default() -> Self {
        Self::new(256 * 1024 * 1024)
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordPool({} threads)", self.threads.running())
    }
}

impl PasswordPool {
    /// A pool that uses at most this many bytes, and at most one core more than there are.
    pub fn new(memory: u64) -> Self {
        Self::resting(memory, REST)
    }

    fn resting(memory: u64, rest: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let by_memory = usize::try_from(memory / BYTES_PER_CHECK).unwrap_or(usize::MAX);
        let most = by_memory.clamp(1, cores + 1);
        Self {
            turns: Arc::new(Semaphore::new(most)),
            threads: Arc::new(Threads {
                most,
                rest,
                state: Mutex::default(),
                woken: Condvar::new(),
            }),
            cost: Cost::DEFAULT,
        }
    }

    /// The same, of hashes that cost this.
    #[must_use]
    pub fn costing(self, cost: Cost) -> Self {
        Self { cost, ..self }
    }

    /// What it hashes with.
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// Whether this is the password. Takes as long for a wrong one as for a right one (SEC-54).
    /// [`PoolError::Busy`] if it is nobody's turn within five seconds.
    pub async fn verify(
        &self,
        password: Secret<String>,
        hash: PasswordHash,
    ) -> Result<bool, PoolError> {
        let turn = self.turn_in_time().await?;
        self.run(turn, move |memory| memory.verify(password.expose(), &hash))
            .await
    }

    /// Hashes a password anew. [`PoolError::Busy`] if it is nobody's turn within five seconds.
    pub async fn hash(
        &self,
        password: Secret<String>,
        salt: [u8; 16],
    ) -> Result<PasswordHash, PoolError> {
        let turn = self.turn_in_time().await?;
        let cost = self.cost;
        self.run(turn, move |memory| {
            memory.hash(password.expose(), &salt, cost)
        })
        .await
    }

    /// The hash of a password, unless the current one is of the same. Waits for its turn as long as it takes.
    pub async fn changed(
        &self,
        password: Secret<String>,
        current: Option<PasswordHash>,
        salt: [u8; 16],
    ) -> Result<Option<PasswordHash>, PoolError> {
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return Err(PoolError::Busy);
        };
        let cost = self.cost;
        self.run(turn, move |memory| match &current {
            Some(hash) if memory.verify(password.expose(), hash)? => Ok(None),
            _ => memory.hash(password.expose(), &salt, cost).map(Some),
        })
        .await
    }

    async fn turn_in_time(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        match timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(PoolError::Busy),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: OwnedSemaphorePermit,
        work: impl FnOnce(&mut Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PoolError> {
        let (tell, told) = oneshot::channel();
        // The turn goes with the work: a client that hangs up must not free it early.
        self.threads.take(Box::new(move |memory| {
            let result = work(memory);
            drop(turn);
            // Whoever asked may have left.
            let _ = tell.send(result);
        }))?;
        Ok(told.await??)
    }
}

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads, which come and go with the work.
struct Threads {
    /// How many there may be.
    most: usize,
    /// How long one without work waits for some.
    rest: Duration,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    resting: usize,
}

impl Threads {
    fn running(&self) -> usize {
        self.state.lock().running
    }

    /// Gives the job to a thread that rests, or to a new one, or to the next that gets ready.
    fn take(self: &Arc<Self>, job: Job) -> std::io::Result<()> {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.resting && state.running < self.most {
            let threads = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("passwords".to_owned())
                .spawn(move || threads.work());
            match started {
                Ok(_) => state.running += 1,
                Err(error) if state.running == 0 => {
                    state.jobs.pop_back();
                    return Err(error);
                }
                // The job waits for one of those that there are.
                Err(_) => {}
            }
        }
        self.woken.notify_one();
        Ok(())
    }

    /// Does jobs until there were none for a while.
    fn work(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                tracing::error!("hashing a password panicked");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.resting += 1;
            let rested = self.woken.wait_for(&mut state, self.rest).timed_out();
            state.resting -= 1;
            if rested && state.jobs.is_empty() {
                state.running -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn password(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn the_right_password_passes_and_the_wrong_one_does_not() {
        let pool = PasswordPool::new(64 * MIB);
        let hash = pool.hash(password("alice"), [7; 16]).await.unwrap();
        assert!(pool.verify(password("alice"), hash.clone()).await.unwrap());
        assert!(!pool.verify(password("bob"), hash).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_is_hashed_anew_only_if_it_changed() {
        let pool = PasswordPool::default();
        let hash = pool
            .changed(password("alice"), None, [7; 16])
            .await
            .unwrap();
        assert_eq!(
            pool.changed(password("alice"), hash.clone(), [8; 16])
                .await
                .unwrap(),
            None
        );
        let other = pool
            .changed(password("bob"), hash.clone(), [8; 16])
            .await
            .unwrap();
        assert!(other.is_some() && other != hash);
    }

    // SEC-53, SEC-79
    #[test]
    fn memory_bounds_the_number_of_checks() {
        let most = |memory| PasswordPool::new(memory).threads.most;
        assert_eq!(most(0), 1);
        assert_eq!(most(21 * MIB), 1);
        assert!(most(u64::MAX) >= 2);
    }

    // SEC-91
    #[tokio::test]
    async fn many_checks_share_few_threads_which_end_when_there_is_nothing_to_do() {
        let pool = PasswordPool::resting(u64::MAX, Duration::ZERO);
        let hash = pool.hash(password("alice"), [7; 16]).await.unwrap();
        let checks = (0..40).map(|_| pool.verify(password("alice"), hash.clone()));
        let checked = futures_util::future::join_all(checks);
        let watched = async {
            let mut most = 0;
            loop {
                most = most.max(pool.threads.running());
                tokio::task::yield_now().await;
                if pool.threads.state.lock().jobs.is_empty()
                    && pool.turns.available_permits() == pool.threads.most
                {
                    return most;
                }
            }
        };
        let (checked, most) = tokio::join!(checked, watched);
        assert!(checked.into_iter().all(|checked| checked.unwrap()));
        assert!((1..=pool.threads.most).contains(&most), "{most}");
        while pool.threads.running() > 0 {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_check_that_panics_costs_itself_only() {
        let pool = PasswordPool::new(0);
        let turn = pool.turn_in_time().await.unwrap();
        let broken: Result<(), PoolError> = pool.run(turn, |_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(PoolError::Worker(_))), "{broken:?}");
        pool.hash(password("alice"), [7; 16]).await.unwrap();
    }

    // SEC-53, SEC-79
    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_to_come_back() {
        let pool = PasswordPool::new(0);
        let turn = pool.turn_in_time().await.unwrap();
        let busy = pool
            .verify(password("alice"), PasswordHash::dummy())
            .await
            .unwrap_err();
        assert!(matches!(busy, PoolError::Busy), "{busy:?}");
        drop(turn);
        assert!(pool.turn_in_time().await.is_ok());
    }

    // SEC-89: what blocks in the runtime, name resolution among it, has other threads.
    #[test]
    fn blocked_threads_of_the_runtime_hold_no_password_up() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let blocked = runtime.spawn_blocking(move || held.recv());
        let hashed = runtime.block_on(PasswordPool::new(0).hash(password("alice"), [7; 16]));
        assert!(hashed.is_ok());
        drop(release);
        assert!(runtime.block_on(blocked).unwrap().is_err());
    }
}
