//! `connections`: how many there may be at the same time, and how fast requests have to come.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds that keep a few from taking everything. A connection is a file to the system; at start, the soft limit of open files is raised to the hard one, and what is not given here is a share of that.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Connections {
    /// Connections of clients, over all listeners but the one for operators, which has its own. Further ones are refused with 503. Without it, half of the files, but at most 20000. It can't be changed by a reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incoming: Option<NonZeroU32>,
    /// Connections from one address (in IPv6: from one /64). Further ones are refused with 429. Without it, an eighth of `incoming`, but at most 1024. When half of `incoming` is taken, one address gets no more than a sixty-fourth of it. Those of `trusted_proxies` are not counted. It can't be changed by a reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incoming_per_address: Option<NonZeroU32>,
    /// Connections to targets, upstreams and issuers. One server gets at most three quarters of them. Without it, three eighths of the files, but at most 30000. It can't be changed by a reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outgoing: Option<NonZeroU32>,
    /// Bytes per second with which the body of a request has to come once 10 seconds were spent waiting for it. It can't be changed by a reload.
    pub(crate) least_body_rate: NonZeroU32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            incoming: None,
            incoming_per_address: None,
            outgoing: None,
            least_body_rate: NonZeroU32::MIN.saturating_add(1023),
        }
    }
}
