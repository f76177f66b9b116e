//! How often a client's secret may be guessed from one network: ten times at once, and ten times a minute from then on.
//!
//! Kept in memory, by each node for itself: with N nodes it is N times as often. A network that never guesses wrong is never
//! held up, whatever others do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use model::clock::Timestamp;
use model::rate::{Bucket, Limit, TooOften};
use oauth::client_id::ClientId;
use parking_lot::Mutex;

use crate::source;

/// Wrong secrets from one network for one client.
const GUESSES: Limit = Limit {
    burst: 10,
    period: Duration::from_mins(1),
};

/// The most networks that are remembered; those that guessed least are forgotten first.
const MOST: usize = 10_000;

/// The networks that have guessed wrong in the last minute.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<(ClientId, String), Bucket>>);

impl Guesses {
    /// Whether a secret is the right one, if this network may still try. All tries of it take turns, so that many at once
    /// gain nothing.
    pub(crate) fn check(
        &self,
        client: &ClientId,
        from: IpAddr,
        now: Timestamp,
        is_right: impl FnOnce() -> bool,
    ) -> Result<bool, TooOften> {
        let mut networks = self.0.lock();
        let key = (client.clone(), source::name(from));
        let bucket = networks.get(&key).copied().unwrap_or_default();
        let emptier = bucket.admit(&GUESSES, now)?;
        if is_right() {
            return Ok(true);
        }
        if networks.len() >= MOST && !networks.contains_key(&key) {
            forget(&mut networks, now);
        }
        networks.insert(key, emptier);
        Ok(false)
    }
}

/// Makes room: for those that may guess freely again first, and then for the fuller half of the others.
fn forget(networks: &mut HashMap<(ClientId, String), Bucket>, now: Timestamp) {
    networks.retain(|_, bucket| !bucket.is_full(now));
    if networks.len() >= MOST {
        let mut levels: Vec<Bucket> = networks.values().copied().collect();
        let (_, median, _) = levels.select_nth_unstable(MOST / 2);
        let median = *median;
        networks.retain(|_, bucket| *bucket > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn client(id: &str) -> ClientId {
        id.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    // SEC-53
    #[test]
    fn after_ten_wrong_guesses_even_the_right_one_has_to_wait() {
        let guesses = Guesses::default();
        let (app, here) = (client("app"), address("192.0.2.1"));
        for _ in 0..10 {
            assert_eq!(guesses.check(&app, here, at(0), || false), Ok(false));
        }
        let refused = guesses.check(&app, here, at(0), || true).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(6));
        assert_eq!(guesses.check(&app, here, at(6), || true), Ok(true));
        // The right one costs nothing, and excuses no wrong one.
        assert_eq!(guesses.check(&app, here, at(6), || false), Ok(false));
        assert!(guesses.check(&app, here, at(6), || true).is_err());
    }

    // SEC-53, SEC-87
    #[test]
    fn other_networks_and_other_clients_are_not_held_up() {
        let guesses = Guesses::default();
        let app = client("app");
        for _ in 0..10 {
            assert_eq!(
                guesses.check(&app, address("192.0.2.1"), at(0), || false),
                Ok(false)
            );
        }
        assert_eq!(
            guesses.check(&app, address("192.0.2.2"), at(0), || true),
            Ok(true)
        );
        assert_eq!(
            guesses.check(&client("other"), address("192.0.2.1"), at(0), || true),
            Ok(true)
        );
    }

    // SEC-79
    #[test]
    fn what_is_remembered_is_bounded() {
        let guesses = Guesses::default();
        let app = client("app");
        for number in 0..25_000_u32 {
            let from = IpAddr::from(number.to_be_bytes());
            assert_eq!(guesses.check(&app, from, at(0), || false), Ok(false));
            assert!(guesses.0.lock().len() <= MOST);
        }
        let last = IpAddr::from(24_999_u32.to_be_bytes());
        for _ in 0..9 {
            assert_eq!(guesses.check(&app, last, at(0), || false), Ok(false));
        }
        assert!(guesses.check(&app, last, at(0), || true).is_err());
    }
}
