//! The name of a realm.

use std::fmt;
use std::str::FromStr;

use crate::text::setting;

/// The longest name of a realm.
pub const MAX_NAME: usize = 64;

/// The name of a realm: letters, digits, `-` and `_`, at most [`MAX_NAME`], beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RealmName(String);

/// A text that cannot name a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NAME} letters, digits, `-` or `_`, beginning with a letter or digit")]
pub struct BadRealmName;

impl RealmName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RealmName {
    type Err = BadRealmName;

    fn from_str(text: &str) -> Result<Self, BadRealmName> {
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let fits = text.len() <= MAX_NAME
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if begins_well && fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadRealmName)
        }
    }
}

impl fmt::Display for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    RealmName,
    "realm-name",
    "the name of a realm: 1 to 64 letters, digits, `-` or `_`, beginning with a letter or digit",
    "my-realm"
);
