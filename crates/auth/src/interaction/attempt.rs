//! One attempt to log in, as the counters that all nodes share see it (SEC-53, SEC-87).
//!
//! An attempt is counted as a failure before the password is looked at, so that whoever hangs up early gains nothing,
//! and taken back when the password was right. Attempts from one address are made one after the other: those that are
//! under way elsewhere in this process count for nothing, so that right passwords that arrive at the same time hold
//! each other up for the milliseconds of a check and no longer.

use std::time::Duration;

use http::HeaderMap;
use model::clock::Timestamp;
use model::login::{self, Counted, Failures};
use model::password::PasswordHash;
use model::rate::TooOften;
use model::user::Username;
use store::Store;
use store::counter::{self, Count, CounterName};
use tokio::time::timeout;

use crate::cx::Cx;
use crate::failure::Internal;
use crate::interaction::device;
use crate::password_pool::PATIENCE;
use crate::queues::Turn;
use crate::source;

/// An attempt that is being made.
pub(crate) struct Attempt<'a> {
    store: &'a Store,
    counters: Counters,
    /// When it was counted. Not the moment of the request: that one may have been sent long before it was completed.
    at: Timestamp,
    /// What the counters showed before it.
    before: Shown,
    /// The next one from this address waits for its end.
    _turn: Turn,
}

/// Why an attempt is not made.
#[derive(Debug)]
pub(crate) enum Held {
    /// After too many failures.
    Back(TooOften),
    /// By others from the same address, for too long.
    Up,
    /// It could not be counted.
    Uncounted(Internal),
}

impl From<Internal> for Held {
    fn from(error: Internal) -> Self {
        Self::Uncounted(error)
    }
}

impl From<store::error::Error> for Held {
    fn from(error: store::error::Error) -> Self {
        Self::Uncounted(error.into())
    }
}

/// What is counted, and where.
struct Counters {
    address: Counter,
    account_at_address: Counter,
    device: Option<Counter>,
    account_at_site: Option<Counter>,
    account: Counter,
}

/// One counter, and how long it remembers.
struct Counter {
    name: CounterName,
    window: Duration,
}

/// What the counters show.
#[derive(Clone, Copy)]
struct Shown {
    address: Count,
    account_at_address: Count,
    device: Count,
    account_at_site: Count,
    account: Count,
}

impl Shown {
    /// As if the attempt that may be under way from this address had not been counted.
    fn without_one_under_way(mut self) -> Self {
        for count in [
            &mut self.address,
            &mut self.account_at_address,
            &mut self.device,
        ] {
            count.n = count.n.saturating_sub(1);
        }
        self
    }
}

impl<'a> Attempt<'a> {
    /// Begins an attempt, unless it comes too early. Unknown accounts are counted like known ones (SEC-54); `password` is that
    /// of a known one.
    pub(crate) async fn begin(
        cx: &'a Cx,
        headers: &HeaderMap,
        username: &Username,
        password: Option<&PasswordHash>,
    ) -> Result<Self, Held> {
        let store = &cx.app.store;
        let counters = Counters::of(cx, headers, username, password);
        // Who has to wait does not wait in the queue, too. One of what is counted may be an attempt that is being made, and is
        // taken back if its password is right.
        let shown = counters
            .read(store, cx.app.clock.now())
            .await?
            .without_one_under_way();
        if let Err(too_often) = counters.admit(&shown, cx.app.clock.now()) {
            return Err(Held::Back(too_often));
        }
        let turn = cx.app.logins.turn(counters.address.name.to_string());
        let Ok(turn) = timeout(PATIENCE, turn).await else {
            return Err(Held::Up);
        };
        let at = cx.app.clock.now();
        let before = counters.read(store, at).await?;
        if let Err(too_often) = counters.admit(&before, at) {
            return Err(Held::Back(too_often));
        }
        let attempt = Self {
            store,
            counters,
            at,
            before,
            _turn: turn,
        };
        attempt.count().await?;
        Ok(attempt)
    }

