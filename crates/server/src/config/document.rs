//! `documents`: the client metadata documents that this program hosts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::WebUrl;

/// A client metadata document that this program hosts. Its URL is the client's identifier.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// Where it is served, and the `client_id` in it.
    pub(crate) url: WebUrl,
    /// The document: `client_name`, `redirect_uris` and whatever else of RFC 7591. `client_id` is filled in.
    pub(crate) document: serde_json::Map<String, serde_json::Value>,
}
