//! Issuer identifiers: URLs that are compared byte by byte (RFC 8414 §2, RFC 9207 §2.4).

use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::raw_url;

/// Why an issuer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Not an absolute URL with a host.
    #[error("the issuer is not an absolute URL")]
    NotUrl,
    /// Neither `https` nor `http`.
    #[error("the issuer is neither `https` nor `http`")]
    Scheme,
    /// A query or fragment.
    #[error("the issuer contains a query or fragment")]
    QueryOrFragment,
    /// User information before the host.
    #[error("the issuer contains user information")]
    UserInformation,
}

/// An issuer identifier, exactly as written: never normalized (AS-5, CL-9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The identifier as a URL, for building others from it.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Scheme, host and, unless it is the default, port.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The path without trailing slash; empty for an issuer at the root.
    pub fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The URL of something below the issuer; `suffix` starts with a slash.
    pub fn join(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.text.trim_end_matches('/'))
    }
}

impl FromStr for Issuer {
    type Err = IssuerError;

    fn from_str(text: &str) -> Result<Self, IssuerError> {
        let raw = raw_url::split(text).ok_or(IssuerError::NotUrl)?;
        let url = Url::parse(text).map_err(|_| IssuerError::NotUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(IssuerError::Scheme);
        }
        if raw.query.is_some() || raw.fragment.is_some() {
            return Err(IssuerError::QueryOrFragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(IssuerError::UserInformation);
        }
        if url.host_str().is_none() {
            return Err(IssuerError::NotUrl);
        }
        Ok(Self {
            text: text.to_owned(),
            url,
        })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // AS-5, CL-3
    #[test]
    fn issuers_are_compared_as_written() {
        let issuer: Issuer = "https://a.example/realms/x".parse().unwrap();
        assert_ne!(issuer, "https://a.example/realms/x/".parse().unwrap());
        assert_ne!(issuer, "https://a.example:443/realms/x".parse().unwrap());
        assert_eq!(issuer.join("/token"), "https://a.example/realms/x/token");
    }

    #[test]
    fn what_is_no_issuer_is_refused() {
        for (text, error) in [
            ("realm", IssuerError::NotUrl),
            ("ftp://a/b", IssuerError::Scheme),
            ("https://a/b?c", IssuerError::QueryOrFragment),
            ("https://a/b#", IssuerError::QueryOrFragment),
            ("https://u@a/b", IssuerError::UserInformation),
        ] {
            assert_eq!(text.parse::<Issuer>(), Err(error), "{text}");
        }
    }
}
