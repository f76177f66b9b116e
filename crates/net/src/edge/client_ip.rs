//! Who is asking, when a proxy of ours stands in between.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed (SEC-58).
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Believes these networks and nobody else.
    pub fn new(networks: Vec<IpNet>) -> Self {
        todo!()
    }

    /// The client's address: the right-most one that is not a trusted proxy's.
    pub fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        todo!()
    }
}
