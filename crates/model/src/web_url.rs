//! Addresses of the web, as settings.

use std::fmt;
use std::str::FromStr;

use oauth::issuer::Issuer;
use oauth::resource::Resource;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::text::{described, foreign};

/// An absolute `http` or `https` URL without user information and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl(pub Url);

/// Why a text is no [`WebUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWebUrl {
    /// It is no URL, has no host, or another scheme.
    #[error("expected an absolute http or https URL")]
    NotOfTheWeb,
    /// It has a user name or a password.
    #[error("expected a URL without user name and password")]
    UserInformation,
    /// It has a fragment.
    #[error("expected a URL without fragment")]
    Fragment,
}

impl WebUrl {
    /// What the schema calls texts of this kind.
    pub const FORMAT: &'static str = "web-url";

    /// The URL as issuers and resources are compared: without the slash that parsing adds to a bare origin.
    pub fn plain(&self) -> &str {
        let text = self.0.as_str();
        if self.0.path() == "/" && self.0.query().is_none() {
            text.strip_suffix('/').unwrap_or(text)
        } else {
            text
        }
    }

    /// The host name, lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, spelled or implied by the scheme.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether it is an `https` URL.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for WebUrl {
    type Err = BadWebUrl;

    fn from_str(text: &str) -> Result<Self, BadWebUrl> {
        let url = Url::parse(text).map_err(|_| BadWebUrl::NotOfTheWeb)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(BadWebUrl::NotOfTheWeb);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadWebUrl::UserInformation);
        }
        if url.fragment().is_some() {
            return Err(BadWebUrl::Fragment);
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for WebUrl {
    type Error = BadWebUrl;

    fn try_from(text: String) -> Result<Self, BadWebUrl> {
        text.parse()
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.plain().to_owned()
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plain())
    }
}

described!(WebUrl, "web-url", "https://gateway.example.com/mcp");

/// Writes a URL whose query may be a secret, as the keys in URLs of hosted MCP servers are, with dots as its values: for
/// `#[serde(serialize_with = …)]`.
///
/// # Errors
/// Those of the format.
pub fn without_query_values<S: Serializer>(url: &WebUrl, serializer: S) -> Result<S::Ok, S::Error> {
    let plain = url.plain();
    let Some((place, query)) = plain.split_once('?') else {
        return serializer.serialize_str(plain);
    };
    let names = query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    let hidden: Vec<String> = names.map(|name| format!("{name}=…")).collect();
    serializer.serialize_str(&format!("{place}?{}", hidden.join("&")))
}

/// An identifier that is written as a [`WebUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier<T>(pub T);

impl<T: FromStr<Err: fmt::Display>> FromStr for Identifier<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: WebUrl = text.parse().map_err(|bad: BadWebUrl| bad.to_string())?;
        let parsed = url.plain().parse().map_err(|bad: T::Err| bad.to_string())?;
        Ok(Self(parsed))
    }
}

foreign!(
    /// An [`Issuer`].
    IssuerUrl: Identifier<Issuer>,
    "issuer-url",
    "an absolute http or https URL without query and fragment",
    "https://auth.example.com/realms/demo"
);
foreign!(
    /// A [`Resource`].
    ResourceUrl: Identifier<Resource>,
    "resource-url",
    "an absolute http or https URL of at most 2048 bytes",
    "https://gateway.example.com/mcp"
);

/// Identifiers that are written as URLs, for `#[serde(with = …)]`.
pub mod identifier {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserializer, Serializer};

    use super::Identifier;
    use crate::text::plain;

    /// Writes one.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        plain::serialize(value, to)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the format, and texts that are none.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        plain::deserialize(from).map(|Identifier(value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<WebUrl, BadWebUrl> {
        text.parse()
    }

    #[test]
    fn a_bare_origin_is_written_without_a_slash() {
        assert_eq!(
            url("https://a.example").unwrap().plain(),
            "https://a.example"
        );
        assert_eq!(
            url("https://a.example/b/").unwrap().plain(),
            "https://a.example/b/"
        );
    }

    #[test]
    fn urls_with_credentials_fragments_or_other_schemes_are_refused() {
        for (text, bad) in [
            ("ftp://a.example", BadWebUrl::NotOfTheWeb),
            ("https://u:p@a.example", BadWebUrl::UserInformation),
            ("https://a.example#x", BadWebUrl::Fragment),
            ("a.example", BadWebUrl::NotOfTheWeb),
            ("https://", BadWebUrl::NotOfTheWeb),
        ] {
            assert_eq!(url(text), Err(bad), "{text}");
        }
    }
}
