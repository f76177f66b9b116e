//! Identifiers that cannot be swapped: a ULID with the kind of thing it names.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::clock::Timestamp;

/// The identifier of a `K`: 48 bits of time, 80 random bits, 26 characters of Crockford's base 32.
pub struct Id<K> {
    ulid: Ulid,
    kind: PhantomData<fn() -> K>,
}

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: expected 26 characters of Crockford's base 32")]
pub struct BadId;

impl<K> Id<K> {
    /// Makes an identifier from the time and ten random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let mut wide = [0; 16];
        for (to, from) in wide.iter_mut().skip(6).zip(random) {
            *to = from;
        }
        let time = u64::try_from(now.millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        Self {
            ulid: Ulid::from_parts(time, u128::from_be_bytes(wide)),
            kind: PhantomData,
        }
    }

    /// The identifier with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self {
            ulid: Ulid::from_bytes(bytes),
            kind: PhantomData,
        }
    }

    /// The 16 bytes.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.ulid.to_bytes()
    }
}

impl<K> FromStr for Id<K> {
    type Err = BadId;

    /// Reads the canonical form only: what is stored and compared as text must have one spelling.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let ulid = Ulid::from_string(text).map_err(|_| BadId)?;
        if ulid.to_string() == text {
            Ok(Self {
                ulid,
                kind: PhantomData,
            })
        } else {
            Err(BadId)
        }
    }
}

impl<K> Serialize for Id<K> {
    /// As text where people read, as bytes elsewhere.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.to_bytes().serialize(serializer)
        }
    }
}

impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(D::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
        }
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ulid, f)
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.ulid, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.ulid == other.ulid
    }
}

impl<K> Eq for Id<K> {}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ulid.hash(state);
    }
}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ulid.cmp(&other.ulid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Thing;

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(time in 0_i64..1 << 47, random: [u8; 10]) {
            let id: Id<Thing> = Id::new(Timestamp::from_millis(time), random);
            prop_assert_eq!(id.to_string().parse::<Id<Thing>>(), Ok(id));
            prop_assert_eq!(Id::<Thing>::from_bytes(id.to_bytes()), id);
        }

        #[test]
        fn later_identifiers_sort_after_earlier_ones(time in 0_i64..1 << 40, a: [u8; 10], b: [u8; 10]) {
            let (first, second): (Id<Thing>, Id<Thing>) =
                (Id::new(Timestamp::from_millis(time), a), Id::new(Timestamp::from_millis(time + 1), b));
            prop_assert!(first < second && first.to_string() < second.to_string());
        }
    }

    #[test]
    fn other_spellings_of_an_identifier_are_refused() {
        let id: Id<Thing> = Id::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]);
        assert_eq!(
            id.to_string().to_lowercase().parse::<Id<Thing>>(),
            Err(BadId)
        );
        assert_eq!("".parse::<Id<Thing>>(), Err(BadId));
    }
}
