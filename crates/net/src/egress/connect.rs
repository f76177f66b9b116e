//! Dials a destination: resolve once, check every address, connect to a checked one, speak TLS.

use std::sync::Arc;

use crate::egress::resolve::Resolver;
use crate::egress::rules::Refusal;

/// Certificates trusted beside the system's.
#[derive(Clone, Debug, Default)]
pub struct ExtraRoots {}

/// The text is not a list of certificates.
#[derive(Debug, thiserror::Error)]
#[error("not a list of certificates in PEM form")]
pub struct NotCertificates;

impl ExtraRoots {
    /// Adds all certificates of a PEM text; an empty text is an error.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), NotCertificates> {
        todo!()
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The rules forbid this destination or one of its addresses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The name could not be resolved.
    #[error("name could not be resolved")]
    NotResolved(#[source] std::io::Error),
    /// The name has no addresses.
    #[error("name has no addresses")]
    NoAddresses,
    /// No address accepted the connection.
    #[error("connection failed")]
    Unreachable(#[source] std::io::Error),
    /// The TLS handshake failed, for instance because the certificate is not trusted.
    #[error("TLS handshake failed")]
    Tls(#[source] std::io::Error),
    /// The time was over.
    #[error("connecting took too long")]
    TimedOut,
}

/// Makes connections; shared by everything that dials.
pub struct Connector {}

impl Connector {
    /// A connector that trusts the system's roots and `roots`, and asks `resolver` for addresses.
    pub fn new(resolver: Arc<dyn Resolver>, roots: ExtraRoots) -> Self {
        todo!()
    }
}
