//! How much one caller may have under way at once: calls, streams, bytes in memory (SEC-79).
//!
//! The bounds are far above what an honest client does. Whoever meets one is refused at once, with the advice to try
//! again: waiting would only make the pile higher. A caller is a subject at a client of an issuer, whatever tokens it has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::clock::Timestamp;
use model::gateway::CallerLimits;
use parking_lot::Mutex;
use targets::meter::{Held, Meter, NoRoom};

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// Of one caller's calls.
    #[error("this caller has as many calls under way as it may have")]
    Calls,
    /// Of one caller's streams.
    #[error("this caller has as many streams open as it may have")]
    Streams,
    /// Of one caller's sessions that it ended within an hour: each is remembered everywhere until it would have expired.
    #[error("this caller has ended as many sessions within an hour as it may")]
    EndedSessions,
    /// Of messages in memory.
    #[error(transparent)]
    Bytes(#[from] NoRoom),
}

impl TooMuch {
    /// Whether the caller itself is to blame.
    pub(crate) const fn is_of_the_caller(self) -> bool {
        match self {
            Self::Calls | Self::Streams | Self::EndedSessions | Self::Bytes(NoRoom::OfCaller) => {
                true
            }
            Self::Bytes(NoRoom::OfAll) => false,
        }
    }

    /// A word for logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calls => "too_many_calls",
            Self::Streams => "too_many_streams",
            Self::EndedSessions => "too_many_ended_sessions",
            Self::Bytes(NoRoom::OfCaller) => "too_many_bytes",
            Self::Bytes(NoRoom::OfAll) => "too_many_bytes_of_all",
        }
    }
}

/// What the callers of one gateway have under way.
#[derive(Debug)]
pub(crate) struct Quotas {
    limits: CallerLimits,
    bytes_of_all: Arc<AtomicUsize>,
    callers: Mutex<Callers>,
}

#[derive(Debug, Default)]
struct Callers {
    usages: HashMap<[u8; 32], Weak<Usage>>,
    /// So many there may be before those are looked for who are gone.
    until_swept: usize,
}

/// What one caller has under way.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: CallerLimits,
    reading: AtomicUsize,
    calls: AtomicUsize,
    streams: AtomicUsize,
    bytes: AtomicUsize,
    bytes_of_all: Arc<AtomicUsize>,
    ended_sessions: Mutex<Ended>,
}

/// How many sessions ended within the hour that began then.
#[derive(Debug)]
struct Ended {
    since: Timestamp,
    count: usize,
}

/// How many sessions one caller may end within an hour. Some clients have one for each call.
const ENDED_SESSIONS: usize = 2000;
const AN_HOUR: Duration = Duration::from_hours(1);

impl Quotas {
    pub(crate) fn new(limits: CallerLimits) -> Self {
        Self {
            limits,
            bytes_of_all: Arc::default(),
            callers: Mutex::default(),
        }
    }

    /// What the caller of this fingerprint has under way, with whichever token.
    pub(crate) fn of(&self, fingerprint: &[u8; 32]) -> Arc<Usage> {
        let mut callers = self.callers.lock();
        if let Some(usage) = callers.usages.get(fingerprint).and_then(Weak::upgrade) {
            return usage;
        }
        if callers.usages.len() >= callers.until_swept {
            callers.usages.retain(|_, usage| usage.strong_count() > 0);
            callers.until_swept = 2 * callers.usages.len() + 64;
        }
        let usage = Arc::new(Usage {
            limits: self.limits,
            reading: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bytes_of_all: Arc::clone(&self.bytes_of_all),
            ended_sessions: Mutex::new(Ended {
                since: Timestamp::from_seconds(0),
                count: 0,
            }),
        });
        callers.usages.insert(*fingerprint, Arc::downgrade(&usage));
        usage
    }
}

/// Which count of a [`Usage`] a place is of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Reading,
    Call,
    Stream,
}

/// One of so many at once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    usage: Arc<Usage>,
    kind: Kind,
}

impl Usage {
    /// A place to read a request in. Others than those of calls, so that who waits for many can still cancel them.
    pub(crate) fn reading(self: &Arc<Self>) -> Result<Place, TooMuch> {
        self.place(Kind::Reading)
    }

    /// A place for a request that is being answered.
    pub(crate) fn call(self: &Arc<Self>) -> Result<Place, TooMuch> {
        self.place(Kind::Call)
    }

    /// A place for a stream that stays open.
    pub(crate) fn stream(self: &Arc<Self>) -> Result<Place, TooMuch> {
        self.place(Kind::Stream)
    }

    /// Counts a session that is ended.
    pub(crate) fn ended_session(&self, now: Timestamp) -> Result<(), TooMuch> {
        let mut ended = self.ended_sessions.lock();
        if now < ended.since || now >= ended.since + AN_HOUR {
            *ended = Ended {
                since: now,
                count: 0,
            };
        }
        if ended.count >= ENDED_SESSIONS {
            return Err(TooMuch::EndedSessions);
        }
        ended.count += 1;
        Ok(())
    }

