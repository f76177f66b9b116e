//! The pace of requests' bodies: who sends one too slowly is given up (SEC-61, SEC-86).
//!
//! Only the time counts in which somebody waits for the client: a slow upstream is not the client's fault.
//! A body that comes together with its head, as most do, costs nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::BoxError;
use crate::edge::leftover::Lent;
use crate::edge::watch::{Registered, Watch};

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

/// How a body that is waited for comes along. Times are those of its connection's [`Watch`]; 0 is "not".
#[derive(Debug, Default)]
pub(crate) struct Progress {
    bytes: AtomicU64,
    waited: AtomicU64,
    waiting_since: AtomicU64,
    given_up: AtomicBool,
    reader: AtomicWaker,
}

impl Progress {
    fn waits(&self, now: u64, cx: &Context<'_>) {
        self.reader.register(cx.waker());
        if self.waiting_since.load(Ordering::Relaxed) == 0 {
            self.waiting_since.store(now, Ordering::Relaxed);
        }
    }

    fn came(&self, bytes: u64, now: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let since = self.waiting_since.swap(0, Ordering::Relaxed);
        if since != 0 {
            self.waited
                .fetch_add(now.saturating_sub(since), Ordering::Relaxed);
        }
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

/// A request's body on its way in.
pub(crate) struct Arriving {
    body: Source,
    watch: Arc<Watch>,
    bytes: u64,
    /// Since it was waited for.
    progress: Option<Registered<Progress>>,
}

/// Where a body comes from.
pub(crate) enum Source {
    /// From a connection that does not depend on it.
    Incoming(Incoming),
    /// From one that can be used again only after its end.
    Lent(Lent),
}

impl Arriving {
    pub(crate) const fn new(body: Source, watch: Arc<Watch>) -> Self {
        Self {
            body,
            watch,
            bytes: 0,
            progress: None,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.body {
            Source::Incoming(body) => Pin::new(body).poll_frame(cx),
            Source::Lent(body) => body.poll_frame(cx),
        };
        match polled {
            Poll::Pending => {
                let (watch, bytes) = (&self.watch, self.bytes);
                let progress = self.progress.get_or_insert_with(|| {
                    let registered = watch.body_is_waited_for();
                    registered.entry.came(bytes, watch.now());
                    registered
                });
                progress.entry.waits(watch.now(), cx);
                if progress.entry.given_up.load(Ordering::Acquire) {
                    return Poll::Ready(Some(Err(TooSlow.into())));
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.bytes += bytes;
                if let Some(progress) = &self.progress {
                    progress.entry.came(bytes, self.watch.now());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|end| end.map_err(Into::into))),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Incoming(body) => body.is_end_stream(),
            Source::Lent(body) => body.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Incoming(body) => body.size_hint(),
            Source::Lent(body) => body.size_hint(),
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
