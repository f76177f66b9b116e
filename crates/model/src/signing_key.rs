//! The life of a signing key: published before it signs, and for as long as its tokens live afterwards (SEC-43).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::realm_name::RealmName;
use crate::secret::Secret;
use crate::signing_algorithm::SigningAlgorithm;

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

/// For this long after its first key a realm is new: no cache holds a key set of it that lacks what is made now.
const FOUNDING: Duration = Duration::from_mins(5);

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Make a key of this algorithm that signs at once: the realm is new, so no cache can know another key set.
    CreateActive(SigningAlgorithm),
    /// Make a key of this algorithm that is published only.
    CreatePending(SigningAlgorithm),
    /// Let this one sign, and retire these.
    Switch {
        /// The new key.
        to: String,
        /// The keys of its algorithm that signed until now.
        from: Vec<String>,
    },
    /// Retire this one: its algorithm is not wanted any more, and every one that is wanted signs.
    Retire(String),
    /// Delete this one.
    Purge(String),
}

/// The key that signs where this algorithm is wanted: one of another algorithm as long as there is no other, so that a realm
/// that changes its own signs with what verifiers know until they know the new one.
pub fn current(keys: &[SigningKey], algorithm: SigningAlgorithm) -> Option<&SigningKey> {
    let active = || keys.iter().filter(|key| key.state.is_active());
    active()
        .filter(|key| key.algorithm == algorithm)
        .max_by_key(|key| key.state.since())
        .or_else(|| active().min_by_key(|key| (is_for_id_tokens(key), key.state.since())))
}

/// Whether a key can have been made for ID tokens alone: then access tokens have been signed by another one until now.
fn is_for_id_tokens(key: &SigningKey) -> bool {
    key.algorithm == SigningAlgorithm::default_of_id_tokens()
}

/// What is due for the keys of one realm, which wants these algorithms, in the order in which to do it.
pub fn due(
    keys: &[SigningKey],
    wanted: &[SigningAlgorithm],
    rotation: &Rotation,
    now: Timestamp,
) -> Vec<Due> {
    let mut due = Vec::new();
    for algorithm in wanted {
        due.extend(due_of_algorithm(keys, *algorithm, rotation, now));
    }
    let signs = |algorithm: &SigningAlgorithm| {
        keys.iter()
            .any(|key| key.algorithm == *algorithm && key.state.is_active())
    };
    let all_sign = wanted.iter().all(signs);
    for key in keys {
        match key.state {
            KeyState::Active { .. } if all_sign && !wanted.contains(&key.algorithm) => {
                due.push(Due::Retire(key.kid.clone()));
            }
            KeyState::Retired { since } if now >= since + rotation.keep => {
                due.push(Due::Purge(key.kid.clone()));
            }
            KeyState::Pending { .. } | KeyState::Active { .. } | KeyState::Retired { .. } => {}
        }
    }
    due
}

fn due_of_algorithm(
    keys: &[SigningKey],
    algorithm: SigningAlgorithm,
    rotation: &Rotation,
    now: Timestamp,
) -> Option<Due> {
    let own = || keys.iter().filter(|key| key.algorithm == algorithm);
    let active = own()
        .filter(|key| key.state.is_active())
        .max_by_key(|key| key.state.since());
    let pending = own()
        .filter(|key| matches!(key.state, KeyState::Pending { .. }))
        .min_by_key(|key| key.state.since());
    match (active, pending) {
        (None, None) if is_new(keys, now) => Some(Due::CreateActive(algorithm)),
        (None, None) => Some(Due::CreatePending(algorithm)),
        (Some(active), None) => {
            let end = active.state.since() + rotation.period;
            (now + rotation.publish_ahead >= end).then_some(Due::CreatePending(algorithm))
        }
        // It is made when the active one is near its end, or when an operator wants another one.
        (_, Some(next)) => {
            let was_published = now >= next.state.since() + rotation.publish_ahead;
            let nobody_signs = !keys.iter().any(|key| key.state.is_active());
            let from = own().filter(|key| key.state.is_active());
            (nobody_signs || was_published).then(|| Due::Switch {
                to: next.kid.clone(),
                from: from.map(|key| key.kid.clone()).collect(),
            })
        }
    }
}

