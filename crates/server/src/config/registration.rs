//! `realms[].registration`: clients that register themselves.

use model::registration::{Mode, RegistrationPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::HostPattern;
use crate::config::secret::Source;

/// Clients that register themselves (Dynamic Client Registration, RFC 7591). A registration is forgotten when nobody logs in
/// with it within an hour, and when nobody uses it for 90 days.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registration {
    /// Who may register.
    pub(crate) mode: Mode,
    /// The tokens of mode `token`, at least 16 characters each. A client sends one of them as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) initial_access_tokens: Vec<Source>,
    /// Hosts to which `https` redirect URIs may lead. Those to the user's own machine are always allowed. Without this list,
    /// others are allowed in mode `token` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_domains: Vec<HostPattern>,
    /// Schemes of applications without a dot that redirect URIs may have, such as `cursor` for `cursor://…`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) private_schemes: Vec<String>,
    /// How many registrations of one IPv4 address or IPv6 /64 may wait for their first login, and four times as many of one
    /// IPv6 /48. More are refused. As many of one IPv4 address or IPv6 /48 may be changed or deleted within an hour.
    pub(crate) unused_per_address: u32,
    /// How many registrations may wait for their first login. The oldest of the address, and IPv6 /48, that has most make
    /// room for new ones.
    pub(crate) unused: u32,
}

impl Default for Registration {
    fn default() -> Self {
        let RegistrationPolicy {
            unused_per_address,
            unused,
            ..
        } = RegistrationPolicy::default();
        Self {
            mode: Mode::default(),
            initial_access_tokens: Vec::new(),
            trusted_domains: Vec::new(),
            private_schemes: Vec::new(),
            unused_per_address,
            unused,
        }
    }
}
