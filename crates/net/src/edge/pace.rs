//! The pace of requests' bodies: who sends one too slowly is given up (SEC-61, SEC-86).
//!
//! Only the time counts in which somebody waits for the client: a slow upstream is not the client's fault.
//! A body that comes together with its head, as most do, costs nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;

/// How fast a body has to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long nothing at all may come.
    pub idle: Duration,
    /// Waiting that is not held against the client.
    pub grace: Duration,
    /// Bytes per second beyond that, over the whole body.
    pub least_rate: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            least_rate: 1024,
        }
    }
}

impl Pace {
    /// Whether a body has taken too long of which so many bytes came, after so much waiting. Times are milliseconds.
    fn is_missed(&self, bytes: u64, waited: u64, silent: u64) -> bool {
        let earned = bytes.saturating_mul(1000) / u64::from(self.least_rate.max(1));
        u128::from(silent) > self.idle.as_millis()
            || u128::from(waited) > self.grace.as_millis() + u128::from(earned)
    }
}

/// The client sends its body too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body comes too slowly")]
pub(crate) struct TooSlow;

impl TooSlow {
    /// Whether an error has this one at its root.
    pub(crate) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        let mut error = Some(error);
        while let Some(one) = error {
            if one.is::<Self>() {
                return true;
            }
            error = one.source();
        }
        false
    }
}

/// How a body that is waited for comes along. Times are those of its connection's watch; 0 is "not".
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    waited: AtomicU64,
    waiting_since: AtomicU64,
    given_up: AtomicBool,
    reader: AtomicWaker,
}

impl Progress {
    pub(crate) fn waits(&self, now: u64, cx: &Context<'_>) {
        self.reader.register(cx.waker());
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn came(&self, bytes: u64, now: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let since = self.waiting_since.swap(0, Ordering::Relaxed);
        if since != 0 {
            self.waited
                .fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// Whether it came too slowly.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Gives the body up if it came too slowly, and tells whoever waits for it.
    pub(crate) fn judge(&self, pace: &Pace, now: u64) {
        let since = self.waiting_since.load(Ordering::Relaxed);
        if since == 0 {
            return;
        }
        let silent = now.saturating_sub(since);
        let waited = self.waited.load(Ordering::Relaxed) + silent;
        if pace.is_missed(self.bytes.load(Ordering::Relaxed), waited, silent) {
            self.given_up.store(true, Ordering::Release);
            self.reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-86
    #[test]
    fn a_body_has_to_come_at_the_least_rate_once_the_grace_is_over() {
        let pace = Pace::default();
        // (bytes, waited, silent), all but the first in milliseconds
        for (bytes, waited, silent, missed) in [
            (0, 10_000, 10_000, false),
            (0, 10_001, 10_001, true),
            (1, 10_001, 2_000, true),
            (10 * 1024, 20_000, 1_000, false),
            (10 * 1024, 20_001, 1_000, true),
            (1024 * 1024, 15_001, 15_001, true),
            (1024 * 1024, 600_000, 100, false),
        ] {
            assert_eq!(
                pace.is_missed(bytes, waited, silent),
                missed,
                "{bytes} bytes after {waited} ms"
            );
        }
    }
}