    fn place(self: &Arc<Self>, kind: Kind) -> Result<Place, TooMuch> {
        let (limit, refusal) = match kind {
            Kind::Reading | Kind::Call => (self.limits.calls, TooMuch::Calls),
            Kind::Stream => (self.limits.streams, TooMuch::Streams),
        };
        add(self.count(kind), 1, limit, refusal)?;
        Ok(Place {
            usage: Arc::clone(self),
            kind,
        })
    }

    const fn count(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Reading => &self.reading,
            Kind::Call => &self.calls,
            Kind::Stream => &self.streams,
        }
    }

    /// Counts the bytes of one message while it is in memory.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        let usage = Arc::clone(self);
        Held::new(usage)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.usage.count(self.kind).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds to a count, unless that makes it too high.
fn add<E>(count: &AtomicUsize, more: usize, limit: usize, refusal: E) -> Result<(), E> {
    let before = count.fetch_add(more, Ordering::Relaxed);
    if before.saturating_add(more) > limit {
        count.fetch_sub(more, Ordering::Relaxed);
        return Err(refusal);
    }
    Ok(())
}

/// What a request takes up until it is answered, or longer if it is carried on.
#[derive(Debug)]
pub(crate) struct Burden {
    pub(crate) _place: Place,
    pub(crate) _request: Held,
}

impl Meter for Usage {
    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let limits = &self.limits;
        add(&self.bytes, bytes, limits.bytes, NoRoom::OfCaller)?;
        let of_all = &self.bytes_of_all;
        add(of_all, bytes, limits.bytes_of_all, NoRoom::OfAll).inspect_err(|_| {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        })
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes_of_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use targets::meter::SMALL;

    use super::*;

    const LIMITS: CallerLimits = CallerLimits {
        calls: 2,
        streams: 1,
        bytes: 100_000,
        bytes_of_all: 150_000,
    };

    // SEC-79
    #[test]
    fn a_caller_has_so_many_places_and_gets_them_back() {
        let quotas = Quotas::new(LIMITS);
        let alice = quotas.of(&[1; 32]);
        let calls = [alice.call().unwrap(), alice.call().unwrap()];
        assert_eq!(alice.call().unwrap_err(), TooMuch::Calls);
        assert!(alice.reading().is_ok(), "to cancel one of them");
        let _stream = alice.stream().unwrap();
        assert_eq!(alice.stream().unwrap_err(), TooMuch::Streams);
        assert!(quotas.of(&[2; 32]).call().is_ok(), "somebody else");
        assert!(quotas.of(&[1; 32]).call().is_err(), "with another token");
        drop(calls);
        assert!(alice.call().is_ok());
    }

    // SEC-79
    #[test]
    fn bytes_are_bounded_for_each_and_for_all() {
        let quotas = Quotas::new(LIMITS);
        let (alice, bob) = (quotas.of(&[1; 32]), quotas.of(&[2; 32]));
        let mut first = alice.hold();
        first.grow(80_000).unwrap();
        let mut second = alice.hold();
        assert_eq!(second.grow(80_000), Err(NoRoom::OfCaller));
        let mut of_bob = bob.hold();
        assert_eq!(of_bob.grow(80_000), Err(NoRoom::OfAll));
        drop(first);
        assert!(bob.hold().grow(80_000).is_ok());
        assert_eq!(bob.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(quotas.bytes_of_all.load(Ordering::Relaxed), 0);
    }

    // SEC-79
    #[test]
    fn a_message_counts_until_its_last_byte_was_taken() {
        let quotas = Quotas::new(LIMITS);
        let alice = quotas.of(&[1; 32]);
        let kept = |size: usize| {
            let mut held = alice.hold();
            held.grow(size / 2).unwrap();
            held.grow(size - size / 2).unwrap();
            held.keep(vec![b'x'; size])
        };
        let counted = || alice.bytes.load(Ordering::Relaxed);
        let small = kept(SMALL);
        assert_eq!((small.len(), counted()), (SMALL, 0));
        let mut large = kept(90_000);
        assert_eq!((large.len(), counted()), (90_000, 90_000));
        let tail = large.split_off(80_000);
        drop(large);
        assert_eq!(counted(), 90_000);
        drop(tail);
        assert_eq!(counted(), 0);
    }

    // SEC-79
    #[test]
    fn a_caller_ends_so_many_sessions_within_an_hour() {
        let alice = Quotas::new(LIMITS).of(&[1; 32]);
        let now = Timestamp::from_seconds(1_000_000);
        for _ in 0..ENDED_SESSIONS {
            alice.ended_session(now).unwrap();
        }
        assert_eq!(alice.ended_session(now), Err(TooMuch::EndedSessions));
        assert_eq!(alice.ended_session(now + AN_HOUR), Ok(()));
    }

    #[test]
    fn callers_that_are_gone_are_forgotten() {
        let quotas = Quotas::new(LIMITS);
        let stays = quotas.of(&[255; 32]);
        for number in 0_u32..10_000 {
            let mut fingerprint = [0; 32];
            fingerprint[..4].copy_from_slice(&number.to_be_bytes());
            quotas.of(&fingerprint);
        }
        assert!(quotas.callers.lock().usages.len() < 200);
        assert!(Arc::ptr_eq(&stays, &quotas.of(&[255; 32])));
    }
}
