//! `gateways`: MCP endpoints, who may call them, and the targets behind them, as a file has them.

use model::gateway::{self, Authorizer, Authorizers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::secret::Source;

/// One MCP endpoint in front of targets.
pub(crate) type Gateway = gateway::Gateway<Vec<Header>>;

/// The issuers of a gateway, each with its path below that of the gateway.
pub(crate) fn authorizers<'g>(gateway: &'g Gateway, path: &str) -> Vec<(String, &'g Authorizer)> {
    match &gateway.authorizer {
        None => Vec::new(),
        Some(Authorizers::One(one)) => vec![(format!("{path}.authorizer"), one)],
        Some(Authorizers::Several(several)) => several
            .iter()
            .enumerate()
            .map(|(index, one)| (format!("{path}.authorizer[{index}]"), one))
            .collect(),
    }
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
