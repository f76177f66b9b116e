//! All that stands in the file.

use std::num::NonZeroU16;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    connections, demo_mcp_server, document, egress, gateway, listener, proxy, realm, shutdown,
    store,
};

/// Sekisho: an MCP gateway and an OAuth 2.1 authorization server.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The addresses that are listened on.
    #[serde(default)]
    pub(crate) listeners: Vec<listener::Listener>,
    /// The listener for operators: `/healthz`, `/readyz`, `/metrics`.
    #[serde(default)]
    pub(crate) management: listener::Management,
    /// How many connections there may be at the same time, and how fast requests have to come.
    #[serde(default)]
    pub(crate) connections: connections::Connections,
    /// How the program ends when it is told to.
    #[serde(default)]
    pub(crate) shutdown: shutdown::Shutdown,
    /// Threads that serve connections, each on its own. Without it, one for each processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker_threads: Option<NonZeroU16>,
    /// Where files are kept: the database, its key, the local CA. A relative path starts at the configuration file.
    #[serde(default = "default_data_directory")]
    pub(crate) data_directory: PathBuf,
    /// The database.
    #[serde(default)]
    pub(crate) store: store::Store,
    /// Outgoing requests.
    #[serde(default)]
    pub(crate) egress: egress::Egress,
    /// Authorization servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) realms: Vec<realm::Realm>,
    /// Client metadata documents that are hosted here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) documents: Vec<document::Document>,
    /// MCP endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<gateway::Gateway>,
    /// Origins of other servers that this program stands in front of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) proxies: Vec<proxy::Proxy>,
    /// The built-in MCP server of the demonstration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) demo_mcp_server: Option<demo_mcp_server::DemoMcpServer>,
}

fn default_data_directory() -> PathBuf {
    PathBuf::from("sekisho-data")
}
