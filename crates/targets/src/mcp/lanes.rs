//! Calls of clients that have no sessions, at a server that has: those that can be asked do not share a session at the same
//! time, so that what the server asks outside of a call is asked by the right one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ::mcp::capability::ClientCapabilities;
use parking_lot::Mutex;
use policy::call::Principal;

type Whose = (Principal, ClientCapabilities);

/// The sessions of such clients that are in use: each is numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    taken: Mutex<HashMap<Whose, BTreeSet<u64>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    whose: Whose,
    number: u64,
}

impl Lanes {
    /// The first that is free: who calls one after the other has one session.
    pub(super) fn take(self: &Arc<Self>, whose: Whose) -> Lane {
        let mut all = self.taken.lock();
        let taken = all.entry(whose.clone()).or_default();
        let free = (0..).zip(taken.iter()).find(|(number, one)| number != *one);
        let number = free.map_or(taken.len() as u64, |(number, _)| number);
        taken.insert(number);
        drop(all);
        Lane {
            lanes: Arc::clone(self),
            whose,
            number,
        }
    }
}

impl Lane {
    /// What its session is kept under: no client's session is called so.
    pub(super) fn session(&self) -> [u8; 16] {
        u128::from(self.number).to_be_bytes()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut all = self.lanes.taken.lock();
        if let Some(taken) = all.get_mut(&self.whose) {
            taken.remove(&self.number);
            if taken.is_empty() {
                all.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_one_after_the_other_has_one_and_who_calls_at_once_has_several() {
        let lanes = Arc::new(Lanes::default());
        let take = |name: &str| lanes.take((Principal::new(name), ClientCapabilities::FORM));
        let (first, second, other) = (take("alice"), take("alice"), take("bob"));
        assert_eq!((first.number, second.number, other.number), (0, 1, 0));
        drop(first);
        let third = take("alice");
        assert_eq!(third.number, 0);
        assert_eq!(take("alice").number, 2);
        drop((second, third, other));
        assert!(lanes.taken.lock().is_empty());
    }
}
