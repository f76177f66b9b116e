//! The life of a signing key: published before it signs, and for as long as its tokens live afterwards (SEC-43).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::realm::{RealmName, SigningAlgorithm};
use crate::secret::Secret;

/// A key pair of a realm.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// `kid` in tokens; unique everywhere.
    pub kid: String,
    /// Whose key it is.
    pub realm: RealmName,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// The private key, as PKCS#8 in DER.
    pub private: Secret<Vec<u8>>,
    /// Where it stands in its life.
    pub state: KeyState,
}

/// The states of a key. What was purged or revoked is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Published, so that caches learn of it, but not signing.
    Pending {
        /// Since when.
        since: Timestamp,
    },
    /// Signing.
    Active {
        /// Since when.
        since: Timestamp,
    },
    /// Published while its last tokens live.
    Retired {
        /// Since when.
        since: Timestamp,
    },
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEvent {
    /// It begins to sign.
    Activate,
    /// It stops signing.
    Retire,
}

/// An event that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key cannot go this way")]
pub struct NotPossible;

impl KeyState {
    /// The state after an event.
    pub fn after(self, event: KeyEvent, now: Timestamp) -> Result<Self, NotPossible> {
        match (self, event) {
            (Self::Pending { .. }, KeyEvent::Activate) => Ok(Self::Active { since: now }),
            (Self::Active { .. }, KeyEvent::Retire) => Ok(Self::Retired { since: now }),
            (Self::Pending { .. } | Self::Retired { .. }, KeyEvent::Retire)
            | (Self::Active { .. } | Self::Retired { .. }, KeyEvent::Activate) => Err(NotPossible),
        }
    }

    /// When it was entered.
    pub const fn since(self) -> Timestamp {
        match self {
            Self::Pending { since } | Self::Active { since } | Self::Retired { since } => since,
        }
    }

    /// Whether the key signs.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

/// When keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key is published before it signs: at least the lifetime of caches of the key set.
    pub publish_ahead: Duration,
    /// How long a key signs.
    pub period: Duration,
    /// How long a retired key stays published: at least the longest lifetime of a token.
    pub keep: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            publish_ahead: Duration::from_hours(24),
            period: Duration::from_hours(2160),
            keep: Duration::from_hours(24),
        }
    }
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Make a key that signs at once: none does, of any algorithm, so no cache can know another.
    CreateActive,
    /// Make a key that is published only.
    CreatePending,
    /// Let this one sign, and retire these.
    Switch {
        /// The new key.
        to: String,
        /// The keys that signed until now.
        from: Vec<String>,
    },
    /// Delete this one.
    Purge(String),
}

/// The key that signs for a realm that wants this algorithm: one of another algorithm as long as there is no other, so
/// that a realm that changes its own signs with what verifiers know until they know the new one.
pub fn current(keys: &[SigningKey], algorithm: SigningAlgorithm) -> Option<&SigningKey> {
    keys.iter()
        .filter(|key| key.state.is_active())
        .max_by_key(|key| (key.algorithm == algorithm, key.state.since()))
}

/// What is due for the keys of one realm, which wants this algorithm, in the order in which to do it.
pub fn due(
    keys: &[SigningKey],
    algorithm: SigningAlgorithm,
    rotation: &Rotation,
    now: Timestamp,
) -> Vec<Due> {
    let mut due = Vec::new();
    let pending = keys
        .iter()
        .filter(|key| key.algorithm == algorithm)
        .filter(|key| matches!(key.state, KeyState::Pending { .. }))
        .min_by_key(|key| key.state.since());
    match (current(keys, algorithm), pending) {
        (None, None) => due.push(Due::CreateActive),
        (None, Some(next)) => due.push(Due::Switch {
            to: next.kid.clone(),
            from: Vec::new(),
        }),
        (Some(current), Some(next)) => {
            let was_published = now >= next.state.since() + rotation.publish_ahead;
            if was_published && now >= end_of(current, algorithm, rotation) {
                let from = keys
                    .iter()
                    .filter(|key| key.state.is_active())
                    .map(|key| key.kid.clone())
                    .collect();
                due.push(Due::Switch {
                    to: next.kid.clone(),
                    from,
                });
            }
        }
        (Some(current), None) => {
            if now + rotation.publish_ahead >= end_of(current, algorithm, rotation) {
                due.push(Due::CreatePending);
            }
        }
    }
    // Of every algorithm, as a realm may have changed its own.
    for key in keys {
        if let KeyState::Retired { since } = key.state
            && now >= since + rotation.keep
        {
            due.push(Due::Purge(key.kid.clone()));
        }
    }
    due
}

