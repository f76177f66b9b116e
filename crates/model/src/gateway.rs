//! A gateway: one MCP endpoint, whom it admits, and what stands behind it, as configured.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use oauth::client_id::ClientId;
use oauth::jose::alg::AlgSet;
use oauth::scope::ScopeSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::span::{SomeTime, as_text};
use crate::target::{Target, is_hyphenated};

/// The longest name of a gateway.
pub const MAX_NAME: usize = 48;

/// The name of a gateway: letters and digits, single hyphens between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayName(String);

/// A text that cannot name a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {MAX_NAME} letters and digits with single hyphens between them")]
pub struct BadGatewayName;

impl GatewayName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GatewayName {
    type Err = BadGatewayName;

    fn from_str(text: &str) -> Result<Self, BadGatewayName> {
        if is_hyphenated(text, MAX_NAME) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadGatewayName)
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How tools are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolNames {
    /// `target___tool`.
    #[default]
    Prefixed,
    /// As the target names them; two targets with a tool of the same name are then an error.
    Bare,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomClaim {
    /// The name of the claim. `realm_access.roles` is the claim `roles` within `realm_access`, unless there is one that is called just that.
    #[serde(rename = "claim")]
    pub name: String,
    /// What it must be.
    #[serde(rename = "is")]
    pub rule: ClaimRule,
}

/// What a claim must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClaimRule {
    /// This text.
    Equals(String),
    /// A list with this text in it.
    Contains(String),
    /// A list with at least one of these texts in it.
    ContainsAny(Vec<String>),
}

impl CustomClaim {
    /// Whether the claim, if there is one, satisfies the rule. A claim of another type never does.
    pub fn is_met_by(&self, claim: Option<&Value>) -> bool {
        let contains = |array: &Vec<Value>, wanted: &String| {
            array.iter().any(|element| element.as_str() == Some(wanted))
        };
        match (&self.rule, claim) {
            (ClaimRule::Equals(wanted), Some(Value::String(text))) => text == wanted,
            (ClaimRule::Contains(wanted), Some(Value::Array(array))) => contains(array, wanted),
            (ClaimRule::ContainsAny(wanted), Some(Value::Array(array))) => {
                wanted.iter().any(|one| contains(array, one))
            }
            _ => false,
        }
    }
}

/// Of whom a gateway admits tokens, and which: JWTs of this issuer that satisfy every list that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorizer {
    /// Where the issuer's metadata is: a URL with `/.well-known/openid-configuration` or
    /// `/.well-known/oauth-authorization-server`.
    pub discovery_url: Url,
    /// What the issuer is called, where its discovery URL does not say it: the document must name it (RFC 8414 §3.3).
    pub issuer: Option<String>,
    /// One of these must be in `aud` (SEC-37). Without any, there must be no `aud`, and the client decides.
    pub allowed_audiences: Vec<String>,
    /// What the challenge asks for, and the token must have.
    pub allowed_scopes: ScopeSet,
    /// One of these must be `client_id` or, without that claim, `azp`, `cid` or `appid`.
    pub allowed_clients: Vec<ClientId>,
    /// By one of these a token must be signed (SEC-39).
    pub allowed_algorithms: AlgSet,
    /// Every one of these must hold.
    pub custom_claims: Vec<CustomClaim>,
    /// Admits tokens for any audience.
    pub danger_any_audience: bool,
}

/// Whom a gateway admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// Bearer tokens, issuer by issuer; a token is judged by the rules of the issuer that it names.
    Tokens(Vec<Authorizer>),
    /// Everybody on this machine, whatever token comes along. Whoever listens sees to it that nobody else gets here.
    DangerNone,
}

