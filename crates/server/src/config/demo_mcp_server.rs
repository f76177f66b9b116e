//! `demo_mcp_server`: the built-in MCP server with three small tools.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{Address, WebUrl};

/// The built-in MCP server with the tools `add_numbers`, `multiply_numbers` and `greet_user`, without authentication.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemoMcpServer {
    /// Listen on an address of its own, with the path `/mcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// Serve it under this URL on one of the listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<WebUrl>,
}
