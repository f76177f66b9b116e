//! How the database was when it was last looked at.

use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;

use crate::error::Error;

/// A change of the difference between the clocks that counts, in milliseconds: below it, each node's own will do.
const COUNTS: i64 = 1000;
/// A difference that the operator should know of.
const WORTH_SAYING: i64 = 5000;

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) failure: ArcSwapOption<Error>,
    /// Milliseconds by which the database's clock is ahead; a difference that does not count is none.
    pub(crate) ahead: AtomicI64,
}

impl Seen {
    /// Takes a difference over once it has changed by so much that it counts.
    pub(crate) fn measured(&self, ahead: i64) {
        let before = self.ahead.load(Ordering::Relaxed);
        if ahead.abs_diff(before) <= COUNTS.unsigned_abs() {
            return;
        }
        let now = if ahead.abs() > COUNTS { ahead } else { 0 };
        self.ahead.store(now, Ordering::Relaxed);
        if now.abs() >= WORTH_SAYING {
            tracing::warn!(
                milliseconds = now,
                "the database's clock is {now} ms ahead of this machine's, and is used in its place; \
                 hint: synchronize both, by NTP for instance"
            );
        } else {
            tracing::info!(
                milliseconds = now,
                "the database's clock is {now} ms ahead of this machine's"
            );
        }
    }
}
