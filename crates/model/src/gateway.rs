//! A gateway: one MCP endpoint, whom it admits, and what stands behind it, as configured.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderMap;
use oauth::client_id::ClientId;
use oauth::jose::alg::{Alg, AlgSet};
use oauth::scope::ScopeSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::algs::{self, AlgName};
use crate::span::{SomeTime, as_text};
use crate::target::{Target, is_default, is_hyphenated};
use crate::text::{self, ClientIdText, ScopeText, setting};
use crate::web_url::WebUrl;

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

setting!(
    GatewayName,
    "gateway-name",
    "the name of a gateway: 1 to 48 letters and digits with single hyphens between them",
    "my-gateway"
);

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

/// An issuer, and which of its tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorizer {
    /// The discovery document of the issuer, ending in `/.well-known/openid-configuration` or `/.well-known/oauth-authorization-server…`.
    pub discovery_url: WebUrl,
    /// The name of the issuer, if the discovery document is read from somewhere else: an internal address of the same server, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// A token must be made for one of these. Only for an issuer that puts no `aud` into its tokens (Cognito, for instance) leave it out, and name the clients: a token that has an `aud` is then for somebody else.
    #[serde(default)]
    pub allowed_audiences: Vec<String>,
    /// A token must have all of these scopes.
    #[serde(default, with = "text::list")]
    #[schemars(with = "Vec<ScopeText>")]
    pub allowed_scopes: ScopeSet,
    /// A token must be issued to one of these clients; none means any. The claim is `client_id`, or else `azp`, `cid` or `appid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "text::list")]
    #[schemars(with = "Vec<ClientIdText>")]
    pub allowed_clients: Vec<ClientId>,
    /// A token must be signed by one of these algorithms; none means any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "algs")]
    #[schemars(with = "Vec<AlgName>")]
    pub allowed_algorithms: Vec<Alg>,
    /// A token must have all of these claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_claims: Vec<CustomClaim>,
    /// Accept tokens that were made for somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub danger_any_audience: bool,
}

impl Authorizer {
    /// By which algorithms a token may be signed (SEC-39).
    pub fn algorithms(&self) -> AlgSet {
        match self.allowed_algorithms.as_slice() {
            [] => AlgSet::ALL,
            some => AlgSet::of(some),
        }
    }
}

/// One issuer, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Authorizers {
    /// The tokens of one issuer are accepted.
    One(Box<Authorizer>),
    /// Those of each of these; a token is judged by the rules of the issuer that it names, and by no other's.
    Several(Vec<Authorizer>),
}

impl Authorizers {
    /// All of them, in order.
    pub fn all(&self) -> &[Authorizer] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// Whom a gateway admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization<'g> {
    /// Bearer tokens, issuer by issuer; a token is judged by the rules of the issuer that it names.
    Tokens(&'g [Authorizer]),
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
// `Headers` is what stands for the headers of a target, as [`Target`] says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    bound(
        serialize = "Target<Headers>: Serialize",
        deserialize = "Target<Headers>: Deserialize<'de>"
    )
)]
#[schemars(bound = "Target<Headers>: JsonSchema + Serialize")]
pub struct Gateway<Headers = HeaderMap> {
    /// A name for logs.
    pub name: GatewayName,
    /// The MCP endpoint. It is the identifier of the protected resource, too.
    pub url: WebUrl,
    /// Who may call: the issuer whose tokens are accepted, or a list of issuers, each with its own rules. Clients that have no token yet are sent to the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<Authorizers>,
    /// In place of `authorizer`: every program on this machine may call, without a token. The URL must be one of this machine, and the listeners where it arrives must be bound to loopback addresses and have no `trusted_proxies`. Tokens that clients send all the same are not looked at and not passed on; web pages are held to `allowed_origins` as ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub danger_no_authorization: bool,
    /// How tools are named.
    #[serde(default)]
    pub tool_names: ToolNames,
    /// Origins of web pages that may call, besides those on the caller's own machine: `https://inspector.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// What is behind the gateway.
    #[serde(default)]
    pub targets: Vec<Target<Headers>>,
    /// From where the gateway may be called, as a resource-based policy in the JSON form of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_policy: Option<Value>,
    /// How much each caller may have under way at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub caller_limits: CallerLimits,
    /// What it takes and keeps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
}

impl<Headers> Gateway<Headers> {
    /// Whom it admits.
    pub fn authorization(&self) -> Authorization<'_> {
        if self.danger_no_authorization {
            Authorization::DangerNone
        } else {
            Authorization::Tokens(self.authorizer.as_ref().map_or(&[], Authorizers::all))
        }
    }

    /// The same gateway with its targets as another stage of the configuration has them.
    pub fn with_targets<Other>(self, targets: Vec<Target<Other>>) -> Gateway<Other> {
        let Self {
            name,
            url,
            authorizer,
            danger_no_authorization,
            tool_names,
            allowed_origins,
            targets: _,
            resource_policy,
            caller_limits,
            limits,
        } = self;
        Gateway {
            name,
            url,
            authorizer,
            danger_no_authorization,
            tool_names,
            allowed_origins,
            targets,
            resource_policy,
            caller_limits,
            limits,
        }
    }
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
