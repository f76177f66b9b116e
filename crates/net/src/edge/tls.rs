//! Ends TLS: certificates by name, hot-swappable, with optional client certificates.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;

/// A certificate chain with its key.
#[derive(Clone)]
pub struct Certificate {}

/// Why a certificate is unusable.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate in the PEM text.
    #[error("no certificate found")]
    NoCertificate,
    /// No private key in the PEM text.
    #[error("no private key found")]
    NoKey,
    /// The key is of an unknown kind or does not fit the certificate.
    #[error("key is unusable or does not fit the certificate")]
    Key,
}

impl Certificate {
    /// From PEM texts.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        todo!()
    }
    /// From PEM files.
    pub async fn from_files(
        chain: &std::path::Path,
        key: &std::path::Path,
    ) -> Result<Self, CertificateError> {
        todo!()
    }
}

/// The certificates of a listener. Shared, and replaceable while it runs.
pub struct Certificates {}

impl Certificates {
    /// The first one is for clients that name no host.
    pub fn new(certificates: Vec<Certificate>) -> Arc<Self> {
        todo!()
    }
    /// Replaces all; connections under way keep theirs.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        todo!()
    }
}

/// The TLS side of a listener. Cheap to clone.
#[derive(Clone)]
pub struct Tls {}

impl Tls {
    /// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1.
    pub fn new(certificates: Arc<Certificates>) -> Self {
        todo!()
    }
    /// Also asks for client certificates; who shows none is let in all the same.
    pub fn with_client_ca(
        certificates: Arc<Certificates>,
        client_ca_pem: &[u8],
    ) -> Result<Self, CertificateError> {
        todo!()
    }
    /// Performs the handshake. There is no time limit here.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        todo!()
    }
}

/// A connection with TLS on it.
pub struct TlsStream {}
