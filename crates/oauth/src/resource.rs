//! Resource indicators (RFC 8707): absolute URIs, compared in a canonical form.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use url::Url;

use crate::error::{ErrorCode, OauthError};
use crate::raw_url;

/// The longest resource indicator, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Why a resource indicator was refused (all are `invalid_target`, RFC 8707 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the resource is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A space, control or non-ASCII character, or a backslash.
    #[error("the resource contains a character that no URI contains")]
    BadCharacter,
    /// Not an absolute URI.
    #[error("the resource is not an absolute URI")]
    NotAbsolute,
    /// A fragment.
    #[error("the resource contains a fragment")]
    Fragment,
    /// User information before the host.
    #[error("the resource contains user information")]
    UserInformation,
    /// A segment `.` or `..`: the boundary between resources would be unclear (SEC-37).
    #[error("the resource contains a dot segment")]
    DotSegment,
}

impl From<ResourceError> for OauthError {
    fn from(error: ResourceError) -> Self {
        Self::new(ErrorCode::InvalidTarget, error.to_string())
    }
}

/// A resource indicator. Two are equal when they name the same resource: scheme and host in any case, the default
/// port spelled or not, with or without one trailing slash (AS-30, SEC-37).
#[derive(Clone, Debug)]
pub struct Resource {
    text: String,
    canonical: String,
}

impl Resource {
    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The canonical form: lower-case scheme and host, no default port, no trailing slash.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        if text.len() > MAX_LENGTH {
            return Err(ResourceError::TooLong);
        }
        if !text
            .bytes()
            .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\')
        {
            return Err(ResourceError::BadCharacter);
        }
        let raw = raw_url::split(text).ok_or(ResourceError::NotAbsolute)?;
        if raw.fragment.is_some() {
            return Err(ResourceError::Fragment);
        }
        if raw
            .authority
            .is_some_and(|authority| authority.contains('@'))
        {
            return Err(ResourceError::UserInformation);
        }
        if raw.authority.is_some() && raw_url::has_dot_segment(raw.path) {
            return Err(ResourceError::DotSegment);
        }
        let url = Url::parse(text).map_err(|_| ResourceError::NotAbsolute)?;
        let parsed = url.as_str();
        let canonical = match raw.query {
            // A slash within a query is part of a value.
            Some(_) => match parsed.split_once('?') {
                Some((before, query)) => format!("{}?{query}", without_trailing_slash(before)),
                None => parsed.to_owned(),
            },
            None => without_trailing_slash(parsed).to_owned(),
        };
        Ok(Self {
            text: text.to_owned(),
            canonical,
        })
    }
}

fn without_trailing_slash(text: &str) -> &str {
    text.strip_suffix('/')
        .filter(|rest| !rest.ends_with(['/', ':']))
        .unwrap_or(text)
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Resource {}

impl Hash for Resource {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn resource(text: &str) -> Resource {
        text.parse().unwrap()
    }

    // AS-30, SEC-37
    #[test]
    fn spellings_of_one_resource_are_equal() {
        let gateway = resource("https://gateway.example.com/mcp");
        for same in [
            "https://gateway.example.com/mcp/",
            "HTTPS://Gateway.Example.COM/mcp",
            "https://gateway.example.com:443/mcp",
        ] {
            assert_eq!(gateway, resource(same), "{same}");
        }
        assert_eq!(resource("https://h"), resource("https://h/"));
        assert_eq!(resource("http://h:80"), resource("http://h/"));
    }

    // SEC-37
    #[test]
    fn other_resources_differ() {
        let one = resource("https://h/mcp/a");
        for other in [
            "https://h/mcp/b",
            "https://h/mcp/ab",
            "https://h/mcp",
            "https://h/mcp/a//",
            "https://h/mcp/A",
            "https://h:8443/mcp/a",
            "http://h/mcp/a",
            "https://h/mcp/a?x",
            "https://h/mcp/a/b",
        ] {
            assert_ne!(one, resource(other), "{other}");
        }
    }

    // AS-29
    #[test]
    fn what_is_no_resource_is_refused() {
        for (text, error) in [
            ("/mcp", ResourceError::NotAbsolute),
            ("mcp-gateway-demo", ResourceError::NotAbsolute),
            ("https://h/mcp#x", ResourceError::Fragment),
            ("https://h/mcp#", ResourceError::Fragment),
            ("https://u@h/mcp", ResourceError::UserInformation),
            ("https://h/a/../b", ResourceError::DotSegment),
            ("https://h/%2E%2e/b", ResourceError::DotSegment),
            ("https://h/a b", ResourceError::BadCharacter),
            ("", ResourceError::NotAbsolute),
        ] {
            assert_eq!(text.parse::<Resource>(), Err(error), "{text}");
        }
    }

    #[test]
    fn names_without_authority_are_resources_too() {
        assert_eq!(resource("urn:example:api").canonical(), "urn:example:api");
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_stable(text in "https?://[a-zA-Z0-9.-]{1,12}(:[0-9]{1,4})?(/[a-zA-Z0-9._~%-]{0,6}){0,4}/?") {
            if let Ok(parsed) = text.parse::<Resource>() {
                prop_assert_eq!(resource(parsed.canonical()), parsed);
            }
        }
    }
}
