//! What one client wants to hear of: resources that it subscribed to, at whichever targets.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::clock::Timestamp;
use parking_lot::Mutex;
use targets::subscription::{Mailbox, Subscription};

use crate::quota::Place;

/// Resources that one client is subscribed to at once.
pub(crate) const MOST: usize = 256;

/// The subscriptions of one client, and where their updates arrive.
#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    pub(crate) mailbox: Arc<Mailbox>,
    of: Mutex<HashMap<Arc<str>, Subscription>>,
    /// Among the streams of its caller, as long as there are any: it may have no stream open.
    place: Mutex<Option<Place>>,
    /// When its session is over.
    pub(crate) expires_at: Option<Timestamp>,
}

impl Subscribed {
    /// That of a session.
    pub(crate) fn until(expires_at: Timestamp) -> Self {
        Self {
            expires_at: Some(expires_at),
            ..Self::default()
        }
    }

    /// Whether one more is too much.
    pub(crate) fn is_full(&self, uri: &str) -> bool {
        let of = self.of.lock();
        of.len() >= MOST && !of.contains_key(uri)
    }

    /// One more. A second one of the same resource takes the place of the first.
    pub(crate) fn add(&self, uri: Arc<str>, subscription: Subscription, place: Option<Place>) {
        let before = self.of.lock().insert(uri, subscription);
        drop(before);
        if let Some(place) = place {
            self.place.lock().get_or_insert(place);
        }
    }

    /// One less.
    pub(crate) fn remove(&self, uri: &str) {
        let removed = self.of.lock().remove(uri);
        drop(removed);
        if self.is_empty() {
            self.place.lock().take();
        }
    }

    /// The resources, in order.
    pub(crate) fn uris(&self) -> BTreeSet<Arc<str>> {
        self.of.lock().keys().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.of.lock().is_empty()
    }
}
