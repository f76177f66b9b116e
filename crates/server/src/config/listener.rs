//! `listeners` and `management`: the addresses that are listened on.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use model::network::Network;

use crate::config::scalar::{Address, HostPattern, Name};

/// An address where requests are accepted. It serves the services whose URLs have its scheme and port; with `trusted_proxies`, these get those services as well whose URLs no listener has.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// A name for logs, and for `aws:SourceVpce` in resource policies.
    pub(crate) name: Name,
    /// The IP address and port. It can't be changed by a reload.
    pub(crate) address: Address,
    /// Speak HTTPS here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Networks of reverse proxies that are believed about the client's address, the host it asked for, and whether it used TLS. Services whose URLs have another scheme or port than this listener are served to them only. It can't be changed by a reload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_proxies: Vec<Network>,
    /// Which headers these proxies set. It can't be changed by a reload.
    #[serde(default)]
    pub(crate) forwarded_by: ForwardedBy,
    /// The host names that are served here: `app.example.com`, `*.example.com`. Without it, those of all URLs that arrive here. With it, `trusted_proxies` are served these names although the URLs are those of another listener.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<HostPattern>,
    /// The port in public URLs, where something in front maps ports. Default: the port of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) public_port: Option<u16>,
}

/// The headers in which proxies tell about requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardedBy {
    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`; `Forwarded` only where there is none of them.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239) and nothing else.
    Forwarded,
}

/// Where certificates come from: the local CA, or a pair of files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Management {
    /// The IP address and port; port 0 takes a free one and prints it.
    pub(crate) address: Address,
    /// Host names by which it may be called, besides `localhost`, loopback addresses and its own address: `sekisho.monitoring.svc`, `*.internal`. A web page can have its own name resolve to this address, so other names are refused. It can't be changed by a reload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<HostPattern>,
    /// What must be there for `/readyz` to say so, besides the database of an authorization server: `gateway_keys`, the keys of every issuer; `targets`, every target. What is not decisive is told by `/readyz?verbose`. Default: nothing, as all nodes would be taken out of service at once when an issuer or a target is away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ready_needs: Vec<Need>,
}

/// What `/readyz` can be made to depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Need {
    /// The keys of every issuer that a gateway trusts.
    GatewayKeys,
    /// Every target of a gateway.
    Targets,
}

impl Default for Management {
    fn default() -> Self {
        Self {
            address: Address(std::net::SocketAddr::from(([127, 0, 0, 1], 9480))),
            hosts: Vec::new(),
            ready_needs: Vec::new(),
        }
    }
}
