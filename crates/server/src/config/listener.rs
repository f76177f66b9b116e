//! `listeners` and `management`: the addresses that are listened on.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::{Address, Name, Network};

/// An address where requests are accepted. Which service answers is decided by the URLs of the services.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// A name for logs, and for `aws:SourceVpce` in resource policies.
    pub(crate) name: Name,
    /// The IP address and port. It can't be changed by a reload.
    pub(crate) address: Address,
    /// Speak HTTPS here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Networks of reverse proxies whose `Forwarded` and `X-Forwarded-*` headers are believed. When given, TLS may end there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// The port in public URLs, where something in front maps ports. Default: the port of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_port: Option<u16>,
}

/// Where certificates come from: the local CA, or a pair of files.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificates from a CA of our own, made on first use in the data directory, for all hosts of this configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) local_ca: bool,
    /// The certificate chain as PEM, the server's own first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_file: Option<PathBuf>,
    /// The private key as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// CAs as PEM whose client certificates are asked for; a client without one is served all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// The listener for operators: `/healthz`, `/readyz` and `/metrics`, without authentication.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Management {
    /// The IP address and port; port 0 takes a free one and prints it.
    #[serde(default = "default_address")]
    pub(crate) address: Address,
}

impl Default for Management {
    fn default() -> Self {
        Self {
            address: default_address(),
        }
    }
}

fn default_address() -> Address {
    Address(std::net::SocketAddr::from(([127, 0, 0, 1], 9480)))
}
