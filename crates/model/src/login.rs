//! Whose attempt to log in is looked at now, and who has to wait: a pure function of the failures that were counted
//! (SEC-53, SEC-87).
//!
//! Guessing has to stay slow, and nobody may be locked out by it. So the failures of others make nobody wait: what they
//! do, once an account is being [guessed at](GUESSED_AT), is to make the failures that somebody has of their own weigh
//! more. An address without failures of its own is admitted, whatever happens elsewhere; so is a browser that has logged
//! in as this user before (a "device", as OWASP calls it), whatever happens at its address.
//!
//! The bound: an account can be guessed at from N addresses at most 100 + 6 N times in an hour, and 2,400 + 11 N times
//! in a day, on the average. One address alone has one guess a minute. For IPv6 an address is a /64, of which the first
//! 64 failures in a /48 weigh for themselves only. A stolen device cookie gives one guess a minute more, until the
//! password changes.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::rate::{FailureDelay, TooOften};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// From so many failures in [`GUESSING_WINDOW`] on, an account is being guessed at.
pub const GUESSED_AT: u32 = 100;

/// The time in which the failures of an account count as guessing.
pub const GUESSING_WINDOW: Duration = HOUR;

/// For failures at any account from one address, which many people may share.
pub const ADDRESS: FailureDelay = FailureDelay {
    free: 50,
    first: Duration::from_secs(1),
    longest: Duration::from_mins(1),
    window: Duration::from_mins(15),
};

/// For failures at one account from one address.
pub const ACCOUNT_AT_ADDRESS: FailureDelay = FailureDelay {
    free: 5,
    first: Duration::from_secs(1),
    longest: Duration::from_mins(1),
    window: DAY,
};

/// As [`ACCOUNT_AT_ADDRESS`], while the account is being guessed at.
pub const GUESSED_AT_FROM_ADDRESS: FailureDelay = FailureDelay {
    free: 0,
    first: Duration::from_mins(1),
    longest: DAY,
    window: DAY,
};

/// For failures at one account from the /48 of an IPv6 address, while the account is being guessed at: one customer has
/// up to 2^16 networks of 64 bits.
pub const GUESSED_AT_FROM_SITE: FailureDelay = FailureDelay {
    free: 64,
    ..GUESSED_AT_FROM_ADDRESS
};

/// For failures at one account from one browser that has logged in there before.
pub const DEVICE: FailureDelay = ACCOUNT_AT_ADDRESS;

/// What one counter shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many failures.
    pub n: u32,
    /// When the last of them was.
    pub last: Timestamp,
}

impl Failures {
    fn admit(self, rule: &FailureDelay, now: Timestamp) -> Result<(), TooOften> {
        rule.admit(self.n, self.last, now)
    }
}

/// What was counted about an attempt before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// At any account, from this address.
    pub address: Failures,
    /// At this account, from this address.
    pub account_at_address: Failures,
    /// At this account, from the site of this address, if it is known to be larger.
    pub account_at_site: Failures,
    /// At this account, from everywhere.
    pub account: Failures,
    /// At this account, from this browser, if it has logged in there before.
    pub device: Option<Failures>,
}

impl Counted {
    /// Whether the password is looked at. If neither the address nor the browser is admitted, both have to wait.
    pub fn admit(&self, now: Timestamp) -> Result<(), TooOften> {
        let device = self.device.map(|device| device.admit(&DEVICE, now));
        match (device, self.admit_address(now)) {
            (Some(Ok(())), _) | (_, Ok(())) => Ok(()),
            (None, Err(address)) => Err(address),
            (Some(Err(device)), Err(address)) => Err(TooOften {
                retry_after: device.retry_after.min(address.retry_after),
            }),
        }
    }

