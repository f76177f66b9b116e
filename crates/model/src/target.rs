//! What stands behind a gateway.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::listing::{Listing, UriPrefix};
use crate::span::{SomeTime, Span, as_text};
use crate::text::setting;
use crate::web_url::{WebUrl, without_query_values};

/// The longest name of a target.
pub const MAX_NAME: usize = 100;

/// The name of a target: letters and digits, single hyphens between them. It cannot contain the `___` that separates
/// it from the name of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(Arc<str>);

/// A text that cannot name a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NAME} letters and digits with single hyphens between them")]
pub struct BadTargetName;

impl TargetName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, to be kept beside others of it.
    pub const fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

impl FromStr for TargetName {
    type Err = BadTargetName;

    fn from_str(text: &str) -> Result<Self, BadTargetName> {
        if is_hyphenated(text, MAX_NAME) {
            Ok(Self(text.into()))
        } else {
            Err(BadTargetName)
        }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    TargetName,
    "target-name",
    "the name of a target: 1 to 100 letters and digits with single hyphens between them",
    "my-mcp-server"
);

/// Whether a text follows AgentCore's pattern `([0-9a-zA-Z][-]?){1,most}`.
pub(crate) fn is_hyphenated(text: &str, most: usize) -> bool {
    let mut characters = 0;
    let mut after_hyphen = true;
    for byte in text.bytes() {
        match byte {
            b'-' if !after_hyphen => after_hyphen = true,
            _ if byte.is_ascii_alphanumeric() => {
                after_hyphen = false;
                characters += 1;
            }
            _ => return false,
        }
    }
    (1..=most).contains(&characters)
}

/// Headers to which HTTP gives a meaning for one message or one connection: whoever sends it has to set them.
const OF_THE_MESSAGE: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Whether a header is the protocol's, HTTP's or MCP's, and so none that an operator may declare.
pub fn is_of_the_protocol(name: &HeaderName) -> bool {
    OF_THE_MESSAGE.contains(&name.as_str()) || name.as_str().starts_with("mcp-")
}

/// Something behind a gateway.
// `Headers` is what stands for its headers: as a file has them, with secrets that are elsewhere, or as they are sent; what is
// secret of them is marked as sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    bound(serialize = "Headers: Serialize + Default + PartialEq")
)]
#[schemars(bound = "Headers: JsonSchema + Serialize + Default + PartialEq")]
pub struct Target<Headers = HeaderMap> {
    /// The prefix of its tools' names.
    pub name: TargetName,
    /// What it is.
    #[serde(flatten)]
    pub kind: TargetKind,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How much it may have to do, and may send.
    #[serde(default)]
    pub limits: Limits,
    /// When it is left alone, so that callers get a quick refusal instead of a long wait.
    #[serde(default)]
    pub circuit_breaker: CircuitBreaker,
    /// How often it is asked what it has. Changes that it announces are seen at once, and a call of a tool that is not in
    /// the list asks for it anew.
    #[serde(default)]
    pub freshness: Freshness,
    /// How it is known what it offers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listing: Listing,
    /// The resources whose URIs begin like this are its own, whatever other targets list. Of two that fit, the longer one holds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub uri_prefixes: Vec<UriPrefix>,
    /// Headers that every request to it has, as most hosted MCP servers want them: an API key, a tenant. Nothing of a caller is ever sent to a target.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Headers,
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Target {
    /// With the default bounds.
    pub fn new(name: TargetName, kind: TargetKind) -> Self {
        Self {
            name,
            kind,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            circuit_breaker: CircuitBreaker::default(),
            freshness: Freshness::default(),
            listing: Listing::default(),
            uri_prefixes: Vec::new(),
            headers: HeaderMap::new(),
        }
    }
}

impl<Headers> Target<Headers> {
    /// The same target with these headers.
    pub fn with_headers<Other>(self, headers: Other) -> Target<Other> {
        let Self {
            name,
            kind,
            timeouts,
            limits,
            circuit_breaker,
            freshness,
            listing,
            uri_prefixes,
            headers: _,
        } = self;
        Target {
            name,
            kind,
            timeouts,
            limits,
            circuit_breaker,
            freshness,
            listing,
            uri_prefixes,
            headers,
        }
    }
}

/// How long a target may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "TargetTimeouts")]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For resolving its name, connecting and TLS together.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub connect: Duration,
    /// For getting to know it, and for each page of its list of tools.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub handshake: Duration,
    /// From sending a call until the answer begins.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub answer: Duration,
    /// Between two pieces of an answer.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub idle: Duration,
    /// How long an answer that is a stream may be without a message before the caller gets its beginning. Until then, what is alone in a stream is passed on as a plain answer.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub first_message: Duration,
    /// For a call as a whole, however much progress it reports.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub total: Duration,
    /// For what a target asks of its caller in the middle of a call: what a person enters, or the caller's model says.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub input: Duration,
    /// How long a caller's session is kept unused, if the target has sessions.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub session_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            answer: Duration::from_mins(5),
            idle: Duration::from_mins(5),
            first_message: Duration::from_secs(10),
            total: Duration::from_hours(1),
            input: Duration::from_mins(10),
            session_idle: Duration::from_mins(30),
        }
    }
}

