//! Work on large inputs, apart from the threads that serve requests.

use tokio::sync::Semaphore;

/// What is smaller is worked on in place: it takes less than a millisecond (SEC-82).
pub const LARGE: usize = 128 * 1024;

/// How much such work there is at the same time, over all targets: it is bound by processors, not by waiting.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Does work on an input of `size` bytes, elsewhere if that is large.
pub async fn run<T: Send + 'static>(size: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if size < LARGE {
        return work();
    }
    let _turn = TURNS.acquire().await;
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and whoever waits with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-82
    #[tokio::test]
    async fn only_what_is_large_leaves_the_thread() {
        let here = std::thread::current().id();
        let of = |size| run(size, || std::thread::current().id());
        assert_eq!(of(LARGE - 1).await, here);
        assert_ne!(of(LARGE).await, here);
    }
}
