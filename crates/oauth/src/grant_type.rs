//! The grant types that exist here.

use std::fmt;
use std::str::FromStr;

/// A grant type of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantType {
    /// `authorization_code` (OAuth 2.1 §4.1).
    AuthorizationCode,
    /// `refresh_token` (OAuth 2.1 §4.3).
    RefreshToken,
}

impl GrantType {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::AuthorizationCode, Self::RefreshToken];

    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl fmt::Display for GrantType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no grant type that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a grant type that is supported here")]
pub struct UnsupportedGrantType;

impl FromStr for GrantType {
    type Err = UnsupportedGrantType;

    fn from_str(text: &str) -> Result<Self, UnsupportedGrantType> {
        Self::ALL
            .iter()
            .copied()
            .find(|grant| grant.as_str() == text)
            .ok_or(UnsupportedGrantType)
    }
}