/// How much one caller may have under way at once. A caller is a subject at a client of an issuer, with all its tokens; without authorization, all callers together are one. Who meets a limit is refused with `Retry-After`; honest clients do not meet the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallerLimits {
    /// Requests that are being answered.
    #[schemars(range(min = 1))]
    pub calls: usize,
    /// Streams that stay open and wait for news.
    #[schemars(range(min = 1))]
    pub streams: usize,
    /// Bytes of its messages in memory: requests, and answers from their first byte until it has read them. Messages of up to 16 KiB are not counted.
    #[schemars(range(min = 1))]
    pub bytes: usize,
    /// The same of all callers of this gateway together.
    #[schemars(range(min = 1))]
    pub bytes_of_all: usize,
}

impl Default for CallerLimits {
    fn default() -> Self {
        Self {
            calls: 256,
            streams: 64,
            bytes: 32 * 1024 * 1024,
            bytes_of_all: 256 * 1024 * 1024,
        }
    }
}

/// Bounds of what a gateway takes and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "GatewayLimits")]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of the body of a request. A longer one is refused with 413.
    #[schemars(range(min = 1024))]
    pub body: usize,
    /// How long the body of a request may stall; as a whole it may take eight times as long.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub body_idle: Duration,
    /// Tools on each page of a list.
    #[schemars(range(min = 1))]
    pub page_size: usize,
    /// Tokens that are remembered as verified, so that their signatures are not checked at each request.
    #[schemars(range(min = 1))]
    pub verified_tokens: usize,
    /// How often a stream on which nothing happens gets a comment, so that nobody on the way takes it for dead.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub keep_alive: Duration,
    /// How long a session of a client lives that speaks a version of MCP with sessions.
    #[serde(with = "as_text")]
    #[schemars(with = "SomeTime")]
    pub session: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 * 1024 * 1024,
            body_idle: Duration::from_secs(15),
            page_size: 100,
            verified_tokens: 10_000,
            keep_alive: Duration::from_secs(15),
            session: Duration::from_hours(24),
        }
    }
}

/// One MCP endpoint in front of targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: GatewayName,
    /// The endpoint as clients know it, and its resource identifier.
    pub url: Url,
    /// Whom it admits.
    pub authorization: Authorization,
    /// How tools are named.
    pub tool_names: ToolNames,
    /// What stands behind it.
    pub targets: Vec<Target>,
    /// Origins of browser applications that may call it, beside loopback ones (TM-2).
    pub allowed_origins: Vec<String>,
    /// The JSON text of its resource policy.
    pub resource_policy: Option<String>,
    /// How much each caller may have under way.
    pub caller_limits: CallerLimits,
    /// What it takes and keeps.
    pub limits: Limits,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(rule: ClaimRule) -> CustomClaim {
        CustomClaim {
            name: "groups".to_owned(),
            rule,
        }
    }

    // SEC-41
    #[test]
    fn a_claim_rule_compares_whole_strings_of_the_right_type() {
        let equals = claim(ClaimRule::Equals("ops".to_owned()));
        assert!(equals.is_met_by(Some(&json!("ops"))));
        for other in [
            json!("opsx"),
            json!("OPS"),
            json!(["ops"]),
            json!(null),
            json!(1),
        ] {
            assert!(!equals.is_met_by(Some(&other)), "{other}");
        }
        assert!(!equals.is_met_by(None));
    }

    #[test]
    fn array_rules_look_for_elements() {
        let contains = claim(ClaimRule::Contains("ops".to_owned()));
        assert!(contains.is_met_by(Some(&json!(["dev", "ops"]))));
        assert!(!contains.is_met_by(Some(&json!("dev ops"))));
        let any = claim(ClaimRule::ContainsAny(vec![
            "ops".to_owned(),
            "admin".to_owned(),
        ]));
        assert!(any.is_met_by(Some(&json!(["admin"]))));
        assert!(!any.is_met_by(Some(&json!(["dev", 7]))));
        assert!(!claim(ClaimRule::ContainsAny(Vec::new())).is_met_by(Some(&json!(["admin"]))));
    }
}
