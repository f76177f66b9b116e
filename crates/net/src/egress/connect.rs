//! Dials a destination: resolve once, check every address, connect to a checked one, speak TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::edge::places::{Place, Places};
use crate::egress::resolve::Resolver;
use crate::egress::rules::{Destination, Refusal, Rules};

/// Certificates trusted beside the system's.
#[derive(Clone, Debug, Default)]
pub struct ExtraRoots {
    certificates: Vec<CertificateDer<'static>>,
}

/// The text is not a list of certificates.
#[derive(Debug, thiserror::Error)]
#[error("not a list of certificates in PEM form")]
pub struct NotCertificates;

impl ExtraRoots {
    /// Adds all certificates of a PEM text; a text without any is an error.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), NotCertificates> {
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| NotCertificates)?;
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|_| NotCertificates)?;
            found.push(certificate);
        }
        if found.is_empty() {
            return Err(NotCertificates);
        }
        self.certificates.append(&mut found);
        Ok(())
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
    NotResolved(#[source] io::Error),
    /// The name has no addresses.
    #[error("name has no addresses")]
    NoAddresses,
    /// No address accepted the connection; the cause is that of the last one.
    #[error("connection failed")]
    Unreachable(#[source] io::Error),
    /// The TLS handshake failed, for instance because the certificate is not trusted.
    #[error("TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The time was over.
    #[error("connecting took too long")]
    TimedOut,
    /// There are as many connections as there may be, in all or to this destination.
    #[error("there is no room for another connection")]
    NoPlace,
}

impl ConnectError {
    /// Whether the handshake failed because nothing vouches for the certificate: its issuer is unknown here.
    pub fn is_untrusted_certificate(&self) -> bool {
        use rustls::{CertificateError, Error};
        let Self::Tls(error) = self else {
            return false;
        };
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
        matches!(
            cause,
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        )
    }
}

/// Makes connections; shared by everything that dials.
pub struct Connector {
    resolver: Arc<dyn Resolver>,
    roots: ExtraRoots,
    /// How many connections there may be; without it, any number.
    places: Option<Arc<Places<Destination>>>,
    /// Made at the first TLS connection: reading the system's roots takes time and memory.
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, rustls::Error>>>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that trusts the system's roots and `roots`, and asks `resolver` for addresses.
    pub fn new(resolver: Arc<dyn Resolver>, roots: ExtraRoots) -> Self {
        Self {
            resolver,
            roots,
            places: None,
            tls: Arc::default(),
        }
    }

    /// The same connector, asking another resolver: so that one kind of use doesn't wait for the names of another.
    #[must_use]
    pub fn resolving_with(&self, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            roots: self.roots.clone(),
            places: self.places.clone(),
            tls: Arc::clone(&self.tls),
        }
    }

    /// With places for its connections, which other connectors may share (SEC-86).
    pub fn within(self, places: Arc<Places<Destination>>) -> Self {
        Self {
            places: Some(places),
            ..self
        }
    }

    /// Connects, and has said hello in TLS where the destination asks for it.
    ///
    /// The name is resolved once; if any of its addresses is forbidden, none is dialled, and what
    /// is dialled is one of the addresses that were checked (SEC-21, SEC-22).
    pub(crate) async fn connect(
        &self,
        destination: &Destination,
        rules: &Rules,
        deadline: Instant,
    ) -> Result<Dialled, ConnectError> {
        rules.check_destination(destination)?;
        let place = match &self.places {
            None => None,
            Some(places) => Some(
                places
                    .take(Some(destination.clone()))
                    .map_err(|_| ConnectError::NoPlace)?,
            ),
        };
        let connecting = async {
            let addresses = self.addresses(destination, rules).await?;
            let stream = dial(&addresses, deadline).await?;
            let remote = stream.peer_addr().map_err(ConnectError::Unreachable)?;
            stream
                .set_nodelay(true)
                .map_err(ConnectError::Unreachable)?;
            let stream = if destination.tls {
                Stream::Tls(Box::new(self.start_tls(destination, stream).await?))
            } else {
                Stream::Plain(stream)
            };
            Ok(Dialled {
                stream,
                remote,
                _place: place,
            })
        };
        timeout_at(deadline, connecting)
            .await
            .map_err(|_| ConnectError::TimedOut)?
    }

    async fn addresses(
        &self,
        destination: &Destination,
        rules: &Rules,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let addresses = match destination.host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, destination.port)],
            Err(_name) => self
                .resolver
                .resolve(&destination.host, destination.port)
                .await
                .map_err(ConnectError::NotResolved)?,
        };
        if addresses.is_empty() {
            return Err(ConnectError::NoAddresses);
        }
        for address in &addresses {
            rules.check_address(address.ip())?;
        }
        Ok(addresses)
    }

    async fn start_tls(
        &self,
        destination: &Destination,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let config = self
            .tls
            .get_or_init(|| client_config(&self.roots).map(Arc::new));
        let config = match config {
            Ok(config) => Arc::clone(config),
            Err(cause) => return Err(ConnectError::Tls(io::Error::other(cause.clone()))),
        };
        let name = ServerName::try_from(destination.host.to_string()).map_err(|cause| {
            ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, cause))
        })?;
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(ConnectError::Tls)
    }
}

/// Tries the addresses in order; each gets an equal share of the time that is left.
async fn dial(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, ConnectError> {
    let mut failure = ConnectError::NoAddresses;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(cause)) => failure = ConnectError::Unreachable(cause),
            Err(_elapsed) => failure = ConnectError::TimedOut,
        }
    }
    Err(failure)
}

fn client_config(roots: &ExtraRoots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let system = rustls_platform_verifier::Verifier::new_with_extra_roots(
        roots.certificates.iter().cloned(),
        Arc::clone(&provider),
    );
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = match system {
        Ok(verifier) => {
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
            builder
                .dangerous() // The verifier is the system's, not a weaker one.
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        }
        Err(cause) => {
            tracing::warn!(%cause, "the system's trust store is unusable, using the configured roots only");
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(roots.certificates.iter().cloned());
            builder.with_root_certificates(store).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A connection to a checked address.
#[derive(Debug)]
pub(crate) struct Dialled {
    stream: Stream,
    remote: SocketAddr,
    /// Given back with the connection.
    _place: Option<Place<Destination>>,
}

impl Dialled {
    /// The address that was really dialled.
    pub(crate) const fn remote(&self) -> SocketAddr {
        self.remote
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl AsyncRead for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
