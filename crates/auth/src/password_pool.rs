//! A bounded pool for password hashing: each check needs 19 MiB and tens of milliseconds of a core (SEC-53, SEC-79).

use std::sync::Arc;
use std::time::Duration;

use model::password::{self, PasswordError, PasswordHash};
use model::secret::Secret;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// What one check needs, in bytes: Argon2's memory and a little for itself.
const BYTES_PER_CHECK: u64 = 20 * 1024 * 1024;

/// How long a login waits for its turn before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks passwords off the async threads, no more at a time than memory and cores allow.
#[derive(Debug, Clone)]
pub(crate) struct PasswordPool {
    turns: Arc<Semaphore>,
}

/// Why a password was not checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// Nobody got ready in time.
    #[error("all password workers are busy")]
    Busy,
    /// The stored hash is unusable, or hashing failed.
    #[error("password could not be checked")]
    Password(#[from] PasswordError),
    /// The worker died.
    #[error("password worker ended early")]
    Worker(#[from] tokio::task::JoinError),
}

impl PasswordPool {
    /// A pool that uses at most this many bytes, and at most one core more than there are.
    pub(crate) fn new(memory: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let by_memory = usize::try_from(memory / BYTES_PER_CHECK).unwrap_or(usize::MAX);
        Self {
            turns: Arc::new(Semaphore::new(by_memory.clamp(1, cores + 1))),
        }
    }

    /// Whether this is the password. Takes as long for a wrong one as for a right one (SEC-54).
    pub(crate) async fn verify(
        &self,
        password: Secret<String>,
        hash: PasswordHash,
    ) -> Result<bool, PoolError> {
        self.run(move || password::verify(password.expose(), &hash))
            .await
    }

    /// Hashes a password anew.
    pub(crate) async fn hash(
        &self,
        password: Secret<String>,
        salt: [u8; 16],
    ) -> Result<PasswordHash, PoolError> {
        self.run(move || password::hash(password.expose(), &salt))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PoolError> {
        let Ok(Ok(turn)) = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await else {
            return Err(PoolError::Busy);
        };
        // The turn goes with the work: a client that hangs up must not free it early.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        Ok(done.await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_passes_and_the_wrong_one_does_not() {
        let pool = PasswordPool::new(64 * 1024 * 1024);
        let hash = pool
            .hash(Secret::new("alice".to_owned()), [7; 16])
            .await
            .unwrap();
        assert!(
            pool.verify(Secret::new("alice".to_owned()), hash.clone())
                .await
                .unwrap()
        );
        assert!(
            !pool
                .verify(Secret::new("bob".to_owned()), hash)
                .await
                .unwrap()
        );
    }

    // SEC-53, SEC-79
    #[test]
    fn memory_bounds_the_number_of_checks() {
        assert_eq!(PasswordPool::new(0).turns.available_permits(), 1);
        assert_eq!(
            PasswordPool::new(21 * 1024 * 1024)
                .turns
                .available_permits(),
            1
        );
        assert!(PasswordPool::new(u64::MAX).turns.available_permits() >= 2);
    }
}
