//! Claims about a user, by the scopes that give them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::user::User;

/// Claims by name, ready to be signed.
pub type Claims = BTreeMap<String, Value>;

/// Adds claims about the user to ID tokens and to the user information. Access tokens carry none: resources know the
/// user by `sub`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapper {
    /// `name`, `preferred_username`.
    Profile,
    /// `email`, `email_verified`.
    Email,
}

impl Mapper {
    pub(super) fn apply(self, user: &User, claims: &mut Claims) {
        match self {
            Self::Profile => profile(user, claims),
            Self::Email => email(user, claims),
        }
    }
}

/// The scope `profile` (OpenID Connect Core §5.4).
fn profile(user: &User, claims: &mut Claims) {
    claims.insert(
        "preferred_username".to_owned(),
        user.username.as_str().into(),
    );
    if let Some(name) = &user.name {
        claims.insert("name".to_owned(), name.as_str().into());
    }
}

/// The scope `email` (OpenID Connect Core §5.4).
fn email(user: &User, claims: &mut Claims) {
    if let Some(email) = &user.email {
        claims.insert("email".to_owned(), email.as_str().into());
        claims.insert("email_verified".to_owned(), user.email_verified.into());
    }
}
