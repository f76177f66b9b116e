//! How much fetching strangers may cause (SEC-27), and that they never cause what others need to fail.
//!
//! There are four lanes, none of which can be filled by what belongs into another: what the operator named; what has
//! given a valid document before; what a stranger names first at an origin; and whatever that stranger names there
//! beside it. So whoever invents URLs uses up a lane that nobody else needs, and whoever comes for the first time gets
//! through, until as many addresses attack as there are places for newcomers.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::network;

/// How many origins and sources are remembered; beyond that, new ones are refused.
const REMEMBERED: usize = 16 * 1024;

const MINUTE: Duration = Duration::from_mins(1);

/// So often within a minute a site counts as one that comes to an origin for the first time: for the document of a
/// client, and for the keys that it refers to.
const FIRST: usize = 2;

/// The least time between two looks for what need not be remembered any more.
const SWEEP: Duration = Duration::from_secs(1);

/// The budgets. The default is that of SEC-27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Fetches at the same time, in each lane.
    pub in_flight: usize,
    /// The same in the lane of strangers who come for the first time.
    pub newcomers_in_flight: usize,
    /// Fetches at the same time per origin, in each lane.
    pub in_flight_per_origin: usize,
    /// Fetches at the same time on a stranger's account, by source address; those that wait for their turn count.
    pub in_flight_per_source: usize,
    /// Fetches per minute per origin that strangers cause beyond the first ones of each.
    pub per_origin: u32,
    /// Fetches per minute per origin by strangers (IPv6: by /48) who come there for the first time.
    pub newcomers_per_origin: u32,
    /// Fetches per minute per origin of what has given a valid document before.
    pub renewals_per_origin: u32,
    /// Fetches per minute on a stranger's account, by source address (IPv6: per /64). Far fewer
    /// than an origin allows, so that it takes many to use one up.
    pub per_source: u32,
    /// How long a fetch waits for its turn.
    pub patience: Duration,
    /// How long one that the operator named waits.
    pub own_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 16,
            newcomers_in_flight: 48,
            in_flight_per_origin: 4,
            in_flight_per_source: 2,
            per_origin: 30,
            newcomers_per_origin: 90,
            renewals_per_origin: 60,
            per_source: 8,
            patience: Duration::from_secs(2),
            own_patience: Duration::from_secs(10),
        }
    }
}

/// On whose account a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The operator named the URL: how often it is fetched is bounded by the cache.
    Configured,
    /// The URL has given a valid document before: bounded by the cache as well, whoever asks.
    Known,
    /// Somebody at this address named the URL, and may have invented it.
    Stranger(IpAddr),
}

/// Which budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetRefusal {
    /// Too many fetches at the same time.
    #[error("too many fetches at the same time")]
    Busy,
    /// Too many fetches from this origin at the same time.
    #[error("too many fetches from this origin at the same time")]
    OriginBusy,
    /// Too many fetches from this origin in the last minute.
    #[error("too many fetches from this origin")]
    OriginRate,
    /// This source address caused too many fetches in the last minute, or too many at the same time.
    #[error("too many fetches caused by this address")]
    SourceRate,
}

/// Counts fetches, over several caches.
#[derive(Debug)]
pub struct Budgets {
    settings: Settings,
    configured: Lane,
    known: Lane,
    newcomers: Lane,
    strangers: Lane,
    sources: Mutex<Bounded<IpAddr, SourceUse>>,
}

/// What one kind of fetch uses up.
#[derive(Debug)]
struct Lane {
    /// Fetches per minute per origin; `None` for as many as the cache causes.
    per_origin: Option<u32>,
    in_flight_per_origin: usize,
    everything: Arc<Semaphore>,
    origins: Mutex<Bounded<Box<str>, OriginUse>>,
}

#[derive(Debug)]
struct OriginUse {
    allowance: Allowance,
    slots: Arc<Semaphore>,
    /// When each site came that came within the last minute. No longer than that many are allowed.
    came: Vec<(IpAddr, Instant)>,
}

#[derive(Debug)]
struct SourceUse {
    allowance: Allowance,
    slots: Arc<Semaphore>,
}

/// So many per minute, by the generic cell rate algorithm: one instant is the whole state.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    used_until: Instant,
}

impl Allowance {
    const fn full(now: Instant) -> Self {
        Self { used_until: now }
    }

