//! Two rules about "too often", as pure functions of the time: a token bucket, and the delay after failures. Neither
//! holds anybody up for longer than it says when the clock is turned back.

use std::time::Duration;

use crate::clock::{Timestamp, millis};

/// How much is admitted: `burst` at once, refilled evenly so that `burst` more pass in every `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many pass at once, at least 1.
    pub burst: u32,
    /// The time in which an empty bucket fills up.
    pub period: Duration,
}

/// The fill level of a token bucket, kept as the moment at which it will be full again: the emptier, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    full_at: Timestamp,
}

/// Not now, but after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooOften {
    /// How long to wait for the next one to be admitted.
    pub retry_after: Duration,
}

impl Bucket {
    /// Takes one token; the bucket is unchanged by a refusal. One that could not be as empty as it is, because the clock
    /// was turned back, is full.
    pub fn admit(self, limit: &Limit, now: Timestamp) -> Result<Self, TooOften> {
        let period = millis(limit.period);
        let cost = (period / i64::from(limit.burst.max(1))).max(1);
        let latest = now + limit.period.max(Duration::from_millis(1));
        let filled = if self.full_at > latest {
            now
        } else {
            self.full_at.max(now)
        };
        let full_at = filled + Duration::from_millis(cost.unsigned_abs());
        if full_at > latest {
            return Err(TooOften {
                retry_after: full_at.since(latest),
            });
        }
        Ok(Self { full_at })
    }

    /// Whether it is full and can be forgotten.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.full_at <= now
    }
}

/// How failures slow the next attempt down: the first few are free, then the delay doubles with every failure up to a
/// bound. Nobody is locked out: after the delay an attempt is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureDelay {
    /// Failures without consequence.
    pub free: u32,
    /// The delay after the first failure that is not free.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// Failures are forgotten this long after the first of them.
    pub window: Duration,
}

impl FailureDelay {
    /// Whether an attempt is admitted after so many failures, the last of them at `last`. If that is yet to come, the
    /// clock was turned back since, and nobody knows for how long the delay has lasted: it is over.
    pub fn admit(&self, failures: u32, last: Timestamp, now: Timestamp) -> Result<(), TooOften> {
        let Some(excess) = failures
            .checked_sub(self.free)
            .and_then(|over| over.checked_sub(1))
        else {
            return Ok(());
        };
        let factor = 1_u32.checked_shl(excess).unwrap_or(u32::MAX);
        let delay = self
            .first
            .checked_mul(factor)
            .unwrap_or(self.longest)
            .min(self.longest);
        let until = last + delay;
        if now >= until || now < last {
            Ok(())
        } else {
            Err(TooOften {
                retry_after: until.since(now),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Limit = Limit {
        burst: 3,
        period: Duration::from_secs(30),
    };

    const DELAY: FailureDelay = FailureDelay {
        free: 5,
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
        window: Duration::from_mins(15),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn a_burst_passes_and_the_next_one_waits() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            bucket = bucket.admit(&LIMIT, at(0)).unwrap();
        }
        assert_eq!(
            bucket.admit(&LIMIT, at(0)),
            Err(TooOften {
                retry_after: Duration::from_secs(10)
            })
        );
        assert!(bucket.admit(&LIMIT, at(10)).is_ok());
        assert!(bucket.is_full(at(30)));
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_two_bursts(steps in prop::collection::vec(0_i64..20_000, 1..200)) {
            let (mut bucket, mut now, mut admitted) = (Bucket::default(), at(0), Vec::new());
            for step in steps {
                now = now + Duration::from_millis(step.unsigned_abs());
                if let Ok(next) = bucket.admit(&LIMIT, now) {
                    bucket = next;
                    admitted.push(now);
                }
            }
            for (index, first) in admitted.iter().enumerate() {
                let within = admitted.iter().skip(index).filter(|t| t.since(*first) < LIMIT.period).count();
                prop_assert!(within <= 6, "{within} in one period");
            }
        }

        #[test]
        fn a_refusal_tells_when_to_come_back(failures in 0_u32..1000, waited in 0_i64..100) {
            if let Err(TooOften { retry_after }) = DELAY.admit(failures, at(0), at(waited)) {
                prop_assert!(DELAY.admit(failures, at(0), at(waited) + retry_after).is_ok());
                prop_assert!(retry_after <= DELAY.longest);
            }
        }
    }

    // SEC-80
    #[test]
    fn a_clock_that_is_turned_back_makes_no_bucket_emptier() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            bucket = bucket.admit(&LIMIT, at(7200)).unwrap();
        }
        assert!(bucket.admit(&LIMIT, at(7200)).is_err());
        assert!(bucket.admit(&LIMIT, at(0)).is_ok());
    }

    // SEC-80
    #[test]
    fn a_clock_that_is_turned_back_makes_no_delay_longer() {
        assert!(DELAY.admit(40, at(7200), at(7200)).is_err());
        for now in [7199, 7140, 0] {
            assert_eq!(DELAY.admit(40, at(7200), at(now)), Ok(()), "{now}");
        }
    }

    // SEC-53
    #[test]
    fn delays_double_up_to_a_bound() {
        let delay = |failures| match DELAY.admit(failures, at(0), at(0)) {
            Ok(()) => 0,
            Err(refused) => refused.retry_after.as_secs(),
        };
        let delays: Vec<u64> = [0, 5, 6, 7, 8, 11, 12, 13, 40, 1000]
            .into_iter()
            .map(delay)
            .collect();
        assert_eq!(delays, [0, 0, 1, 2, 4, 32, 60, 60, 60, 60]);
    }
}
