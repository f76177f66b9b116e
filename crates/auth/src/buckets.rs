//! How often something may be done under one name, in token buckets.
//!
//! Kept in memory, by each node for itself: with N nodes it is N times as often.

use std::collections::HashMap;
use std::hash::Hash;

use model::clock::Timestamp;
use model::rate::{Bucket, Limit, TooOften};
use parking_lot::Mutex;

/// The most names that are remembered; those that did least are forgotten first.
const MOST: usize = 10_000;

/// What was done lately, by name.
#[derive(Debug)]
pub(crate) struct Buckets<K>(Mutex<HashMap<K, Bucket>>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Does something, if that may still be done under this name; whether it was for free. All who come under it take turns,
    /// so that many at once gain nothing.
    pub(crate) fn spend(
        &self,
        name: K,
        limit: &Limit,
        now: Timestamp,
        is_free: impl FnOnce() -> bool,
    ) -> Result<bool, TooOften> {
        let mut buckets = self.0.lock();
        let bucket = buckets.get(&name).copied().unwrap_or_default();
        let emptier = bucket.admit(limit, now)?;
        if is_free() {
            return Ok(true);
        }
        if buckets.len() >= MOST && !buckets.contains_key(&name) {
            forget(&mut buckets, now);
        }
        buckets.insert(name, emptier);
        Ok(false)
    }
}

/// Makes room: without those that are full again first, and then without the fuller half of the others.
fn forget<K: Eq + Hash>(buckets: &mut HashMap<K, Bucket>, now: Timestamp) {
    buckets.retain(|_, bucket| !bucket.is_full(now));
    if buckets.len() >= MOST {
        let mut levels: Vec<Bucket> = buckets.values().copied().collect();
        let (_, median, _) = levels.select_nth_unstable(MOST / 2);
        let median = *median;
        buckets.retain(|_, bucket| *bucket > median);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Limit = Limit {
        burst: 10,
        period: Duration::from_mins(1),
    };
    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    // SEC-79
    #[test]
    fn what_is_remembered_is_bounded() {
        let buckets = Buckets::default();
        let spend = |name: u32| buckets.spend(name, &LIMIT, NOW, || false);
        for name in 0..25_000 {
            assert_eq!(spend(name), Ok(false));
            assert!(buckets.0.lock().len() <= MOST);
        }
        for _ in 0..9 {
            assert_eq!(spend(24_999), Ok(false));
        }
        assert!(spend(24_999).is_err());
    }
}