    fn is_full(&self, now: Instant) -> bool {
        self.used_until <= now
    }

    fn take(&mut self, per_minute: u32, now: Instant) -> bool {
        let each = MINUTE / per_minute.max(1);
        let next = self.used_until.max(now) + each;
        let allowed = per_minute > 0 && next <= now + MINUTE;
        if allowed {
            self.used_until = next;
        }
        allowed
    }
}

/// The right to fetch once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _all: OwnedSemaphorePermit,
    _origin: OwnedSemaphorePermit,
    _source: Option<OwnedSemaphorePermit>,
}

impl Budgets {
    /// Full budgets.
    pub fn new(settings: Settings) -> Self {
        let lane = |per_origin, in_flight| Lane {
            per_origin,
            in_flight_per_origin: settings.in_flight_per_origin,
            everything: Arc::new(Semaphore::new(in_flight)),
            origins: Mutex::default(),
        };
        Self {
            settings,
            configured: lane(None, settings.in_flight),
            known: lane(Some(settings.renewals_per_origin), settings.in_flight),
            newcomers: lane(
                Some(settings.newcomers_per_origin),
                settings.newcomers_in_flight,
            ),
            strangers: lane(Some(settings.per_origin), settings.in_flight),
            sources: Mutex::default(),
        }
    }

    /// Takes from every budget, or says which one is used up.
    pub(crate) async fn take(
        &self,
        origin: &str,
        account: Account,
        now: Instant,
    ) -> Result<Permit, BudgetRefusal> {
        let deadline = now + self.settings.patience;
        match account {
            Account::Configured => {
                let deadline = now + self.settings.own_patience;
                let slots = self.configured.take(origin, now)?;
                self.configured.wait(slots, None, deadline).await
            }
            Account::Known => {
                let slots = self.known.take(origin, now)?;
                self.known.wait(slots, None, deadline).await
            }
            Account::Stranger(source) => {
                let source = network::household(source);
                let own = self.take_source(source, now)?;
                let own = wait(own, deadline, BudgetRefusal::SourceRate).await?;
                let (lane, slots) = match self.newcomers.welcome(origin, network::site(source), now)
                {
                    Some(slots) => (&self.newcomers, slots),
                    None => (&self.strangers, self.strangers.take(origin, now)?),
                };
                lane.wait(slots, Some(own), deadline).await
            }
        }
    }

    fn take_source(&self, source: IpAddr, now: Instant) -> Result<Arc<Semaphore>, BudgetRefusal> {
        let mut sources = self.sources.lock();
        let used = sources.entry(
            source,
            now,
            |used| used.allowance.is_full(now) && Arc::strong_count(&used.slots) == 1,
            || SourceUse {
                allowance: Allowance::full(now),
                slots: Arc::new(Semaphore::new(self.settings.in_flight_per_source)),
            },
        );
        let used = used.ok_or(BudgetRefusal::SourceRate)?;
        if used.allowance.take(self.settings.per_source, now) {
            Ok(Arc::clone(&used.slots))
        } else {
            Err(BudgetRefusal::SourceRate)
        }
    }
}

impl Lane {
    fn origin<R>(
        &self,
        origin: &str,
        now: Instant,
        and_then: impl FnOnce(&mut OriginUse) -> Option<R>,
    ) -> Result<R, BudgetRefusal> {
        let mut origins = self.origins.lock();
        let used = origins.entry(
            origin.into(),
            now,
            |used| {
                used.allowance.is_full(now)
                    && Arc::strong_count(&used.slots) == 1
                    && used.came.iter().all(|(_, at)| *at + MINUTE <= now)
            },
            || OriginUse {
                allowance: Allowance::full(now),
                slots: Arc::new(Semaphore::new(self.in_flight_per_origin)),
                came: Vec::new(),
            },
        );
        and_then(used.ok_or(BudgetRefusal::Busy)?).ok_or(BudgetRefusal::OriginRate)
    }

    /// Takes one of the origin's allowance.
    fn take(&self, origin: &str, now: Instant) -> Result<Arc<Semaphore>, BudgetRefusal> {
        self.origin(origin, now, |used| self.allow(used, now))
    }

