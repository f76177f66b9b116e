//! Scopes: single tokens, and ordered sets of them (RFC 6749 §3.3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{ErrorCode, OauthError};

/// The most tokens in one set.
pub const MAX_SCOPES: usize = 100;
/// The longest token, in bytes.
pub const MAX_LENGTH: usize = 256;

/// Why a scope was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// An empty token.
    #[error("a scope is empty")]
    Empty,
    /// A character outside `%x21 / %x23-5B / %x5D-7E`.
    #[error("a scope contains a character that RFC 6749 §3.3 does not permit")]
    BadCharacter,
    /// A token longer than [`MAX_LENGTH`].
    #[error("a scope is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// More than [`MAX_SCOPES`].
    #[error("more than {MAX_SCOPES} scopes")]
    TooMany,
}

impl From<ScopeError> for OauthError {
    fn from(error: ScopeError) -> Self {
        Self::new(ErrorCode::InvalidScope, error.to_string())
    }
}

/// One scope token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(String);

impl Scope {
    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(ScopeError::TooLong);
        }
        if !text
            .bytes()
            .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        {
            return Err(ScopeError::BadCharacter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Scopes in the order in which they were first named, each once.
#[derive(Clone, Debug, Default)]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// No scopes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this token is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|member| member.as_str() == scope)
    }

    /// Appends a scope unless it is there already.
    pub fn insert(&mut self, scope: Scope) {
        if !self.contains(scope.as_str()) {
            self.0.push(scope);
        }
    }

    /// The members, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Whether every member is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|scope| other.contains(scope.as_str()))
    }

    /// The members of `self`, then those of `other` that are new.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).cloned().collect()
    }

    /// The members of `self` that are also in `other`.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter()
            .filter(|scope| other.contains(scope.as_str()))
            .cloned()
            .collect()
    }

    /// The members of `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter()
            .filter(|scope| !other.contains(scope.as_str()))
            .cloned()
            .collect()
    }
}

/// Equality ignores the order.
impl PartialEq for ScopeSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_subset(other)
    }
}

impl Eq for ScopeSet {}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::new();
        for scope in scopes {
            set.insert(scope);
        }
        set
    }
}

impl IntoIterator for ScopeSet {
    type Item = Scope;
    type IntoIter = std::vec::IntoIter<Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ScopeSet {
    type Item = &'a Scope;
    type IntoIter = std::slice::Iter<'a, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Reads a space-separated list; several spaces count as one.
impl FromStr for ScopeSet {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let mut set = Self::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            set.insert(token.parse()?);
            if set.len() > MAX_SCOPES {
                return Err(ScopeError::TooMany);
            }
        }
        Ok(set)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> ScopeSet {
        text.parse().unwrap()
    }

    #[test]
    fn order_is_kept_and_duplicates_go() {
        assert_eq!(set("b a  b c").to_string(), "b a c");
    }

    #[test]
    fn sets_are_compared_without_order() {
        assert_eq!(set("a b"), set("b a"));
        assert_ne!(set("a b"), set("a"));
    }

    #[test]
    fn algebra_keeps_the_order_of_the_left_side() {
        assert_eq!(set("a b").union(&set("c a")).to_string(), "a b c");
        assert_eq!(set("c b a").intersection(&set("a c")).to_string(), "c a");
        assert_eq!(set("c b a").difference(&set("b")).to_string(), "c a");
    }

    #[test]
    fn characters_outside_the_grammar_are_refused() {
        for bad in ["a\"b", "a\\b", "caf\u{e9}", "a\tb", "\u{7f}"] {
            assert_eq!(
                bad.parse::<ScopeSet>(),
                Err(ScopeError::BadCharacter),
                "{bad:?}"
            );
        }
        assert_eq!(
            "x".repeat(MAX_LENGTH + 1).parse::<Scope>(),
            Err(ScopeError::TooLong)
        );
        let many = (0..=MAX_SCOPES)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(many.parse::<ScopeSet>(), Err(ScopeError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(text in "[!#-\\[\\]-~ ]{0,60}") {
            let parsed = set(&text);
            prop_assert_eq!(set(&parsed.to_string()), parsed);
        }
    }
}