    fn admit_address(&self, now: Timestamp) -> Result<(), TooOften> {
        let guessed_at = self.account.n >= GUESSED_AT;
        let rules = if guessed_at {
            [
                (self.address, &ADDRESS),
                (self.account_at_address, &GUESSED_AT_FROM_ADDRESS),
                (self.account_at_site, &GUESSED_AT_FROM_SITE),
            ]
        } else {
            [
                (self.address, &ADDRESS),
                (self.account_at_address, &ACCOUNT_AT_ADDRESS),
                (Failures::default(), &GUESSED_AT_FROM_SITE),
            ]
        };
        let waits = rules
            .into_iter()
            .filter_map(|(failures, rule)| failures.admit(rule, now).err())
            .map(|refused| refused.retry_after);
        match waits.max() {
            None => Ok(()),
            Some(retry_after) => Err(TooOften { retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn failures(n: u32, seconds: i64) -> Failures {
        Failures {
            n,
            last: at(seconds),
        }
    }

    fn wait(counted: Counted, now: i64) -> u64 {
        match counted.admit(at(now)) {
            Ok(()) => 0,
            Err(TooOften { retry_after }) => retry_after.as_secs(),
        }
    }

    proptest! {
        // SEC-87
        #[test]
        fn without_failures_of_its_own_no_address_waits(account in 0_u32..100_000, site in 0_u32..=64, last in -10_i64..10) {
            let counted = Counted {
                account: failures(account, last),
                account_at_site: failures(site, last),
                ..Counted::default()
            };
            prop_assert_eq!(counted.admit(at(0)), Ok(()));
        }

        // SEC-87
        #[test]
        fn without_failures_of_its_own_no_known_browser_waits(n in 0_u32..100_000, last in -10_i64..10) {
            let others = failures(n, last);
            let counted = Counted {
                address: others,
                account_at_address: others,
                account_at_site: others,
                account: others,
                device: Some(Failures::default()),
            };
            prop_assert_eq!(counted.admit(at(0)), Ok(()));
        }
    }

    // SEC-53
    #[test]
    fn failures_of_ones_own_weigh_more_while_an_account_is_guessed_at() {
        let after = |own, account| {
            let counted = Counted {
                account_at_address: failures(own, 0),
                account: failures(account, 0),
                ..Counted::default()
            };
            wait(counted, 0)
        };
        assert_eq!([5, 6, 7, 40].map(|own| after(own, 99)), [0, 1, 2, 60]);
        assert_eq!(
            [0, 1, 2, 5, 40].map(|own| after(own, 100)),
            [0, 60, 120, 960, 86_400]
        );
    }

    // SEC-53
    #[test]
    fn a_browser_that_fails_waits_unless_its_address_is_admitted() {
        let counted = Counted {
            device: Some(failures(6, 0)),
            ..Counted::default()
        };
        assert_eq!(wait(counted, 0), 0);
        let both = Counted {
            account_at_address: failures(8, 0),
            ..counted
        };
        assert_eq!(wait(both, 0), 1);
    }

    /// One account, guessed at by whoever is admitted, as soon as they are; the failures of each hour.
    fn guesses(addresses: usize, hours: i64) -> Vec<usize> {
        let mut own: Vec<(Failures, i64)> = vec![(Failures::default(), 0); addresses];
        let (mut account, mut account_since) = (Failures::default(), 0);
        let mut by_hour = vec![0; usize::try_from(hours).unwrap()];
        for now in 0..hours * 60 * MINUTE {
            for (own, since) in &mut own {
                if now >= *since + 24 * 60 * MINUTE {
                    (*own, *since) = (Failures::default(), now);
                }
                if now >= account_since + 60 * MINUTE {
                    (account, account_since) = (Failures::default(), now);
                }
                let counted = Counted {
                    account_at_address: *own,
                    account,
                    ..Counted::default()
                };
                if counted.admit(at(now)).is_ok() {
                    for counter in [own, &mut account] {
                        counter.n += 1;
                        counter.last = at(now);
                    }
                    by_hour[usize::try_from(now / (60 * MINUTE)).unwrap()] += 1;
                }
            }
        }
        by_hour
    }

    // SEC-53: the bound of this module.
    #[test]
    fn guessing_stays_slow_from_any_number_of_addresses() {
        for addresses in [2, 20] {
            let by_hour = guesses(addresses, 48);
            let hour = *by_hour.iter().max().unwrap();
            assert!(hour <= 100 + 6 * addresses, "{addresses}: {by_hour:?}");
            let two_days: usize = by_hour.iter().sum();
            assert!(
                two_days <= 2 * (2_400 + 11 * addresses),
                "{addresses}: {two_days}"
            );
        }
        let alone = guesses(1, 24);
        assert!(alone.iter().all(|hour| *hour <= 72), "{alone:?}");
    }
}
