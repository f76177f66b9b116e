//! Calls under way for legacy clients, so that `notifications/cancelled` finds them (TL-8).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcp::id::OwnedId;
use parking_lot::Mutex;
use policy::call::Principal;

use crate::session_id::SessionId;
use tokio_util::sync::CancellationToken;

/// Whose request it is: nobody cancels the request of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The gateway's name.
    pub(crate) gateway: Arc<str>,
    pub(crate) principal: Principal,
    /// None for clients without one.
    pub(crate) session: Option<SessionId>,
    pub(crate) request: OwnedId,
}

#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Several of one key where a client uses an id again, or has no session to tell its windows apart.
    calls: Mutex<HashMap<Key, Vec<Call>>>,
    serial: AtomicU64,
}

#[derive(Debug)]
struct Call {
    serial: u64,
    cancelled: CancellationToken,
}

/// A call that can be found; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: Key,
    serial: u64,
    cancelled: CancellationToken,
}

impl Flights {
    /// Notes a call.
    pub(crate) fn begin(self: &Arc<Self>, key: Key) -> Flight {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let cancelled = CancellationToken::new();
        let call = Call {
            serial,
            cancelled: cancelled.clone(),
        };
        self.calls.lock().entry(key.clone()).or_default().push(call);
        Flight {
            flights: Arc::clone(self),
            key,
            serial,
            cancelled,
        }
    }

    /// Cancels a call. One that is unknown or over is none of our business; where several may be meant, none is.
    pub(crate) fn cancel(&self, key: &Key) -> bool {
        let calls = self.calls.lock();
        let Some([call]) = calls.get(key).map(Vec::as_slice) else {
            return false;
        };
        call.cancelled.cancel();
        true
    }

    /// How many calls there are.
    pub(crate) fn under_way(&self) -> usize {
        self.calls.lock().values().map(Vec::len).sum()
    }
}

impl Flight {
    /// Whose call it is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.key.principal
    }

    /// Becomes cancelled when the client says so.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut calls = self.flights.calls.lock();
        if let Some(same) = calls.get_mut(&self.key) {
            same.retain(|call| call.serial != self.serial);
            if same.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(principal: &str, id: u64) -> Key {
        Key {
            gateway: "demo".into(),
            principal: Principal::new(principal),
            session: None,
            request: OwnedId::number(id),
        }
    }

    // TL-8
    #[test]
    fn a_call_is_cancelled_by_its_own_principal_only() {
        let flights = Arc::new(Flights::default());
        let flight = flights.begin(key("alice", 1));
        assert!(!flights.cancel(&key("mallory", 1)));
        assert!(!flight.cancelled().is_cancelled());
        assert!(flights.cancel(&key("alice", 1)));
        assert!(flight.cancelled().is_cancelled());
    }

    #[test]
    fn of_two_calls_with_one_id_none_is_cancelled_and_both_are_forgotten() {
        let flights = Arc::new(Flights::default());
        let first = flights.begin(key("alice", 1));
        let second = flights.begin(key("alice", 1));
        assert!(!flights.cancel(&key("alice", 1)), "which one?");
        drop(first);
        assert!(flights.cancel(&key("alice", 1)) && second.cancelled().is_cancelled());
        drop(second);
        assert_eq!(flights.under_way(), 0);
    }
}
