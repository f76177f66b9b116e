//! How much fetching strangers may cause (SEC-27).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many origins and sources are remembered; beyond that, new ones are refused.
const REMEMBERED: usize = 16 * 1024;

const MINUTE: Duration = Duration::from_mins(1);

/// The budgets. The default is that of SEC-27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Fetches at the same time.
    pub in_flight: usize,
    /// Fetches at the same time per origin.
    pub in_flight_per_origin: usize,
    /// Fetches per minute per origin.
    pub per_origin: u32,
    /// So many of them are left for our own account: what strangers invent can't take the place of
    /// what others use.
    pub kept_per_origin: u32,
    /// Fetches per minute on a stranger's account, by source address (IPv6: per /64). Far fewer
    /// than an origin allows, so that it takes many to use one up.
    pub per_source: u32,
    /// How long a fetch waits for its turn.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 16,
            in_flight_per_origin: 4,
            per_origin: 60,
            kept_per_origin: 15,
            per_source: 8,
            patience: Duration::from_secs(2),
        }
    }
}

/// On whose account a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The URL is configured, or has given a valid document before: how often it is fetched is
    /// bounded by the cache, whoever asks.
    Ours,
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
    /// This source address caused too many fetches in the last minute.
    #[error("too many fetches caused by this address")]
    SourceRate,
}

/// Counts fetches, over several caches.
#[derive(Debug)]
pub struct Budgets {
    settings: Settings,
    everything: Arc<Semaphore>,
    origins: Mutex<HashMap<Box<str>, OriginUse>>,
    sources: Mutex<HashMap<IpAddr, Allowance>>,
}

#[derive(Debug)]
struct OriginUse {
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

    /// Takes one, if that leaves so many.
    fn take(&mut self, per_minute: u32, leave: u32, now: Instant) -> bool {
        let each = MINUTE / per_minute.max(1);
        let next = self.used_until.max(now) + each;
        let allowed = per_minute > 0 && next + each * leave <= now + MINUTE;
        if allowed {
            self.used_until = next;
        }
        allowed
    }
}

/// The right to fetch once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _one_of_all: OwnedSemaphorePermit,
    _one_of_origin: OwnedSemaphorePermit,
}

impl Budgets {
    /// Full budgets.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            everything: Arc::new(Semaphore::new(settings.in_flight)),
            origins: Mutex::new(HashMap::new()),
            sources: Mutex::new(HashMap::new()),
        }
    }

    /// Takes from every budget, or says which one is used up.
    pub(crate) async fn take(
        &self,
        origin: &str,
        account: Account,
        now: Instant,
    ) -> Result<Permit, BudgetRefusal> {
        let leave = match account {
            Account::Ours => 0,
            Account::Stranger(source) => {
                self.take_source(source, now)?;
                self.settings.kept_per_origin
            }
        };
        let slots = self.take_origin(origin, leave, now)?;
        let deadline = now + self.settings.patience;
        let origin = tokio::time::timeout_at(deadline, slots.acquire_owned());
        let Ok(Ok(one_of_origin)) = origin.await else {
            return Err(BudgetRefusal::OriginBusy);
        };
        let all = tokio::time::timeout_at(deadline, Arc::clone(&self.everything).acquire_owned());
        let Ok(Ok(one_of_all)) = all.await else {
            return Err(BudgetRefusal::Busy);
        };
        Ok(Permit {
            _one_of_all: one_of_all,
            _one_of_origin: one_of_origin,
        })
    }

    fn take_source(&self, source: IpAddr, now: Instant) -> Result<(), BudgetRefusal> {
        let mut sources = self.sources.lock();
        make_room(&mut sources, |allowance| allowance.is_full(now));
        let known = sources.len() < REMEMBERED;
        let source = network_of(source);
        if !known && !sources.contains_key(&source) {
            return Err(BudgetRefusal::SourceRate);
        }
        let allowance = sources
            .entry(source)
            .or_insert_with(|| Allowance::full(now));
        if allowance.take(self.settings.per_source, 0, now) {
            Ok(())
        } else {
            Err(BudgetRefusal::SourceRate)
        }
    }

    fn take_origin(
        &self,
        origin: &str,
        leave: u32,
        now: Instant,
    ) -> Result<Arc<Semaphore>, BudgetRefusal> {
        let per_origin = self.settings.per_origin;
        let mut origins = self.origins.lock();
        make_room(&mut origins, |origin| {
            origin.allowance.is_full(now) && Arc::strong_count(&origin.slots) == 1
        });
        if let Some(known) = origins.get_mut(origin) {
            return if known.allowance.take(per_origin, leave, now) {
                Ok(Arc::clone(&known.slots))
            } else {
                Err(BudgetRefusal::OriginRate)
            };
        }
        if origins.len() >= REMEMBERED {
            return Err(BudgetRefusal::Busy);
        }
        let mut allowance = Allowance::full(now);
        if !allowance.take(per_origin, leave, now) {
            return Err(BudgetRefusal::OriginRate);
        }
        let slots = Arc::new(Semaphore::new(self.settings.in_flight_per_origin));
        origins.insert(
            origin.into(),
            OriginUse {
                allowance,
                slots: Arc::clone(&slots),
            },
        );
        Ok(slots)
    }
}

