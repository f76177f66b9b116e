//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them, and drains them at the end.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::Site;
use crate::edge::client_ip::TrustedProxies;
use crate::edge::connection::{self, Shared};
use crate::edge::tls::Tls;
use crate::edge::watch::{Command, Patience, Register, Watch};
use crate::edge::workers::{self, Workers};
use crate::egress::budget::network_of;

/// One listening socket.
#[derive(Clone, Debug)]
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
    /// Who serves its connections; without any, the runtime that serves the listener.
    pub workers: Option<Arc<Workers>>,
}

impl Settings {
    /// A plain listener with default bounds that trusts no proxies.
    pub fn plain(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.into(),
            address,
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            limits: Limits::default(),
            workers: None,
        }
    }
}

/// Bounds of a listener (SEC-60, SEC-61).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the TLS handshake, and for each request's headers.
    pub header_timeout: Duration,
    /// How long a connection without requests is kept.
    pub idle_timeout: Duration,
    /// How long a client may refuse to take bytes. If it is those of one stream of HTTP/2, the
    /// connection takes no further requests then, and is cut after the same time again.
    pub write_timeout: Duration,
    /// How long requests under way may take once the listener is told to end.
    pub drain_timeout: Duration,
    /// Connections at the same time; further ones wait to be accepted.
    pub connections: usize,
    /// Connections at the same time per address (IPv6: per /64); further ones are closed at once.
    /// Trusted proxies are exempt.
    pub connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            connections: 20_000,
            connections_per_address: 1024,
        }
    }
}

/// How often connections are looked at, at most and at least.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A pause after a failure to accept that another attempt would meet again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

impl Listener {
    /// Binds the address.
    pub async fn bind(settings: Settings) -> io::Result<Self> {
        let socket = TcpListener::bind(settings.address).await?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            settings,
        })
    }

    /// The bound address, with the real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `site` until `stop` is cancelled, then lets requests under way end.
    ///
    /// Returns how many connections had to be cut because they outlasted `drain_timeout`.
    /// Dropping the future cuts all.
    pub async fn serve(self, site: Arc<dyn Site>, stop: CancellationToken) -> usize {
        let Self {
            socket, settings, ..
        } = self;
        let limits = settings.limits;
        let patience = Patience {
            header: limits.header_timeout,
            idle: limits.idle_timeout,
            write: limits.write_timeout,
        };
        let register = Arc::new(Register::default());
        let _cut = CutOnDrop(&register);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let crowd = Arc::new(Crowd::default());
        let tracker = TaskTracker::new();
        let shared = Arc::new(Shared {
            name: settings.name,
            tls: settings.tls,
            trusted_proxies: settings.trusted_proxies,
            site,
            tracker: tracker.clone(),
        });
        let shortest = patience.header.min(patience.idle).min(patience.write);
        let mut sweeps = tokio::time::interval((shortest / 4).clamp(SWEEPS.0, SWEEPS.1));
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (stream, address, slot) = tokio::select! {
                () = stop.cancelled() => break,
                _ = sweeps.tick() => {
                    register.sweep(&patience, Instant::now());
                    continue;
                }
                accepted = accept(&socket, &slots, &shared.name) => accepted,
            };
            let place = if shared.trusted_proxies.contains(address) {
                None
            } else {
                let place = crowd.enter(address, limits.connections_per_address);
                if place.is_none() {
                    tracing::debug!(listener = %shared.name, %address, "too many connections from one address");
                    continue;
                }
                place
            };
            let (shared, registered) = (Arc::clone(&shared), register.add());
            let Some(seat) = settings.workers.as_ref().and_then(|workers| workers.seat()) else {
                let serving = connection::serve(shared, stream, address, registered);
                tracker.spawn(async move {
                    serving.await;
                    drop((slot, place));
                });
                continue;
            };
            let stream = stream.into_std();
            let runtime = seat.runtime.clone();
            let serving = async move {
                match stream.and_then(workers::adopt) {
                    Ok(stream) => connection::serve(shared, stream, address, registered).await,
                    Err(error) => {
                        tracing::warn!(listener = %shared.name, %error, "cannot serve a connection");
                    }
                }
                drop((slot, place, seat));
            };
            tracker.spawn_on(serving, &runtime);
        }
        drop(socket);
        register.tell(Command::Drain);
        tracker.close();
        if tokio::time::timeout(limits.drain_timeout, tracker.wait())
            .await
            .is_ok()
        {
            return 0;
        }
        let outlasting = register.len();
        register.tell(Command::Cut);
        // Whoever is cut ends at its next poll; a site that blocks its thread is not waited for.
        if tokio::time::timeout(limits.drain_timeout, tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(listener = %shared.name, "connections are still busy after they were cut");
        }
        outlasting
    }
}

/// Cuts the connections of a listener whose future is dropped.
struct CutOnDrop<'a>(&'a Register<Watch>);

impl Drop for CutOnDrop<'_> {
    fn drop(&mut self) {
        self.0.tell(Command::Cut);
    }
}

/// The next connection, whatever happens to single ones before they are accepted.
async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
    listener: &str,
) -> (TcpStream, IpAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(listener, %error, "connection was gone at once");
                    continue;
                }
                return (stream, address.ip().to_canonical(), slot);
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(listener, %error, "connection was gone before it was accepted");
            }
            Err(error) => {
                tracing::warn!(listener, %error, "cannot accept connections, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Crowd {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One of an address's connections; given back when dropped.
struct Place {
    crowd: Arc<Crowd>,
    network: IpAddr,
}

impl Crowd {
    fn enter(self: &Arc<Self>, address: IpAddr, limit: usize) -> Option<Place> {
        let network = network_of(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(network).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Place {
            crowd: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts.lock();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}