/// How much a target may have to do, and may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "TargetLimits")]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Calls under way at the same time, each on a connection of its own. More are refused with 503 and `Retry-After`.
    #[schemars(range(min = 1))]
    pub calls: usize,
    /// Sessions at the same time, if the target has sessions. The one unused for longest makes room.
    #[schemars(range(min = 1))]
    pub sessions: usize,
    /// Bytes of an answer, or of one message of an answer that is a stream.
    #[schemars(range(min = 1024))]
    pub message: usize,
    /// Tools of its list. With more, there is no list.
    #[schemars(range(min = 1))]
    pub tools: usize,
    /// Pages of its list.
    #[schemars(range(min = 1))]
    pub pages: usize,
    /// Bytes of all pages of its list.
    #[schemars(range(min = 1024))]
    pub list: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 256,
            sessions: 10_000,
            message: 8 * 1024 * 1024,
            tools: 2_000,
            pages: 100,
            list: 16 * 1024 * 1024,
        }
    }
}

/// How often a target is asked what it has, and what it speaks, where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Freshness {
    /// How old its list of tools may get, whatever it says about keeping it or about announcing changes.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub max_age: Duration,
    /// A list that may not be kept at all is still not asked for more often than this.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub shortest: Duration,
    /// Before a target that does not offer the notifications it announced is asked for them again.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub not_offered: Duration,
    /// The first pause after a failure; it doubles up to `longest_pause`.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub first_pause: Duration,
    /// The longest pause after failures.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub longest_pause: Duration,
    /// Between two questions for its protocol version that odd answers provoke.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub between_probes: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            // With the time that clients may keep ours it makes a minute at most.
            max_age: Duration::from_secs(30),
            shortest: Duration::from_secs(1),
            not_offered: Duration::from_mins(5),
            first_pause: Duration::from_millis(250),
            // One that comes back is to be served soon, and asking costs little (SEC-90).
            longest_pause: Duration::from_secs(2),
            between_probes: Duration::from_secs(1),
        }
    }
}

/// When a target is left alone, so that callers get a quick refusal instead of a long wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// So many calls in a row that could not be sent, had no answer, or had 502, 503 or 504 for one. Where all of them
    /// were those of fewer than four callers and there was a connection, only these are refused. 0 means never.
    pub failures: u32,
    /// For so long calls are refused with 503 and `Retry-After`; then one call finds out whether it is back. Where no
    /// connection could be had, it is called again as soon as there is one.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub pause: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failures: 10,
            pause: Duration::from_secs(2),
        }
    }
}

/// The kinds of targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// An MCP server.
    Mcp(McpServer),
}

/// An MCP server that speaks streamable HTTP, or HTTP+SSE, the transport of 2024-11-05: it is found out which.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// Its endpoint.
    #[serde(serialize_with = "without_query_values")]
    pub url: WebUrl,
}

impl TargetKind {
    /// An MCP server at this endpoint.
    pub const fn mcp(url: Url) -> Self {
        Self::Mcp(McpServer { url: WebUrl(url) })
    }

    /// The URLs that are called, each with its path below the target.
    pub fn urls(&self) -> [(&'static str, &WebUrl); 1] {
        match self {
            Self::Mcp(server) => [("mcp.url", &server.url)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_agentcore() {
        for good in ["a", "my-mcp-server", "A1-", "0"] {
            assert!(good.parse::<TargetName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a--b",
            "a_b",
            "a___b",
            "a b",
            "\u{e9}",
            &"a".repeat(101),
        ] {
            assert_eq!(bad.parse::<TargetName>(), Err(BadTargetName), "{bad}");
        }
    }
}
