//! Tokens that were verified before, by their hash: a signature is checked once per token.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use model::clock::Timestamp;
use quick_cache::sync::Cache;

use super::jwt::LEEWAY;
use super::who::Caller;

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
    by: By,
}

/// What a token was verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct By {
    /// Which of the gateway's issuers.
    pub(crate) issuer: usize,
    /// Which keys of it.
    pub(crate) epoch: u64,
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

    /// The caller, if the token has not expired and was verified with keys that still are those of their issuer.
    pub(crate) fn find(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
        still_holds: impl FnOnce(By) -> bool,
    ) -> Option<Arc<Caller>> {
        let entry = self.tokens.get(hash)?;
        (now < entry.until && still_holds(entry.by)).then_some(entry.caller)
    }

    pub(crate) fn keep(&self, hash: [u8; 32], caller: Arc<Caller>, now: Timestamp, by: By) {
        let expiry = Timestamp::from_seconds(caller.expires_at.saturating_add(LEEWAY));
        let until = expiry.min(now + BELIEVED);
        self.tokens.insert(hash, Entry { caller, until, by });
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

    const BY: By = By {
        issuer: 0,
        epoch: 1,
    };

    // SEC-41
    #[test]
    fn a_verification_ends_with_its_token() {
        let cache = VerifiedTokens::new(10);
        let now = Timestamp::from_seconds(1000);
        cache.keep([1; 32], caller(1100), now, BY);
        let at = |seconds| {
            cache
                .find(&[1; 32], Timestamp::from_seconds(seconds), |by| by == BY)
                .is_some()
        };
        assert!(at(1100 + LEEWAY - 1) && !at(1100 + LEEWAY));
    }

    // SEC-43
    #[test]
    fn a_verification_ends_with_its_keys_and_after_five_minutes() {
        let cache = VerifiedTokens::new(10);
        let now = Timestamp::from_seconds(1000);
        cache.keep([1; 32], caller(100_000), now, BY);
        assert!(cache.find(&[1; 32], now, |by| by == BY).is_some());
        assert!(cache.find(&[1; 32], now, |by| by.epoch == 2).is_none());
        assert!(cache.find(&[1; 32], now + BELIEVED, |_| true).is_none());
    }
}
