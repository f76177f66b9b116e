//! What is known of a caller's surroundings: where a request came from and how.

use std::net::IpAddr;

/// The facts that conditions of a resource policy read. `None` is AWS's "key not present in the
/// request": positive operators then fail and negated ones hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerFacts<'a> {
    /// The client's address, behind trusted proxies. `None` if the transport has no addresses.
    pub address: Option<IpAddr>,
    /// The name of the listener that accepted the connection.
    pub listener: Option<&'a str>,
    /// Did the request come over TLS?
    pub tls: bool,
    /// Did the client present a certificate that the listener verified?
    pub client_certificate: bool,
}
