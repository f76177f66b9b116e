//! What the connections of a fake server share, and what it saw.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::script::Script;
use super::seen::Seen;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) script: Mutex<Script>,
    /// Session id → has `notifications/initialized` arrived?
    pub(super) sessions: Mutex<HashMap<String, bool>>,
    /// Session id and URI of what is subscribed to (legacy).
    pub(super) subscribed: Mutex<HashSet<(String, String)>>,
    pub(super) counts: Mutex<Counts>,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// Bumped whenever anything above changes.
    pub(super) changed: watch::Sender<u64>,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) stop: CancellationToken,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) sessions_made: u64,
    /// Ids of the sessions that a client ended.
    pub(super) sessions_ended: Vec<String>,
    pub(super) streams_open: u64,
    pub(super) connections: u64,
    /// Methods (`tools/call echo`) whose answer the peer did not wait for.
    pub(super) abandoned: Vec<String>,
}

/// What open notification streams do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// `notifications/…/list_changed` of this.
    Changed(&'static str),
    /// `notifications/resources/updated` of this URI, to those who subscribed to it.
    Updated(String),
    /// This message, on the stream of this session.
    Said(String, String),
    /// What waits for the test goes on.
    GoOn,
    /// Break the connection.
    Drop,
    /// Send the final result and end the stream (modern), or just end it (legacy).
    Finish,
}

/// A notification stream, until dropped.
#[derive(Debug)]
pub(super) struct OpenStream<'a>(&'a Shared);

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.note(|counts| counts.streams_open -= 1);
    }
}

impl Shared {
    pub(super) fn note(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock());
        self.changed.send_modify(|version| *version += 1);
    }

    /// Counts a notification stream as open.
    pub(super) fn open_stream(&self) -> OpenStream<'_> {
        self.note(|counts| counts.streams_open += 1);
        OpenStream(self)
    }

    pub(super) fn record(&self, seen: Seen) {
        self.seen.lock().push(seen);
        self.changed.send_modify(|version| *version += 1);
    }
}