/// When a key that signs should have a successor: one of an algorithm that is not wanted any more, as soon as can be.
fn end_of(current: &SigningKey, algorithm: SigningAlgorithm, rotation: &Rotation) -> Timestamp {
    let since = current.state.since();
    if current.algorithm == algorithm {
        since + rotation.period
    } else {
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);
    const DAY: Duration = Duration::from_hours(24);

    fn key(kid: &str, state: KeyState) -> SigningKey {
        SigningKey {
            kid: kid.to_owned(),
            realm: "a".parse().unwrap(),
            algorithm: SigningAlgorithm::Es256,
            private: Secret::new(Vec::new()),
            state,
        }
    }

    fn plan(keys: &[SigningKey], days: u32) -> Vec<Due> {
        due(
            keys,
            SigningAlgorithm::Es256,
            &Rotation::default(),
            START + DAY * days,
        )
    }

    // SEC-43
    #[test]
    fn the_first_key_signs_at_once() {
        assert_eq!(plan(&[], 0), [Due::CreateActive]);
    }

    // SEC-43
    #[test]
    fn a_key_is_published_before_it_signs() {
        let active = key("1", KeyState::Active { since: START });
        assert_eq!(plan(std::slice::from_ref(&active), 88), []);
        assert_eq!(
            plan(std::slice::from_ref(&active), 89),
            [Due::CreatePending]
        );
        let pending = key(
            "2",
            KeyState::Pending {
                since: START + DAY * 89,
            },
        );
        let both = [active, pending];
        assert_eq!(plan(&both, 89), []);
        assert_eq!(
            plan(&both, 90),
            [Due::Switch {
                to: "2".to_owned(),
                from: vec!["1".to_owned()]
            }]
        );
    }

    // SEC-43
    #[test]
    fn a_late_successor_still_waits_until_caches_know_it() {
        let keys = [
            key("1", KeyState::Active { since: START }),
            key(
                "2",
                KeyState::Pending {
                    since: START + DAY * 100,
                },
            ),
        ];
        assert_eq!(plan(&keys, 100), []);
        assert_eq!(plan(&keys, 101).len(), 1);
    }

    // SEC-43
    #[test]
    fn a_retired_key_stays_published_while_its_tokens_live() {
        let keys = [
            key("1", KeyState::Retired { since: START }),
            key("2", KeyState::Active { since: START }),
        ];
        assert_eq!(plan(&keys, 0), []);
        assert_eq!(plan(&keys, 1), [Due::Purge("1".to_owned())]);
    }

    /// What is due once the realm wants RS256.
    fn plan_for_rs256(keys: &[SigningKey], days: u32) -> Vec<Due> {
        let now = START + DAY * days;
        due(keys, SigningAlgorithm::Rs256, &Rotation::default(), now)
    }

    // SEC-43
    #[test]
    fn a_key_of_another_algorithm_is_published_before_it_signs() {
        let old = key("1", KeyState::Active { since: START });
        assert_eq!(
            plan_for_rs256(std::slice::from_ref(&old), 0),
            [Due::CreatePending]
        );
        let new = SigningKey {
            algorithm: SigningAlgorithm::Rs256,
            ..key("2", KeyState::Pending { since: START })
        };
        let both = [old, new];
        assert_eq!(plan_for_rs256(&both, 0), []);
        assert_eq!(
            plan_for_rs256(&both, 1),
            [Due::Switch {
                to: "2".to_owned(),
                from: vec!["1".to_owned()]
            }]
        );
        let signing = current(&both, SigningAlgorithm::Rs256);
        assert_eq!(signing.map(|key| key.kid.as_str()), Some("1"));
    }

    // SEC-43
    #[test]
    fn a_switch_retires_the_active_keys_of_every_algorithm() {
        let keys = [
            key("1", KeyState::Active { since: START }),
            SigningKey {
                algorithm: SigningAlgorithm::Rs256,
                ..key("2", KeyState::Active { since: START })
            },
            SigningKey {
                algorithm: SigningAlgorithm::Rs256,
                ..key("3", KeyState::Pending { since: START })
            },
        ];
        let signing = current(&keys, SigningAlgorithm::Rs256);
        assert_eq!(signing.map(|key| key.kid.as_str()), Some("2"));
        assert_eq!(
            plan_for_rs256(&keys, 90),
            [Due::Switch {
                to: "3".to_owned(),
                from: vec!["1".to_owned(), "2".to_owned()]
            }]
        );
    }

    /// Every event in every state.
    #[test]
    fn all_transitions() {
        let mut table = Vec::new();
        let states = [
            KeyState::Pending { since: START },
            KeyState::Active { since: START },
            KeyState::Retired { since: START },
        ];
        for state in states {
            for event in [KeyEvent::Activate, KeyEvent::Retire] {
                table.push(format!(
                    "{state:?} | {event:?} -> {:?}",
                    state.after(event, START + DAY)
                ));
            }
        }
        insta::assert_snapshot!(table.join("\n"));
    }
}