    /// Counts it as if it had failed already.
    async fn count(&self) -> Result<(), Held> {
        let mut shown = self.before;
        for (counter, shown) in [
            (Some(&self.counters.address), &mut shown.address),
            (
                Some(&self.counters.account_at_address),
                &mut shown.account_at_address,
            ),
            (self.counters.device.as_ref(), &mut shown.device),
        ] {
            let Some(counter) = counter else { continue };
            let counted = counter::add(self.store, &counter.name, counter.window, self.at).await?;
            let failures = counted.n.saturating_sub(1);
            if failures > shown.n {
                // Another node was faster: its attempts count as failures of this very moment.
                *shown = Count {
                    n: failures,
                    last_at: self.at,
                    ..*shown
                };
            }
        }
        if let Err(too_often) = self.counters.admit(&shown, self.at) {
            self.not_made().await?;
            return Err(Held::Back(too_often));
        }
        Ok(())
    }

    /// The password was wrong.
    pub(crate) async fn failed(&self) -> Result<(), Internal> {
        let more = [
            Some(&self.counters.account),
            self.counters.account_at_site.as_ref(),
        ];
        for counter in more.into_iter().flatten() {
            counter::add(self.store, &counter.name, counter.window, self.at).await?;
        }
        Ok(())
    }

    /// The password was right: the failures of the account are forgiven where it came from. Those of the address are
    /// not, as whoever guesses may have an account too, and those from elsewhere are not hers.
    pub(crate) async fn succeeded(&self) -> Result<(), Internal> {
        self.take_back(&self.counters.address, self.before.address)
            .await?;
        let forgiven = [
            Some(&self.counters.account_at_address),
            self.counters.device.as_ref(),
        ];
        for counter in forgiven.into_iter().flatten() {
            counter::clear(self.store, &counter.name).await?;
        }
        Ok(())
    }

    /// Nobody looked at the password.
    pub(crate) async fn not_made(&self) -> Result<(), Internal> {
        let (counters, before) = (&self.counters, &self.before);
        self.take_back(&counters.address, before.address).await?;
        self.take_back(&counters.account_at_address, before.account_at_address)
            .await?;
        if let Some(device) = &counters.device {
            self.take_back(device, before.device).await?;
        }
        Ok(())
    }

    async fn take_back(&self, counter: &Counter, before: Count) -> Result<(), Internal> {
        Ok(counter::take_back(self.store, &counter.name, self.at, before).await?)
    }
}

impl Counters {
    fn of(
        cx: &Cx,
        headers: &HeaderMap,
        username: &Username,
        password: Option<&PasswordHash>,
    ) -> Self {
        let (realm, account) = (cx.realm.config.name.as_str(), username.as_str());
        let address = source::name(cx.peer.address);
        let device = device::of_browser(cx, headers)
            .zip(password)
            .and_then(|(device, password)| device.known_for(cx, username, password));
        Self {
            address: Counter {
                name: CounterName::new("login-source", &[realm, &address]),
                window: login::ADDRESS.window,
            },
            account_at_address: Counter {
                name: CounterName::new("login-account-source", &[realm, account, &address]),
                window: login::ACCOUNT_AT_ADDRESS.window,
            },
            device: device.map(|device| Counter {
                name: CounterName::new("login-account-device", &[realm, account, &device]),
                window: login::DEVICE.window,
            }),
            account_at_site: source::site(cx.peer.address).map(|site| Counter {
                name: CounterName::new("login-account-site", &[realm, account, &site]),
                window: login::GUESSED_AT_FROM_SITE.window,
            }),
            account: Counter {
                name: CounterName::new("login-account", &[realm, account]),
                window: login::GUESSING_WINDOW,
            },
        }
    }

    async fn read(&self, store: &Store, now: Timestamp) -> Result<Shown, Internal> {
        let read = async |counter: Option<&Counter>| match counter {
            Some(counter) => counter::read_at(store, &counter.name, now).await,
            None => Ok(Count::default()),
        };
        Ok(Shown {
            address: read(Some(&self.address)).await?,
            account_at_address: read(Some(&self.account_at_address)).await?,
            device: read(self.device.as_ref()).await?,
            account_at_site: read(self.account_at_site.as_ref()).await?,
            account: read(Some(&self.account)).await?,
        })
    }

    fn admit(&self, shown: &Shown, now: Timestamp) -> Result<(), TooOften> {
        let failures = |count: Count| Failures {
            n: count.n,
            last: count.last_at,
        };
        let counted = Counted {
            address: failures(shown.address),
            account_at_address: failures(shown.account_at_address),
            account_at_site: failures(shown.account_at_site),
            account: failures(shown.account),
            device: self.device.as_ref().map(|_| failures(shown.device)),
        };
        counted.admit(now)
    }
}
