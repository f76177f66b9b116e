//! `egress`: which addresses may be called, and how names are found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use model::network::Network;

use crate::config::scalar::Address;

/// Outgoing requests to URLs of this configuration: discovery documents, keys, targets.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Egress {
    /// Host names that are not asked of DNS, and where they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hosts: BTreeMap<String, Address>,
    /// CAs as PEM that are trusted besides those of the system. The local CA is trusted by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extra_ca_files: Vec<PathBuf>,
    /// Private and other special-use networks that URLs of this configuration may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allow_networks: Vec<Network>,
}
