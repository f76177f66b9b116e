//! What stands behind a gateway.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

/// The longest name of a target.
pub const MAX_NAME: usize = 100;

/// The name of a target: letters and digits, single hyphens between them. It cannot contain the `___` that separates
/// it from the name of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(String);

/// A text that cannot name a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NAME} letters and digits with single hyphens between them")]
pub struct BadTargetName;

impl TargetName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TargetName {
    type Err = BadTargetName;

    fn from_str(text: &str) -> Result<Self, BadTargetName> {
        if is_hyphenated(text, MAX_NAME) {
            Ok(Self(text.to_owned()))
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

/// A target with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique within its gateway.
    pub name: TargetName,
    /// What it is.
    pub kind: TargetKind,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// How much it may have to do, and when it is left alone.
    pub guard: Guard,
    /// How old its list of tools may get.
    pub list_max_age: Duration,
}

impl Target {
    /// With the default bounds.
    pub fn new(name: TargetName, kind: TargetKind) -> Self {
        Self {
            name,
            kind,
            timeouts: Timeouts::default(),
            guard: Guard::default(),
            list_max_age: DEFAULT_LIST_MAX_AGE,
        }
    }
}

/// How old a list of tools may get if the operator does not say. With the time that clients may keep ours it makes a
/// minute at most.
pub const DEFAULT_LIST_MAX_AGE: Duration = Duration::from_secs(30);

/// How long a target may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For resolving its name, connecting and TLS together.
    pub connect: Duration,
    /// For getting to know it, and for each page of its list of tools.
    pub handshake: Duration,
    /// From sending a call until the answer begins.
    pub answer: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For a call as a whole, however much progress it reports.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            answer: Duration::from_mins(5),
            idle: Duration::from_mins(5),
            total: Duration::from_hours(1),
        }
    }
}

/// What keeps one target from taking the whole process with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Calls under way at the same time.
    pub calls: usize,
    /// Failures in a row after which it is not called for a while; 0 means never.
    pub failures: u32,
    /// How long that while is.
    pub pause: Duration,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            calls: 256,
            failures: 10,
            pause: Duration::from_secs(2),
        }
    }
}

/// The kinds of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// An MCP server over Streamable HTTP.
    Mcp {
        /// Its endpoint.
        url: Url,
    },
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
