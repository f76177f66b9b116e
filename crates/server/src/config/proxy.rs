//! `proxies`: the edge in front of somebody else's server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::WebUrl;

/// Requests to an origin or to the paths below a URL go to another server as they are.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    /// What is served here: an origin, or a URL with all paths below it.
    pub(crate) url: WebUrl,
    /// Where it really is: an origin. The path stays as it is.
    pub(crate) upstream: WebUrl,
}