/// Forgets what is as good as unknown, once the map is full.
fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, as_new: impl Fn(&V) -> bool) {
    if map.len() >= REMEMBERED {
        map.retain(|_, value| !as_new(value));
    }
}

/// One household: the address itself, or the /64 of an IPv6 address.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: Account =
        Account::Stranger(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)));

    async fn drain(budgets: &Budgets, origin: &str, account: Account) -> (u32, BudgetRefusal) {
        for taken in 0.. {
            match budgets.take(origin, account, Instant::now()).await {
                Ok(permit) => drop(permit),
                Err(refusal) => return (taken, refusal),
            }
        }
        panic!("a budget without end")
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn an_origin_is_asked_sixty_times_a_minute() {
        let budgets = Budgets::new(Settings::default());
        assert_eq!(
            drain(&budgets, "a:443", Account::Ours).await,
            (60, BudgetRefusal::OriginRate)
        );
        assert!(
            budgets
                .take("b:443", Account::Ours, Instant::now())
                .await
                .is_ok()
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            drain(&budgets, "a:443", Account::Ours).await,
            (1, BudgetRefusal::OriginRate)
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn a_source_causes_eight_fetches_a_minute() {
        let budgets = Budgets::new(Settings::default());
        assert_eq!(
            drain(&budgets, "a:443", STRANGER).await,
            (8, BudgetRefusal::SourceRate)
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn strangers_leave_a_share_of_an_origin_to_us() {
        let budgets = Budgets::new(Settings {
            per_source: 60,
            ..Settings::default()
        });
        assert_eq!(
            drain(&budgets, "a:443", STRANGER).await,
            (45, BudgetRefusal::OriginRate)
        );
        assert_eq!(
            drain(&budgets, "a:443", Account::Ours).await,
            (15, BudgetRefusal::OriginRate)
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
            assert!(budgets.take(origin, STRANGER, Instant::now()).await.is_ok());
        }
        let refusal = budgets
            .take("d:443", STRANGER, Instant::now())
            .await
            .unwrap_err();
        assert_eq!(refusal, BudgetRefusal::SourceRate);
        assert!(
            budgets
                .take("d:443", Account::Ours, Instant::now())
                .await
                .is_ok()
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn only_four_fetches_of_an_origin_run_at_once() {
        let budgets = Budgets::new(Settings::default());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(
                budgets
                    .take("a:443", Account::Ours, Instant::now())
                    .await
                    .unwrap(),
            );
        }
        let refusal = budgets
            .take("a:443", Account::Ours, Instant::now())
            .await
            .unwrap_err();
        assert_eq!(refusal, BudgetRefusal::OriginBusy);
        held.pop();
        assert!(
            budgets
                .take("a:443", Account::Ours, Instant::now())
                .await
                .is_ok()
        );
    }

    // SEC-27
    #[tokio::test(start_paused = true)]
    async fn only_sixteen_fetches_run_at_once() {
        let budgets = Budgets::new(Settings::default());
        let mut held = Vec::new();
        for number in 0..16 {
            let origin = format!("host{number}:443");
            held.push(
                budgets
                    .take(&origin, Account::Ours, Instant::now())
                    .await
                    .unwrap(),
            );
        }
        let refusal = budgets
            .take("one-more:443", Account::Ours, Instant::now())
            .await
            .unwrap_err();
        assert_eq!(refusal, BudgetRefusal::Busy);
    }

    // SEC-27
    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let one: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network_of(one), network_of(other));
    }
}
