//! Keeps one target from taking the whole process with it: a bound on calls under way, and a circuit breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::{CallError, Outage};

/// What a client that was refused because there is too much to do may wait before it tries again.
const BUSY: Duration = Duration::from_secs(1);

/// Bounds of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Calls under way at the same time.
    pub calls: usize,
    /// Failures in a row after which it is not called for a while; 0 means never.
    pub failures: u32,
    /// How long that while is.
    pub pause: Duration,
}

impl From<model::target::Guard> for Settings {
    fn from(said: model::target::Guard) -> Self {
        Self {
            calls: said.calls,
            failures: said.failures,
            pause: said.pause,
        }
    }
}

/// Stands before a target.
#[derive(Debug)]
pub(crate) struct Guard {
    settings: Settings,
    places: Arc<Semaphore>,
    began: Instant,
    /// Failures since the last success.
    failures: AtomicU32,
    /// Milliseconds since `began` until which no call is let through; 0 if all are.
    closed_until: AtomicU64,
    /// Whether connecting failed: then any connection proves the contrary.
    unreachable: AtomicBool,
}

/// A call that was let through; it has a place until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Guard {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            places: Arc::new(Semaphore::new(settings.calls.min(Semaphore::MAX_PERMITS))),
            began: Instant::now(),
            failures: AtomicU32::new(0),
            closed_until: AtomicU64::new(0),
            unreachable: AtomicBool::new(false),
        }
    }

    /// Lets a call through, or refuses it at once.
    pub(crate) fn enter(&self) -> Result<Place, CallError> {
        let until = self.closed_until.load(Ordering::Relaxed);
        if until != 0 {
            self.enter_half_open(until)?;
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place
            .map(Place)
            .map_err(|_| CallError::Busy { retry_after: BUSY })
    }

    /// After the pause one call at a time finds out whether the target is back.
    fn enter_half_open(&self, until: u64) -> Result<(), CallError> {
        let now = self.now();
        let next = after(now, self.settings.pause);
        let ours = now >= until
            && self
                .closed_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if ours {
            return Ok(());
        }
        let left = Duration::from_millis(until.saturating_sub(now));
        Err(CallError::GivenUp { retry_after: left })
    }

    /// Notes how a call ended. Says whether the target is not called any more from now on.
    pub(crate) fn note<T>(&self, outcome: &Result<T, CallError>) -> bool {
        let outage = match outcome {
            Ok(_) => None,
            Err(CallError::Cancelled | CallError::Busy { .. } | CallError::GivenUp { .. }) => {
                return false;
            }
            Err(error) => error.outage(),
        };
        match outage {
            None => {
                self.reset();
                false
            }
            Some(outage) => self.fail(outage),
        }
    }

    /// A connection came about. That is enough to call again where none could be had.
    pub(crate) fn note_reachable(&self) {
        if self.unreachable.load(Ordering::Relaxed) {
            self.reset();
        }
    }

    /// Whether a connection would let calls through again.
    pub(crate) fn waits_for_connection(&self) -> bool {
        self.closed_until.load(Ordering::Relaxed) != 0 && self.unreachable.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        // Usually there is nothing to do, and nothing is written.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.closed_until.store(0, Ordering::Relaxed);
            self.unreachable.store(false, Ordering::Relaxed);
        }
    }

    fn fail(&self, outage: Outage) -> bool {
        let unreachable = outage == Outage::NoConnection;
        self.unreachable.store(unreachable, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.settings.failures == 0 || failures < self.settings.failures {
            return false;
        }
        let until = after(self.now(), self.settings.pause);
        self.closed_until.swap(until, Ordering::Relaxed) == 0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Never 0, which means that calls are let through.
fn after(now: u64, pause: Duration) -> u64 {
    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add(pause).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(2);

    fn guard(calls: usize, failures: u32) -> Guard {
        Guard::new(Settings {
            calls,
            failures,
            pause: PAUSE,
        })
    }

    fn fails(guard: &Guard) -> bool {
        guard.note(&Err::<(), _>(CallError::UpstreamHttp { status: 503 }))
    }

    fn succeeds(guard: &Guard) -> bool {
        guard.note(&Ok(()))
    }

    #[tokio::test]
    async fn a_call_too_many_is_refused_at_once_until_another_ends() {
        let guard = guard(2, 0);
        let (one, _other) = (guard.enter().unwrap(), guard.enter().unwrap());
        assert!(matches!(guard.enter(), Err(CallError::Busy { .. })));
        drop(one);
        assert!(guard.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_fails_again_and_again_is_not_called_for_a_while() {
        let guard = guard(10, 3);
        assert!(
            !fails(&guard) && !fails(&guard) && fails(&guard),
            "the third"
        );
        let refused = guard.enter().unwrap_err();
        assert!(matches!(refused, CallError::GivenUp { retry_after } if retry_after == PAUSE));
        tokio::time::advance(PAUSE).await;
        // One finds out; the others wait for what it finds.
        assert!(guard.enter().is_ok());
        assert!(guard.enter().is_err());
        assert!(!fails(&guard), "it was not called before");
        tokio::time::advance(PAUSE).await;
        assert!(guard.enter().is_ok());
        succeeds(&guard);
        assert!(guard.enter().is_ok() && guard.enter().is_ok());
        assert!(!fails(&guard), "it begins from the start");
    }

    #[tokio::test]
    async fn successes_in_between_and_what_is_no_outage_keep_it_called() {
        let guard = guard(10, 2);
        for _ in 0..5 {
            fails(&guard);
            succeeds(&guard);
            assert!(!guard.note(&Err::<(), _>(CallError::Cancelled)));
        }
        for _ in 0..5 {
            guard.note(&Err::<(), _>(CallError::UpstreamHttp { status: 404 }));
        }
        assert!(guard.enter().is_ok());
        let never = self::guard(10, 0);
        for _ in 0..100 {
            fails(&never);
        }
        assert!(never.enter().is_ok());
    }

    #[tokio::test]
    async fn a_connection_is_enough_where_none_could_be_had() {
        let guard = guard(10, 1);
        let timed_out = CallError::TimedOut(crate::error::Stage::Connect);
        guard.note(&Err::<(), _>(timed_out));
        assert!(guard.waits_for_connection() && guard.enter().is_err());
        guard.note_reachable();
        assert!(guard.enter().is_ok());
        fails(&guard);
        assert!(!guard.waits_for_connection());
        guard.note_reachable();
        assert!(guard.enter().is_err(), "it answers, but not to calls");
    }
}
