//! Keeps one target from taking the whole process with it: a bound on calls under way, and a circuit breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use model::target::CircuitBreaker;
use parking_lot::Mutex;
use policy::call::Principal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::{CallError, Outage};

/// What a client that was refused because there is too much to do may wait before it tries again.
const BUSY: Duration = Duration::from_secs(1);

/// If calls of so many callers failed, and none succeeded in between, it is the target that fails.
const MANY: usize = 4;

/// Stands before a target.
#[derive(Debug)]
pub(crate) struct Guard {
    breaker: CircuitBreaker,
    places: Arc<Semaphore>,
    began: Instant,
    /// Failures since the last success.
    failures: AtomicU32,
    /// Whose calls these were.
    whose: Mutex<Whose>,
    /// Milliseconds since `began` until which no call is let through; 0 if all are.
    closed_until: AtomicU64,
    /// Whether connecting failed: then any connection proves the contrary.
    unreachable: AtomicBool,
}

/// Whose calls failed in a row. A caller may have failures of its own making, by arguments for instance upon which the
/// target breaks, and a few may do so together: those say nothing about the calls of others.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Fewer than [`MANY`].
    Few(Vec<Principal>),
    All,
}

/// Whose calls are not let through any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Those of the callers whose calls failed, who are few.
    ForFew,
    /// All.
    ForAll,
}

/// A call that was let through; it has a place until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// A call whose answer is a stream that has begun: it has its place until this is dropped.
#[derive(Debug)]
pub struct UnderWay {
    _place: Place,
    /// Nothing was heard when the stream was handed out: it waits for the first message, which says that the target serves.
    unheard: Option<Arc<Guard>>,
}

impl UnderWay {
    pub(crate) const fn new(place: Place, unheard: Option<Arc<Guard>>) -> Self {
        Self {
            _place: place,
            unheard,
        }
    }

    /// There is a message.
    pub(crate) fn heard(&mut self) {
        if let Some(guard) = self.unheard.take() {
            guard.note_served();
        }
    }
}

