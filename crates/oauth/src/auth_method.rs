//! How a client authenticates at the token endpoint.

use std::fmt;
use std::str::FromStr;

/// A method of the registry "OAuth Token Endpoint Authentication Methods" that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthMethod {
    /// A public client: only its `client_id`.
    None,
    /// HTTP Basic (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// `client_secret` in the body (RFC 6749 §2.3.1).
    ClientSecretPost,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// All of them; `none` first, because some clients take the first that is listed.
    pub const ALL: &'static [Self] = &[
        Self::None,
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
    ];

    /// The wire's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no method that exists here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a client authentication method that is supported here")]
pub struct UnsupportedAuthMethod;

impl FromStr for AuthMethod {
    type Err = UnsupportedAuthMethod;

    fn from_str(text: &str) -> Result<Self, UnsupportedAuthMethod> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.as_str() == text)
            .ok_or(UnsupportedAuthMethod)
    }
}