/// Whether nothing but the first keys was ever made, and that just now.
fn is_new(keys: &[SigningKey], now: Timestamp) -> bool {
    keys.iter()
        .all(|key| key.state.is_active() && now < key.state.since() + FOUNDING)
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
        plan_for(&[SigningAlgorithm::Es256], keys, days)
    }

    fn plan_for(wanted: &[SigningAlgorithm], keys: &[SigningKey], days: u32) -> Vec<Due> {
        due(keys, wanted, &Rotation::default(), START + DAY * days)
    }

    fn rsa(kid: &str, state: KeyState) -> SigningKey {
        SigningKey {
            algorithm: SigningAlgorithm::Rs256,
            ..key(kid, state)
        }
    }

    const BOTH: &[SigningAlgorithm] = &[SigningAlgorithm::Es256, SigningAlgorithm::Rs256];

    // SEC-43
    #[test]
    fn the_first_key_of_each_algorithm_signs_at_once() {
        let both = [
            Due::CreateActive(SigningAlgorithm::Es256),
            Due::CreateActive(SigningAlgorithm::Rs256),
        ];
        assert_eq!(plan_for(BOTH, &[], 0), both);
        let first = key("1", KeyState::Active { since: START });
        let second = [Due::CreateActive(SigningAlgorithm::Rs256)];
        assert_eq!(plan_for(BOTH, std::slice::from_ref(&first), 0), second);
        let all = [first, rsa("2", KeyState::Active { since: START })];
        assert_eq!(plan_for(BOTH, &all, 0), []);
        assert_eq!(plan_for(BOTH, &all, 89).len(), 2);
    }

    // SEC-43: what caches hold of a realm that is not new lacks the key of another algorithm.
    #[test]
    fn a_second_algorithm_of_an_old_realm_is_published_before_it_signs() {
        let mut keys = vec![key("1", KeyState::Active { since: START })];
        assert_eq!(
            plan_for(BOTH, &keys, 1),
            [Due::CreatePending(SigningAlgorithm::Rs256)]
        );
        keys.push(rsa("2", KeyState::Pending { since: START + DAY }));
        assert_eq!(plan_for(BOTH, &keys, 1), []);
        let signing =
            |keys: &[SigningKey]| current(keys, SigningAlgorithm::Rs256).map(|key| key.kid.clone());
        assert_eq!(signing(&keys).as_deref(), Some("1"));
        assert_eq!(
            plan_for(BOTH, &keys, 2),
            [Due::Switch {
                to: "2".to_owned(),
                from: Vec::new()
            }]
        );
        keys.pop();
        keys.push(rsa(
            "2",
            KeyState::Active {
                since: START + DAY * 2,
            },
        ));
        assert_eq!(plan_for(BOTH, &keys, 2), []);
        assert_eq!(signing(&keys).as_deref(), Some("2"));
    }

    // SEC-43
    #[test]
    fn a_key_is_published_before_it_signs() {
        let active = key("1", KeyState::Active { since: START });
        assert_eq!(plan(std::slice::from_ref(&active), 88), []);
        assert_eq!(
            plan(std::slice::from_ref(&active), 89),
            [Due::CreatePending(SigningAlgorithm::Es256)]
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

    // SEC-43
    #[test]
    fn a_key_of_another_algorithm_is_published_before_it_signs() {
        let wanted = &[SigningAlgorithm::Rs256];
        let old = key("1", KeyState::Active { since: START });
        assert_eq!(
            plan_for(wanted, std::slice::from_ref(&old), 1),
            [Due::CreatePending(SigningAlgorithm::Rs256)]
        );
        let pending = KeyState::Pending { since: START + DAY };
        let mut both = [old, rsa("2", pending)];
        assert_eq!(plan_for(wanted, &both, 1), []);
        assert_eq!(
            plan_for(wanted, &both, 2),
            [Due::Switch {
                to: "2".to_owned(),
                from: Vec::new()
            }]
        );
        let signing =
            |keys: &[SigningKey]| current(keys, SigningAlgorithm::Rs256).map(|key| key.kid.clone());
        assert_eq!(signing(&both).as_deref(), Some("1"));
        let active = KeyState::Active {
            since: START + DAY * 2,
        };
        both = [both[0].clone(), rsa("2", active)];
        assert_eq!(signing(&both).as_deref(), Some("2"));
        assert_eq!(plan_for(wanted, &both, 2), [Due::Retire("1".to_owned())]);
    }

    // SEC-43: a key is lost rather than that nothing signs.
    #[test]
    fn what_is_not_wanted_signs_until_all_that_is_wanted_does() {
        let keys = [
            key("1", KeyState::Active { since: START }),
            rsa("2", KeyState::Active { since: START }),
        ];
        let wanted = &[SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256];
        assert_eq!(
            plan_for(wanted, &keys, 1),
            [Due::CreatePending(SigningAlgorithm::EdDsa)]
        );
        for keys in [keys.clone(), [keys[1].clone(), keys[0].clone()]] {
            let signing = current(&keys, SigningAlgorithm::EdDsa);
            assert_eq!(signing.map(|key| key.kid.as_str()), Some("1"));
        }
        let pending = [rsa("3", KeyState::Pending { since: START })];
        let switch = Due::Switch {
            to: "3".to_owned(),
            from: Vec::new(),
        };
        assert_eq!(plan_for(&[SigningAlgorithm::Rs256], &pending, 0), [switch]);
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