    /// The same for a site that has hardly come to this origin within a minute.
    fn welcome(&self, origin: &str, site: IpAddr, now: Instant) -> Option<Arc<Semaphore>> {
        self.origin(origin, now, |used| {
            used.came.retain(|(_, at)| *at + MINUTE > now);
            let came = used.came.iter().filter(|(known, _)| *known == site);
            if came.count() >= FIRST {
                return None;
            }
            let slots = self.allow(used, now)?;
            used.came.push((site, now));
            Some(slots)
        })
        .ok()
    }

    fn allow(&self, used: &mut OriginUse, now: Instant) -> Option<Arc<Semaphore>> {
        let allowed = self
            .per_origin
            .is_none_or(|per_minute| used.allowance.take(per_minute, now));
        allowed.then(|| Arc::clone(&used.slots))
    }

    async fn wait(
        &self,
        slots: Arc<Semaphore>,
        one_of_source: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> Result<Permit, BudgetRefusal> {
        let one_of_origin = wait(slots, deadline, BudgetRefusal::OriginBusy).await?;
        let all = Arc::clone(&self.everything);
        Ok(Permit {
            _all: wait(all, deadline, BudgetRefusal::Busy).await?,
            _origin: one_of_origin,
            _source: one_of_source,
        })
    }
}

async fn wait(
    slots: Arc<Semaphore>,
    deadline: Instant,
    refusal: BudgetRefusal,
) -> Result<OwnedSemaphorePermit, BudgetRefusal> {
    match tokio::time::timeout_at(deadline, slots.acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(refusal),
    }
}

/// A map of at most [`REMEMBERED`] entries.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V>,
    swept: Option<Instant>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            swept: None,
        }
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// The entry, made if there is room. Once the map is full, what is as good as unknown is forgotten, but not at
    /// every call.
    fn entry(
        &mut self,
        key: K,
        now: Instant,
        as_new: impl Fn(&V) -> bool,
        make: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        let full = self.map.len() >= REMEMBERED;
        if full && self.swept.is_none_or(|at| at + SWEEP <= now) {
            self.swept = Some(now);
            self.map.retain(|_, value| !as_new(value));
        }
        if self.map.len() >= REMEMBERED && !self.map.contains_key(&key) {
            return None;
        }
        Some(self.map.entry(key).or_insert_with(make))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn stranger(number: u8) -> Account {
        Account::Stranger(IpAddr::from([203, 0, 113, number]))
    }

    async fn take(
        budgets: &Budgets,
        origin: &str,
        account: Account,
    ) -> Result<Permit, BudgetRefusal> {
        budgets.take(origin, account, Instant::now()).await
    }

    /// How often an account may fetch from an origin, and why not oftener.
    async fn drain(budgets: &Budgets, origin: &str, account: Account) -> (u32, BudgetRefusal) {
        for taken in 0..1000 {
            if let Err(refusal) = take(budgets, origin, account).await {
                return (taken, refusal);
            }
        }
        panic!("a budget without end")
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn an_origin_is_asked_so_many_times_a_minute() {
        let budgets = Budgets::new(Settings::default());
        assert_eq!(
            drain(&budgets, "a:443", Account::Known).await,
            (60, BudgetRefusal::OriginRate)
        );
        assert!(take(&budgets, "b:443", Account::Known).await.is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            drain(&budgets, "a:443", Account::Known).await,
            (1, BudgetRefusal::OriginRate)
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn a_source_causes_eight_fetches_a_minute() {
        let budgets = Budgets::new(Settings::default());
        assert_eq!(
            drain(&budgets, "a:443", stranger(1)).await,
            (8, BudgetRefusal::SourceRate)
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn a_source_has_its_own_budget_over_all_origins() {
        let budgets = Budgets::new(Settings {
            per_source: 3,
            ..Settings::default()
        });
        for origin in ["a:443", "b:443", "c:443"] {
            assert!(take(&budgets, origin, stranger(1)).await.is_ok());
        }
        let refusal = take(&budgets, "d:443", stranger(1)).await.unwrap_err();
        assert_eq!(refusal, BudgetRefusal::SourceRate);
        assert!(take(&budgets, "d:443", Account::Known).await.is_ok());
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn strangers_leave_to_others_what_others_need() {
        let budgets = Budgets::new(Settings::default());
        for number in 0..12 {
            drain(&budgets, "a:443", stranger(number)).await;
        }
        // Twelve addresses: their first fetches, and thirty more together.
        for _document_and_keys in 0..FIRST {
            assert_eq!(
                take(&budgets, "a:443", stranger(99)).await.map(drop),
                Ok(()),
                "whoever comes for the first time gets through"
            );
        }
        assert_eq!(
            take(&budgets, "a:443", stranger(99)).await.map(drop),
            Err(BudgetRefusal::OriginRate)
        );
        assert!(take(&budgets, "a:443", Account::Known).await.is_ok());
        assert!(take(&budgets, "a:443", Account::Configured).await.is_ok());
        tokio::time::advance(MINUTE).await;
        assert!(take(&budgets, "a:443", stranger(99)).await.is_ok());
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn a_site_with_many_networks_is_one_newcomer() {
        let budgets = Budgets::new(Settings::default());
        let from = |network: u16| {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 1, network, 0, 0, 0, 1);
            Account::Stranger(IpAddr::V6(address))
        };
        let mut let_in = 0;
        for network in 0..200 {
            let_in += u32::from(take(&budgets, "a:443", from(network)).await.is_ok());
        }
        assert_eq!(let_in, 2 + 30);
        assert!(take(&budgets, "a:443", stranger(1)).await.is_ok());
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn newcomers_are_bounded_too() {
        let budgets = Budgets::new(Settings {
            per_origin: 0,
            ..Settings::default()
        });
        let mut let_in = 0;
        for number in 0..200 {
            let_in += u32::from(take(&budgets, "a:443", stranger(number)).await.is_ok());
        }
        assert_eq!(let_in, 90);
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn slow_origins_hold_up_neither_newcomers_nor_what_is_known() {
        let budgets = Budgets::new(Settings::default());
        let mut held = Vec::new();
        // Five origins that never answer, and four addresses that name URLs there all the time.
        for number in 0..4 {
            for origin in ["s1:443", "s2:443", "s3:443", "s4:443", "s5:443"] {
                held.extend(take(&budgets, origin, stranger(number)).await);
            }
        }
        for (origin, account) in [
            ("victim:443", stranger(99)),
            ("s5:443", stranger(98)),
            ("victim:443", Account::Known),
            ("s1:443", Account::Configured),
        ] {
            let taken = take(&budgets, origin, account).await;
            assert!(taken.is_ok(), "{origin} {account:?} {taken:?}");
        }
        assert_eq!(held.len(), 8, "two for each address");
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn only_four_fetches_of_an_origin_run_at_once() {
        let budgets = Budgets::new(Settings::default());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(take(&budgets, "a:443", Account::Known).await.unwrap());
        }
        let refusal = take(&budgets, "a:443", Account::Known).await.unwrap_err();
        assert_eq!(refusal, BudgetRefusal::OriginBusy);
        held.pop();
        assert!(take(&budgets, "a:443", Account::Known).await.is_ok());
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn only_sixteen_fetches_of_a_kind_run_at_once() {
        let budgets = Budgets::new(Settings::default());
        let mut held = Vec::new();
        for number in 0..16 {
            let origin = format!("host{number}:443");
            held.push(take(&budgets, &origin, Account::Known).await.unwrap());
        }
        let refusal = take(&budgets, "one-more:443", Account::Known)
            .await
            .unwrap_err();
        assert_eq!(refusal, BudgetRefusal::Busy);
    }

    // SEC-90: many realms of one host, asked for at the same moment.
    #[tokio::test(start_paused = true)]
    async fn what_the_operator_named_waits_for_its_turn_and_has_no_rate() {
        let budgets = Budgets::new(Settings::default());
        let all = (0..300).map(|_| async {
            let permit = take(&budgets, "a:443", Account::Configured).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            permit.map(drop)
        });
        for outcome in futures_util::future::join_all(all).await {
            assert_eq!(outcome, Ok(()));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut map = Bounded::<usize, bool>::default();
        let now = Instant::now();
        for key in 0..REMEMBERED {
            assert!(map.entry(key, now, |_| false, || false).is_some());
        }
        assert!(map.entry(REMEMBERED, now, |_| false, || false).is_none());
        assert!(map.entry(7, now, |_| false, || false).is_some());
        assert!(map.entry(REMEMBERED, now, |_| true, || false).is_none());
        assert!(
            map.entry(REMEMBERED, now + SWEEP, |_| true, || false)
                .is_some()
        );
    }

    // SEC-27
    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let one: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network::household(one), network::household(other));
    }
}
