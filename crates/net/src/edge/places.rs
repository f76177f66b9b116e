//! Places for connections: how many there may be in all, and how many of one kind (SEC-79, SEC-86).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// In all.
    pub all: usize,
    /// For one: a client's address, a destination.
    pub of_one: usize,
    /// For one as soon as half of all are taken, so that few can't take them from many.
    pub of_one_when_crowded: usize,
}

impl PlaceLimits {
    /// So many in all, of which one may have an eighth, but at most 1,024; a sixty-fourth when it is crowded.
    pub const fn shared(all: usize) -> Self {
        let of_one = if all / 8 > 1024 { 1024 } else { all / 8 };
        Self::new(all, of_one)
    }

    /// So many in all and for one; at most a sixty-fourth of all for one when it is crowded.
    pub const fn new(all: usize, of_one: usize) -> Self {
        let of_one = if of_one == 0 { 1 } else { of_one };
        let share = if all / 64 == 0 { 1 } else { all / 64 };
        Self {
            all,
            of_one,
            of_one_when_crowded: if share < of_one { share } else { of_one },
        }
    }

    const fn of_one_when(&self, taken: usize) -> usize {
        if taken * 2 < self.all {
            self.of_one
        } else {
            self.of_one_when_crowded
        }
    }
}

/// Places that are shared, for instance by the listeners of a process.
#[derive(Debug)]
pub struct Places<K: Eq + Hash> {
    limits: PlaceLimits,
    taken: Mutex<Taken<K>>,
    refused: [AtomicU64; 2],
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// This one has as many as it may have.
    Share,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    places: Arc<Places<K>>,
    of: Option<K>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// All of them free.
    pub fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::new(Taken {
                all: 0,
                by: HashMap::new(),
            }),
            refused: Default::default(),
        })
    }

    /// How many there are.
    pub const fn limits(&self) -> PlaceLimits {
        self.limits
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().all
    }

    /// How often there was no place, for this reason.
    pub fn refused(&self, why: NoPlace) -> u64 {
        self.refused_for(why).load(Ordering::Relaxed)
    }

    fn refused_for(&self, why: NoPlace) -> &AtomicU64 {
        let [full, share] = &self.refused;
        match why {
            NoPlace::Full => full,
            NoPlace::Share => share,
        }
    }

    /// Takes a place, for somebody whose places are counted, or for whoever is not counted.
    pub(crate) fn take(self: &Arc<Self>, of: Option<K>) -> Result<Place<K>, NoPlace> {
        let taken = self.count(of.as_ref());
        taken.inspect_err(|why| {
            self.refused_for(*why).fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(Place {
            places: Arc::clone(self),
            of,
        })
    }

    fn count(&self, of: Option<&K>) -> Result<(), NoPlace> {
        let mut taken = self.taken.lock();
        if taken.all >= self.limits.all {
            return Err(NoPlace::Full);
        }
        if let Some(one) = of {
            let most = self.limits.of_one_when(taken.all);
            let has = taken.by.get(one).copied().unwrap_or_default();
            if has >= most {
                return Err(NoPlace::Share);
            }
            taken.by.insert(one.clone(), has + 1);
        }
        taken.all += 1;
        Ok(())
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(one) = &self.of
            && let Some(has) = taken.by.get_mut(one)
        {
            *has = has.saturating_sub(1);
            if *has == 0 {
                taken.by.remove(one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-86
    #[test]
    fn a_few_that_take_all_they_can_leave_room_for_others() {
        for all in [128, 512, 10_000, 20_000] {
            let places = Places::new(PlaceLimits::shared(all));
            let mut held = Vec::new();
            for address in 0..20 {
                let taking = std::iter::from_fn(|| places.take(Some(address)).ok());
                held.extend(taking.take(1000));
            }
            assert!(places.taken() < all * 4 / 5, "{} of {all}", places.taken());
            let strangers: Vec<_> = (100..110).map(|other| places.take(Some(other))).collect();
            assert!(strangers.iter().all(Result::is_ok), "{all}");
            assert!(places.refused(NoPlace::Share) > 0);
            assert_eq!(places.refused(NoPlace::Full), 0);
        }
    }

    #[test]
    fn places_come_back() {
        let places = Places::new(PlaceLimits::new(2, 1));
        let first = places.take(Some('a')).unwrap();
        assert_eq!(places.take(Some('a')).unwrap_err(), NoPlace::Share);
        let second = places.take(None).unwrap();
        assert_eq!(places.take(Some('b')).unwrap_err(), NoPlace::Full);
        drop(first);
        assert!(places.take(Some('a')).is_ok());
        drop(second);
        assert_eq!(places.taken(), 0);
    }
}
