//! How it is known what a target offers, and which resources are its own.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::setting;

/// How it is known what a target offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Its lists are kept in sync: they are asked for at the start, when a change is announced, when a caller asks for what is not among them, and when they are old.
    #[default]
    InSync,
    /// They are asked for when they are as old as `freshness.max_age` says, and by `sekisho targets sync`.
    Scheduled,
    /// They are asked for at the start, and by `sekisho targets sync`.
    OnDemand,
    /// They are asked for whenever a caller asks, on that caller's behalf: for targets that do not offer the same to everybody.
    Dynamic,
    /// They are not asked for: this is what it offers.
    Static(Offered),
}

impl Listing {
    /// What the configuration calls it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Scheduled => "scheduled",
            Self::OnDemand => "on_demand",
            Self::Dynamic => "dynamic",
            Self::Static(_) => "static",
        }
    }
}

/// What a target offers, as it would list it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Offered {
    /// Definitions as in the result of `tools/list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Map<String, Value>>,
    /// Definitions as in the result of `prompts/list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Map<String, Value>>,
    /// Definitions as in the result of `resources/list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Map<String, Value>>,
    /// Definitions as in the result of `resources/templates/list`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_templates: Vec<Map<String, Value>>,
}

/// What URIs begin with that are a target's own: a scheme with its colon, and any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UriPrefix(Box<str>);

/// A text with which no URI begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a scheme with its colon, and any more of a URI")]
pub struct BadUriPrefix;

impl UriPrefix {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UriPrefix {
    type Err = BadUriPrefix;

    fn from_str(text: &str) -> Result<Self, BadUriPrefix> {
        // RFC 3986 §3.1
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let is_visible = text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        if scheme.is_some_and(is_scheme) && is_visible && text.len() <= 1024 {
            Ok(Self(text.into()))
        } else {
            Err(BadUriPrefix)
        }
    }
}

impl fmt::Display for UriPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    UriPrefix,
    "uri-prefix",
    "what URIs begin with: a scheme with its colon, and any more",
    "docs://handbook/"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_a_scheme() {
        for good in ["docs:", "file:///srv/", "ui://app", "x+y.z-1:a"] {
            assert_eq!(
                good.parse::<UriPrefix>()
                    .map(|it| it.to_string())
                    .as_deref(),
                Ok(good)
            );
        }
        for bad in [
            "", "docs", ":x", "1a:", "a b:", "do_cs:", "docs: x", "docs:\n",
        ] {
            assert_eq!(bad.parse::<UriPrefix>(), Err(BadUriPrefix), "{bad}");
        }
    }
}
