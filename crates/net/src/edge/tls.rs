//! Ends TLS: certificates by name, replaceable while running, with optional client certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, ParsedCertificate, ResolvesServerCert, ServerConfig, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A certificate chain with its key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
}

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
    /// No certificate in the PEM text, or not a proper one.
    #[error("no usable certificate found")]
    NoCertificate,
    /// No private key in the PEM text.
    #[error("no private key found")]
    NoKey,
    /// The key is of an unknown kind or does not fit the certificate.
    #[error("key is unusable or does not fit the certificate")]
    Key,
    /// The certificate has expired, or is for later.
    #[error("certificate is not valid now, only from {from} until {until}")]
    NotValidNow {
        /// When it begins.
        from: String,
        /// When it ends.
        until: String,
    },
    /// TLS can't be set up with this.
    #[error("TLS can't be set up")]
    Setup,
}

impl Certificate {
    /// From PEM texts: the chain, its own certificate first, and the key.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = certificates_in(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        Self::from_der(chain, key)
    }

    /// From PEM files. To reload, call this again and [`Certificates::replace`].
    pub async fn from_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        Self::from_pem(&read(chain).await?, &read(key).await?)
    }

    pub(crate) fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, CertificateError> {
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        ParsedCertificate::try_from(own).map_err(|_| CertificateError::NoCertificate)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified =
            CertifiedKey::from_der(chain, key, &provider).map_err(|_| CertificateError::Key)?;
        Ok(Self {
            certified: Arc::new(certified),
        })
    }

    /// Refuses a certificate that has expired, or that is for later.
    pub fn check_validity(&self, now: SystemTime) -> Result<(), CertificateError> {
        let own = self.certified.cert.first();
        let own = own.ok_or(CertificateError::NoCertificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own)
            .map_err(|_| CertificateError::NoCertificate)?;
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        if (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&seconds) {
            return Ok(());
        }
        Err(CertificateError::NotValidNow {
            from: validity.not_before.to_string(),
            until: validity.not_after.to_string(),
        })
    }

    /// Whether the certificate is for this name or address, wildcards included.
    pub fn covers(&self, host: &str) -> bool {
        let Some(Ok(parsed)) = self.certified.cert.first().map(ParsedCertificate::try_from) else {
            return false;
        };
        ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| CertificateError::Unreadable {
            path: path.to_owned(),
            source,
        })
}

fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(CertificateError::NoCertificate),
    }
}

/// The certificates of a listener, picked by the name the client asks for (SNI).
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Vec<Certificate>>,
}

impl Certificates {
    /// The first one also serves clients that name no host or an unknown one: the refusal they
    /// get over HTTP is more help than a broken handshake.
    pub fn new(certificates: Vec<Certificate>) -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwap::from_pointee(certificates),
        })
    }

    /// Replaces all; connections under way keep theirs.
    pub fn replace(&self, certificates: Vec<Certificate>) {
        self.current.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let named = hello
            .server_name()
            .and_then(|name| current.iter().find(|certificate| certificate.covers(name)));
        named
            .or_else(|| current.first())
            .map(|certificate| Arc::clone(&certificate.certified))
    }
}

/// The TLS side of a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS without client certificates.
    pub fn new(certificates: Arc<Certificates>) -> Result<Self, CertificateError> {
        Self::with_verifier(certificates, WebPkiClientVerifier::no_client_auth())
    }

    /// Also asks for client certificates of this CA (PEM). Who shows none is let in all the same,
    /// and `Peer::client_certificate` tells; who shows a bad one is not.
    pub fn with_client_ca(
        certificates: Arc<Certificates>,
        client_ca: &[u8],
    ) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates_in(client_ca)? {
            roots
                .add(certificate)
                .map_err(|_| CertificateError::NoCertificate)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        )
        .allow_unauthenticated()
        .build()
        .map_err(|_| CertificateError::Setup)?;
        Self::with_verifier(certificates, verifier)
    }

    fn with_verifier(
        certificates: Arc<Certificates>,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<Self, CertificateError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| CertificateError::Setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|_| CertificateError::Setup)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// Performs the handshake. The caller limits its time.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let stream = self.acceptor.accept(stream).await?;
        Ok(TlsStream {
            stream: Box::new(stream),
        })
    }
}

/// A connection with TLS on it.
#[derive(Debug)]
pub struct TlsStream {
    stream: Box<tokio_rustls::server::TlsStream<TcpStream>>,
}

impl TlsStream {
    /// Whether the client showed a certificate; a bad one would have ended the handshake.
    pub fn client_certificate(&self) -> bool {
        self.stream
            .get_ref()
            .1
            .peer_certificates()
            .is_some_and(|chain| !chain.is_empty())
    }

    /// Whether both sides agreed on HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.stream.as_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.as_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.as_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.as_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.as_mut()).poll_shutdown(cx)
    }
}
