//! `gateways`: MCP endpoints, who may call them, and the targets behind them.

use model::algs::{self, AlgName};
use model::gateway::{CallerLimits, CustomClaim, Limits as GatewayLimits, ToolNames};
use model::target::{CircuitBreaker, Freshness, Limits, Timeouts};
use oauth::jose::alg::Alg;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{Name, WebUrl, without_query_values};
use crate::config::secret::Source;

/// One MCP endpoint in front of targets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gateway {
    /// A name for logs.
    pub(crate) name: Name,
    /// The MCP endpoint. It is the identifier of the protected resource, too.
    pub(crate) url: WebUrl,
    /// Who may call: the issuer whose tokens are accepted, or a list of issuers, each with its own rules. Clients that have no token yet are sent to the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authorizer: Option<Authorizers>,
    /// In place of `authorizer`: every program on this machine may call, without a token. The URL must be one of this machine, and the listeners where it arrives must be bound to loopback addresses and have no `trusted_proxies`. Tokens that clients send all the same are not looked at and not passed on; web pages are held to `allowed_origins` as ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) danger_no_authorization: bool,
    /// How tools are named.
    #[serde(default)]
    pub(crate) tool_names: ToolNames,
    /// Origins of web pages that may call, besides those on the caller's own machine: `https://inspector.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed_origins: Vec<String>,
    /// What is behind the gateway.
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
    /// From where the gateway may be called, as a resource-based policy in the JSON form of AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_policy: Option<serde_json::Value>,
    /// How much each caller may have under way at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) caller_limits: CallerLimits,
    /// What it takes and keeps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) limits: GatewayLimits,
}

impl Gateway {
    /// Its issuers, each with its path below that of the gateway.
    pub(crate) fn authorizers(&self, path: &str) -> Vec<(String, &Authorizer)> {
        self.authorizer
            .as_ref()
            .map(|authorizers| authorizers.at(path))
            .unwrap_or_default()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One issuer, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Authorizers {
    /// The tokens of one issuer are accepted.
    One(Box<Authorizer>),
    /// Those of each of these; a token is judged by the rules of the issuer that it names, and by no other's.
    Several(Vec<Authorizer>),
}

impl Authorizers {
    /// All of them, each with its path below that of the gateway.
    fn at(&self, gateway: &str) -> Vec<(String, &Authorizer)> {
        match self {
            Self::One(one) => vec![(format!("{gateway}.authorizer"), one)],
            Self::Several(several) => several
                .iter()
                .enumerate()
                .map(|(index, one)| (format!("{gateway}.authorizer[{index}]"), one))
                .collect(),
        }
    }
}

/// An issuer, and which of its tokens are accepted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authorizer {
    /// The discovery document of the issuer, ending in `/.well-known/openid-configuration` or `/.well-known/oauth-authorization-server…`.
    pub(crate) discovery_url: WebUrl,
    /// The name of the issuer, if the discovery document is read from somewhere else: an internal address of the same server, for instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// A token must be made for one of these. Only for an issuer that puts no `aud` into its tokens (Cognito, for instance) leave it out, and name the clients: a token that has an `aud` is then for somebody else.
    #[serde(default)]
    pub(crate) allowed_audiences: Vec<String>,
    /// A token must have all of these scopes.
    #[serde(default)]
    pub(crate) allowed_scopes: Vec<String>,
    /// A token must be issued to one of these clients; none means any. The claim is `client_id`, or else `azp`, `cid` or `appid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed_clients: Vec<String>,
    /// A token must be signed by one of these algorithms; none means any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "algs")]
    #[schemars(with = "Vec<AlgName>")]
    pub(crate) allowed_algorithms: Vec<Alg>,
    /// A token must have all of these claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom_claims: Vec<CustomClaim>,
    /// Accept tokens that were made for somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) danger_any_audience: bool,
}

/// Something behind a gateway.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// The prefix of its tools' names.
    pub(crate) name: Name,
    /// An MCP server.
    pub(crate) mcp: McpServer,
    /// How long it may take.
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    /// How much it may have to do, and may send.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// When it is left alone, so that callers get a quick refusal instead of a long wait.
    #[serde(default)]
    pub(crate) circuit_breaker: CircuitBreaker,
    /// How often it is asked what it has. Changes that it announces are seen at once, and a call of a tool that is not in
    /// the list asks for it anew.
    #[serde(default)]
    pub(crate) freshness: Freshness,
    /// Headers that every request to it has, as most hosted MCP servers want them: an API key, a tenant. Nothing of a caller is ever sent to a target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) headers: Vec<Header>,
}

/// A header of every request to a target.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Its name. Those that the protocols give a meaning, such as `Host`, `Accept` and all that begin with `Mcp-`, can't be set.
    pub(crate) name: String,
    /// What it says, if that is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// What it says, if that is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Source>,
    /// What stands before the secret, with a space between them: `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<String>,
}

/// An MCP server that speaks streamable HTTP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct McpServer {
    /// Its endpoint.
    #[serde(serialize_with = "without_query_values")]
    pub(crate) url: WebUrl,
}