impl Guard {
    /// Of a target that may have so many calls under way.
    pub(crate) fn new(calls: usize, breaker: CircuitBreaker) -> Self {
        Self {
            breaker,
            places: Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS))),
            began: Instant::now(),
            failures: AtomicU32::new(0),
            whose: Mutex::new(Whose::Few(Vec::new())),
            closed_until: AtomicU64::new(0),
            unreachable: AtomicBool::new(false),
        }
    }

    /// Lets a call through, or refuses it at once.
    pub(crate) fn enter(&self, caller: &Principal) -> Result<Place, CallError> {
        let until = self.closed_until.load(Ordering::Relaxed);
        if until != 0 && self.is_closed_for(caller) {
            self.enter_half_open(until)?;
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        place
            .map(Place)
            .map_err(|_| CallError::Busy { retry_after: BUSY })
    }

    fn is_closed_for(&self, caller: &Principal) -> bool {
        match &*self.whose.lock() {
            Whose::Few(blamed) => blamed.is_empty() || blamed.contains(caller),
            Whose::All => true,
        }
    }

    /// After the pause one call at a time finds out whether the target is back.
    fn enter_half_open(&self, until: u64) -> Result<(), CallError> {
        let now = self.now();
        let next = after(now, self.breaker.pause);
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

    /// Notes how a call ended. Says whose calls are not let through any more from now on.
    pub(crate) fn note<T>(
        &self,
        caller: &Principal,
        outcome: &Result<T, CallError>,
    ) -> Option<GivenUp> {
        let outage = match outcome {
            Ok(_) => None,
            Err(error) if error.says_nothing() => return None,
            Err(error) => error.outage(),
        };
        match outage {
            None => {
                self.note_served();
                None
            }
            Some(outage) => self.fail(outage, caller),
        }
    }

    /// A connection came about. That is enough to call again where none could be had.
    pub(crate) fn note_reachable(&self) {
        if self.unreachable.load(Ordering::Relaxed) {
            self.note_served();
        }
    }

    /// Whether a connection would let calls through again.
    pub(crate) fn waits_for_connection(&self) -> bool {
        self.closed_until.load(Ordering::Relaxed) != 0 && self.unreachable.load(Ordering::Relaxed)
    }

    /// The target does what it is there for.
    pub(crate) fn note_served(&self) {
        // Usually there is nothing to do, and nothing is written. Both are asked: a failure that is noted at the same time
        // counts first and closes afterwards.
        if self.failures.load(Ordering::Relaxed) != 0
            || self.closed_until.load(Ordering::Relaxed) != 0
        {
            *self.whose.lock() = Whose::Few(Vec::new());
            self.failures.store(0, Ordering::Relaxed);
            self.closed_until.store(0, Ordering::Relaxed);
            self.unreachable.store(false, Ordering::Relaxed);
        }
    }

    fn fail(&self, outage: Outage, caller: &Principal) -> Option<GivenUp> {
        let unreachable = outage == Outage::NoConnection;
        self.unreachable.store(unreachable, Ordering::Relaxed);
        let (for_all, was_for_all) = self.blame(caller, unreachable);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.breaker.failures == 0 || failures < self.breaker.failures {
            return None;
        }
        let until = after(self.now(), self.breaker.pause);
        let was_closed = self.closed_until.swap(until, Ordering::Relaxed) != 0;
        match (for_all, was_closed) {
            (true, true) if was_for_all => None,
            (true, _) => Some(GivenUp::ForAll),
            (false, true) => None,
            (false, false) => Some(GivenUp::ForFew),
        }
    }

    /// Adds a caller to those whose calls failed. Whether that is to be held against the target, now and before.
    fn blame(&self, caller: &Principal, unreachable: bool) -> (bool, bool) {
        let mut whose = self.whose.lock();
        let was_for_all = *whose == Whose::All;
        match &mut *whose {
            // That no connection comes about is nobody's doing.
            _ if unreachable => *whose = Whose::All,
            Whose::Few(blamed) if blamed.contains(caller) => {}
            Whose::Few(blamed) if blamed.len() + 1 < MANY => blamed.push(caller.clone()),
            Whose::Few(_) => *whose = Whose::All,
            Whose::All => {}
        }
        (*whose == Whose::All, was_for_all)
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
        let breaker = CircuitBreaker {
            failures,
            pause: PAUSE,
        };
        Guard::new(calls, breaker)
    }

    fn alice() -> Principal {
        Principal::new("alice")
    }

    fn enter(guard: &Guard) -> Result<Place, CallError> {
        guard.enter(&alice())
    }

    fn fails_for(guard: &Guard, caller: &str) -> Option<GivenUp> {
        let failure = Err::<(), _>(CallError::UpstreamHttp { status: 503 });
        guard.note(&Principal::new(caller), &failure)
    }

    fn fails(guard: &Guard) -> bool {
        fails_for(guard, "alice").is_some()
    }

    fn succeeds(guard: &Guard) {
        assert_eq!(guard.note(&alice(), &Ok(())), None);
    }

    // SEC-79
    #[tokio::test(start_paused = true)]
    async fn what_fails_for_few_callers_is_not_closed_to_others() {
        let guard = guard(10, 3);
        let (bob, erin) = (Principal::new("bob"), Principal::new("erin"));
        for _ in 0..2 {
            assert_eq!(fails_for(&guard, "alice"), None);
        }
        assert_eq!(fails_for(&guard, "alice"), Some(GivenUp::ForFew));
        for _ in 0..20 {
            assert!(enter(&guard).is_err() && guard.enter(&bob).is_ok());
            assert_eq!(fails_for(&guard, "alice"), None, "a call from before");
        }
        // Some help: it is closed to them as well, and to nobody else, however often they try.
        for _ in 0..20 {
            assert_eq!(fails_for(&guard, "bob"), None);
            assert_eq!(fails_for(&guard, "carol"), None);
            assert!(guard.enter(&bob).is_err() && guard.enter(&erin).is_ok());
        }
        // It fails for many.
        assert_eq!(fails_for(&guard, "dora"), Some(GivenUp::ForAll));
        assert_eq!(fails_for(&guard, "erin"), None, "it is closed already");
        assert!(guard.enter(&bob).is_err() && guard.enter(&erin).is_err());
        tokio::time::advance(PAUSE).await;
        assert!(guard.enter(&bob).is_ok());
        guard.note(&bob, &Ok(()));
        assert!(enter(&guard).is_ok() && guard.enter(&bob).is_ok());
    }

    #[tokio::test]
    async fn a_call_too_many_is_refused_at_once_until_another_ends() {
        let guard = guard(2, 0);
        let (one, _other) = (enter(&guard).unwrap(), enter(&guard).unwrap());
        assert!(matches!(enter(&guard), Err(CallError::Busy { .. })));
        drop(one);
        assert!(enter(&guard).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_fails_again_and_again_is_not_called_for_a_while() {
        let guard = guard(10, 3);
        assert!(
            !fails(&guard) && !fails(&guard) && fails(&guard),
            "the third"
        );
        let refused = enter(&guard).unwrap_err();
        assert!(matches!(refused, CallError::GivenUp { retry_after } if retry_after == PAUSE));
        tokio::time::advance(PAUSE).await;
        // One finds out; the others wait for what it finds.
        assert!(enter(&guard).is_ok());
        assert!(enter(&guard).is_err());
        assert!(!fails(&guard), "it was not called before");
        tokio::time::advance(PAUSE).await;
        assert!(enter(&guard).is_ok());
        succeeds(&guard);
        assert!(enter(&guard).is_ok() && enter(&guard).is_ok());
        assert!(!fails(&guard), "it begins from the start");
    }

    #[tokio::test]
    async fn successes_in_between_and_what_is_no_outage_keep_it_called() {
        let guard = guard(10, 2);
        for _ in 0..5 {
            fails(&guard);
            succeeds(&guard);
            let cancelled = Err::<(), _>(CallError::Cancelled);
            assert_eq!(guard.note(&alice(), &cancelled), None);
        }
        for _ in 0..5 {
            guard.note(
                &alice(),
                &Err::<(), _>(CallError::UpstreamHttp { status: 404 }),
            );
        }
        assert!(enter(&guard).is_ok());
        let never = self::guard(10, 0);
        for _ in 0..100 {
            fails(&never);
        }
        assert!(enter(&never).is_ok());
    }

    // SEC-90: what stays closed behind a success lets one call through per pause, and nothing tells it to open.
    #[tokio::test(start_paused = true)]
    async fn a_success_opens_what_a_failure_closes_at_the_same_moment() {
        let guard = guard(10, 1);
        // The failure has been counted, the success takes that back, and only then the failure closes.
        guard.failures.fetch_add(1, Ordering::Relaxed);
        succeeds(&guard);
        let until = after(guard.now(), PAUSE);
        guard.closed_until.store(until, Ordering::Relaxed);
        assert!(enter(&guard).is_err());
        tokio::time::advance(PAUSE).await;
        assert!(enter(&guard).is_ok());
        succeeds(&guard);
        assert!(enter(&guard).is_ok() && enter(&guard).is_ok());
    }

    // SEC-79, UC-10
    #[tokio::test(start_paused = true)]
    async fn what_says_nothing_about_the_target_is_neither_a_success_nor_a_failure() {
        use crate::error::Stage;
        for nothing in [
            CallError::Cancelled,
            CallError::Busy { retry_after: BUSY },
            CallError::GivenUp { retry_after: BUSY },
            CallError::NoRoom(crate::meter::NoRoom::OfCaller),
            CallError::WrongTarget,
            CallError::ClosedMidStream,
            CallError::TimedOut(Stage::Idle),
            CallError::TimedOut(Stage::Total),
        ] {
            let guard = guard(10, 3);
            let ends = || guard.note(&alice(), &Err::<(), _>(nothing.clone()));
            for _ in 0..5 {
                assert_eq!(ends(), None);
            }
            assert!(!fails(&guard) && !fails(&guard), "{nothing}: no failure");
            assert_eq!(ends(), None);
            assert!(fails(&guard), "{nothing}: no success");
            assert_eq!(ends(), None);
            assert!(enter(&guard).is_err(), "{nothing}: not open");
            tokio::time::advance(PAUSE).await;
            assert!(enter(&guard).is_ok(), "{nothing}: another finds out");
        }
    }

    #[tokio::test]
    async fn a_connection_is_enough_where_none_could_be_had() {
        let guard = guard(10, 1);
        let timed_out = CallError::TimedOut(crate::error::Stage::Connect);
        guard.note(&alice(), &Err::<(), _>(timed_out));
        assert!(guard.waits_for_connection() && enter(&guard).is_err());
        guard.note_reachable();
        assert!(enter(&guard).is_ok());
        fails(&guard);
        assert!(!guard.waits_for_connection());
        guard.note_reachable();
        assert!(enter(&guard).is_err(), "it answers, but not to calls");
    }
}
