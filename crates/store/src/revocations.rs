//! The set of what was revoked, in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use model::clock::Timestamp;
use parking_lot::{Mutex, RwLock};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) subject: String,
    pub(crate) until: Timestamp,
}

/// What was revoked and might still be believed: `jti`s of access tokens, and ids of families.
#[derive(Debug, Default)]
pub struct Revocations {
    until: RwLock<HashMap<String, Timestamp>>,
    /// So that nothing is locked as long as nothing was revoked.
    count: AtomicUsize,
    /// The last line of the log that was read, without gaps before it.
    pub(crate) read: AtomicI64,
    /// When the log was last read to its end.
    pub(crate) read_at: Mutex<Option<Timestamp>>,
}

impl Revocations {
    /// Whether an access token was revoked, by itself or with its family.
    pub fn is_revoked(&self, jti: &str) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let until = self.until.read();
        until.contains_key(jti)
            || jti
                .split_once('.')
                .is_some_and(|(family, _)| until.contains_key(family))
    }

    /// Whether it is known already that this is revoked until then: saying it again would only make the log longer.
    pub(crate) fn covers(&self, subject: &str, until: Timestamp) -> bool {
        let known = self.until.read().get(subject).copied();
        known.is_some_and(|known| known >= until)
    }

    /// Whether a family is known to be revoked. What was issued before then ends before this is forgotten, and nothing is
    /// issued after.
    pub(crate) fn has_family(&self, family: &str) -> bool {
        self.until.read().contains_key(family)
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the log was last read to its end by the task of [`crate::revocation::tail`]; the older, the more may be missing.
    pub fn read_at(&self) -> Option<Timestamp> {
        *self.read_at.lock()
    }

    pub(crate) fn add(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_none() {
            return;
        }
        let mut until = self.until.write();
        for entry in entries {
            let known = until.entry(entry.subject).or_insert(entry.until);
            *known = entry.until.max(*known);
        }
        self.count.store(until.len(), Ordering::Release);
    }

    /// Forgets what no token can outlive.
    pub(crate) fn prune(&self, now: Timestamp) {
        if self.is_empty() {
            return;
        }
        let mut until = self.until.write();
        until.retain(|_, until| *until > now);
        self.count.store(until.len(), Ordering::Release);
    }
}
