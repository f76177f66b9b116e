//! Tokens that were verified before, by their hash: a signature is checked once per token.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use model::clock::Timestamp;
use quick_cache::sync::Cache;

use super::Caller;
use super::jwt::LEEWAY;

/// A verification is believed at most this long, so that a key that its issuer withdrew stops counting.
const BELIEVED: Duration = Duration::from_mins(5);

/// Verified tokens by the SHA-256 hash of each.
pub(crate) struct VerifiedTokens {
    tokens: Cache<[u8; 32], Entry, quick_cache::UnitWeighter, BuildHasherDefault<Prefix>>,
}

#[derive(Clone)]
struct Entry {
    caller: Arc<Caller>,
    until: Timestamp,
    epoch: u64,
}

/// The keys are hashes already: their first bytes will do.
#[derive(Default)]
pub(crate) struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

impl std::fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "VerifiedTokens({} entries)", self.tokens.len())
    }
}

impl VerifiedTokens {
    pub(crate) fn new(capacity: usize) -> Self {
        let tokens = Cache::with(
            capacity,
            capacity as u64,
            quick_cache::UnitWeighter,
            BuildHasherDefault::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { tokens }
    }

    /// The caller, if the token was verified with the keys of this epoch and has not expired.
    pub(crate) fn find(&self, hash: &[u8; 32], now: Timestamp, epoch: u64) -> Option<Arc<Caller>> {
        let entry = self.tokens.get(hash)?;
        (now < entry.until && entry.epoch == epoch).then_some(entry.caller)
    }

    pub(crate) fn keep(&self, hash: [u8; 32], caller: Arc<Caller>, now: Timestamp, epoch: u64) {
        let expiry = Timestamp::from_seconds(caller.expires_at.saturating_add(LEEWAY));
        let until = expiry.min(now + BELIEVED);
        self.tokens.insert(
            hash,
            Entry {
                caller,
                until,
                epoch,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::jwt::Verified;

    fn caller(expires_at: i64) -> Arc<Caller> {
        Arc::new(Caller::new(Verified {
            issuer: "https://i".into(),
            subject: "alice".into(),
            client: None,
            token_id: None,
            expires_at,
        }))
    }

    // SEC-41
    #[test]
    fn a_verification_ends_with_its_token() {
        let cache = VerifiedTokens::new(10);
        let now = Timestamp::from_seconds(1000);
        cache.keep([1; 32], caller(1100), now, 1);
        let at = |seconds| {
            cache
                .find(&[1; 32], Timestamp::from_seconds(seconds), 1)
                .is_some()
        };
        assert!(at(1100 + LEEWAY - 1) && !at(1100 + LEEWAY));
    }

    // SEC-43
    #[test]
    fn a_verification_ends_with_its_keys_and_after_five_minutes() {
        let cache = VerifiedTokens::new(10);
        let now = Timestamp::from_seconds(1000);
        cache.keep([1; 32], caller(100_000), now, 1);
        assert!(cache.find(&[1; 32], now, 1).is_some());
        assert!(cache.find(&[1; 32], now, 2).is_none());
        assert!(cache.find(&[1; 32], now + BELIEVED, 1).is_none());
    }
}
