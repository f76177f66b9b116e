//! A person who can log in to a realm.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::Id;
use crate::mail::MailAddress;
use crate::password::PasswordHash;
use crate::realm_name::RealmName;
use crate::text::setting;
use crate::traits::Traits;

/// The longest user name, in bytes.
pub const MAX_USERNAME: usize = 255;

/// What a user types to log in; in lower case, so that `Alice` and `alice` are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

/// A text that cannot be a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_USERNAME} bytes without spaces and control characters")]
pub struct BadUsername;

impl Username {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Username {
    type Err = BadUsername;

    fn from_str(text: &str) -> Result<Self, BadUsername> {
        let name = text.trim().to_lowercase();
        let fits = (1..=MAX_USERNAME).contains(&name.len());
        if fits && !name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Ok(Self(name))
        } else {
            Err(BadUsername)
        }
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    Username,
    "username",
    "a user name: 1 to 255 bytes without spaces and control characters",
    "alice"
);

/// What is known of a person, by their own account or their operator's: in the file, in the store, and by command alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The full name, for the scope `profile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address, for the scope `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<MailAddress>,
}

/// A person of a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `sub` in tokens.
    pub id: Id<Self>,
    /// The realm they belong to.
    pub realm: RealmName,
    /// Unique in the realm.
    pub username: Username,
    /// Without it, no login by password.
    pub password: Option<PasswordHash>,
    /// Who they are.
    pub profile: Profile,
    /// Whether somebody made sure that the address is theirs.
    pub email_verified: bool,
    /// Their groups and attributes.
    pub traits: Traits,
    /// Whether they may not log in.
    pub disabled: bool,
    /// Since when they exist.
    pub created_at: Timestamp,
}

impl User {
    /// A user with nothing but a name.
    pub const fn new(id: Id<Self>, realm: RealmName, username: Username, now: Timestamp) -> Self {
        Self {
            id,
            realm,
            username,
            password: None,
            profile: Profile {
                name: None,
                email: None,
            },
            email_verified: false,
            traits: Traits {
                groups: BTreeSet::new(),
                attributes: BTreeMap::new(),
            },
            disabled: false,
            created_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_one_spelling() {
        assert_eq!(" Alice ".parse::<Username>().unwrap().as_str(), "alice");
        for bad in ["", "  ", "a b", "a\u{0}", &"a".repeat(256)] {
            assert_eq!(bad.parse::<Username>(), Err(BadUsername), "{bad:?}");
        }
    }
}
