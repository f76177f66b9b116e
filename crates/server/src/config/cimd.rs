//! `realms[].cimd`: clients that identify themselves by the URL of a metadata document.

use model::client_policy::{CacheBounds, CimdPolicy, Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{HostPattern, Network};

/// Clients that identify themselves by the URL of a metadata document (Client ID Metadata Documents).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cimd {
    /// Whose documents are accepted.
    pub(crate) mode: Mode,
    /// Accept `http` URLs: for development only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_http: bool,
    /// Hosts of documents and of the URLs in them; mode `allowlist` requires it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_domains: Vec<HostPattern>,
    /// Require that the document, its redirect URIs and its other URLs are under the same trusted domain.
    pub(crate) restrict_same_domain: bool,
    /// Properties that a document must have.
    pub(crate) required_properties: Vec<String>,
    /// Accept only clients that authenticate with a key.
    pub(crate) only_confidential: bool,
    /// Ports that documents may be fetched from.
    pub(crate) ports: Vec<u16>,
    /// Fetch documents from any port.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) danger_any_port: bool,
    /// Private and other special-use networks that strangers may make this program call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) danger_allow_networks: Vec<Network>,
    /// How long a document is kept.
    pub(crate) cache: CacheBounds,
}

impl Default for Cimd {
    fn default() -> Self {
        let CimdPolicy {
            restrict_same_domain,
            required_properties,
            only_confidential,
            ports,
            cache,
            ..
        } = CimdPolicy::default();
        Self {
            mode: Mode::default(),
            allow_http: false,
            trusted_domains: Vec::new(),
            restrict_same_domain,
            required_properties,
            only_confidential,
            ports: ports.unwrap_or_default(),
            danger_any_port: false,
            danger_allow_networks: Vec::new(),
            cache,
        }
    }
}
