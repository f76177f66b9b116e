//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them, and drains them at the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::edge::Site;
use crate::edge::client_ip::TrustedProxies;
use crate::edge::tls::Tls;

/// One listening socket.
#[derive(Clone)]
pub struct Settings {
    /// Its name: in logs, in `Peer`, in the host table.
    pub name: Arc<str>,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS, or plain.
    pub tls: Option<Tls>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of a listener (SEC-60, SEC-61).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the TLS handshake, and for each request's headers.
    pub header_timeout: Duration,
    /// How long a connection without requests is kept.
    pub idle_timeout: Duration,
    /// How long a client may refuse to take bytes.
    pub write_timeout: Duration,
    /// How long requests under way may take once the listener is told to end.
    pub drain_timeout: Duration,
    /// Connections at the same time.
    pub connections: usize,
    /// Connections at the same time per address (IPv6: per /64); trusted proxies are exempt.
    pub connections_per_address: usize,
}

/// A bound socket.
pub struct Listener {}

impl Listener {
    /// Binds the address.
    pub async fn bind(settings: Settings) -> io::Result<Self> {
        todo!()
    }
    /// The bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    /// Serves `site` until `stop` is cancelled, then drains. Returns how many connections had to be cut.
    pub async fn serve(self, site: Arc<dyn Site>, stop: CancellationToken) -> usize {
        todo!()
    }
}
