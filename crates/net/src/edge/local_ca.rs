//! A certificate authority of this machine's own, for development and demonstrations.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::edge::tls::{Certificate, Certificates};

/// Why there is no local CA.
#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    /// A file can't be read or written.
    #[error("cannot use `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The files in the directory are not a CA.
    #[error("`{path}` is not a usable CA")]
    Unusable {
        /// The file.
        path: PathBuf,
    },
    /// A host can't be put into a certificate.
    #[error("`{host}` can't be put into a certificate")]
    Host {
        /// The host.
        host: String,
    },
    /// Signing failed.
    #[error("signing failed")]
    Signing,
}

/// The CA: made on first use, kept in a directory.
pub struct LocalCa {}

impl LocalCa {
    /// Opens the CA in `directory`, or makes it there; `now` is for its validity.
    pub async fn open(directory: &Path, now: SystemTime) -> Result<Self, LocalCaError> {
        todo!()
    }
    /// The CA certificate's file, for those who want to trust it.
    pub fn certificate_path(&self) -> &Path {
        todo!()
    }
    /// The CA certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        todo!()
    }
    /// A new certificate for these host names and addresses.
    pub fn issue(&self, hosts: &[String], now: SystemTime) -> Result<Certificate, LocalCaError> {
        todo!()
    }
    /// Puts a new certificate into `certificates` if the one issued last is near its end or was for other hosts.
    pub fn renew(
        &self,
        certificates: &Certificates,
        hosts: &[String],
        now: SystemTime,
    ) -> Result<bool, LocalCaError> {
        todo!()
    }
}
