//! Accepts connections, serves HTTP/1.1 and HTTP/2 on them, and drains them at the end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::edge::connection::{self, Shared};
use crate::edge::forwarded::TrustedProxies;
use crate::edge::hosts::plain;
use crate::edge::pace::Pace;
use crate::edge::places::{NoPlace, PlaceLimits, Places};
use crate::edge::tls::Tls;
use crate::edge::watch::{Command, Patience, Register, Watch};
use crate::edge::workers::{self, Workers};
use crate::edge::{Peer, Site};
use crate::network;

/// One listening socket.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name: in logs, in `Peer`, in the host table.
    pub name: Arc<str>,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS, or plain.
    pub tls: Option<Tls>,
    /// Proxies that are believed about who asks for what.
    pub trusted_proxies: TrustedProxies,
    /// Bounds.
    pub limits: Limits,
    /// Places for connections, by the client's network. Shared with other listeners, or its own.
    pub places: Arc<Places<IpAddr>>,
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
            places: Places::new(PlaceLimits::new(20_000, 1024)),
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
    /// How fast requests' bodies have to come.
    pub body: Pace,
    /// How long requests under way may take once the listener is told to end.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            body: Pace::default(),
            drain_timeout: Duration::from_secs(25),
        }
    }
}

/// How often connections are looked at, at most and at least.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How long connections that were cut are waited for: each ends at its next poll.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Connections at the same time that are served nothing but the news that there is no place for them.
const REFUSED: usize = 32;

/// How long each of these may take.
const REFUSAL: Patience = Patience {
    header: Duration::from_secs(2),
    idle: Duration::from_millis(500),
    write: Duration::from_secs(1),
    body: Pace {
        idle: Duration::from_secs(1),
        grace: Duration::from_secs(1),
        least_rate: 1024,
    },
};

/// How often the log says that there are too many connections.
const NEWS: Duration = Duration::from_secs(10);

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

    /// Its name in the configuration.
    pub const fn name(&self) -> &Arc<str> {
        &self.settings.name
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
            body: limits.body,
        };
        let register = Arc::new(Register::default());
        let _cut = CutOnDrop(&register);
        let places = settings.places;
        let tracker = TaskTracker::new();
        let turned_away = TurnedAway::new(&settings.name, settings.tls.as_ref(), &tracker);
        let _cut_too = CutOnDrop(&turned_away.register);
        let shared = Arc::new(Shared {
            name: settings.name,
            tls: settings.tls,
            trusted_proxies: settings.trusted_proxies,
            site,
            tracker: tracker.clone(),
        });
        let shortest = patience
            .header
            .min(patience.idle)
            .min(patience.write)
            .min(patience.body.idle);
        let mut sweeps = tokio::time::interval((shortest / 4).clamp(SWEEPS.0, SWEEPS.1));
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (stream, address) = tokio::select! {
                () = stop.cancelled() => break,
                _ = sweeps.tick() => {
                    register.sweep(&patience, Instant::now());
                    turned_away.register.sweep(&REFUSAL, Instant::now());
                    continue;
                }
                accepted = accept(&socket, &shared.name) => accepted,
            };
            let counted =
                (!shared.trusted_proxies.contains(address)).then(|| network::household(address));
            let place = match places.take(counted) {
                Ok(place) => place,
                Err(why) => {
                    turned_away.serve(stream, address, why);
                    continue;
                }
            };
            let (shared, registered) = (Arc::clone(&shared), register.add());
            let Some(seat) = settings.workers.as_ref().and_then(|workers| workers.seat()) else {
                let serving = connection::serve(shared, stream, address, registered);
                tracker.spawn(async move {
                    serving.await;
                    drop(place);
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
                drop((place, seat));
            };
            tracker.spawn_on(serving, &runtime);
        }
        drop(socket);
        turned_away.register.tell(Command::Cut);
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
        if tokio::time::timeout(LAST_PATIENCE, tracker.wait())
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
async fn accept(socket: &TcpListener, listener: &str) -> (TcpStream, IpAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(listener, %error, "connection was gone at once");
                    continue;
                }
                return (stream, address.ip().to_canonical());
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

/// Those for whom there is no place: they are told so, as far as that costs little (SEC-79).
struct TurnedAway {
    full: Arc<Shared>,
    share: Arc<Shared>,
    register: Arc<Register<Watch>>,
    places: Arc<Semaphore>,
    said: Mutex<Option<Instant>>,
}

impl TurnedAway {
    fn new(name: &Arc<str>, tls: Option<&Tls>, tracker: &TaskTracker) -> Self {
        let shared = |why| {
            Arc::new(Shared {
                name: Arc::clone(name),
                tls: tls.cloned(),
                trusted_proxies: TrustedProxies::default(),
                site: Arc::new(NoRoom(why)),
                tracker: tracker.clone(),
            })
        };
        Self {
            full: shared(NoPlace::Full),
            share: shared(NoPlace::Share),
            register: Arc::default(),
            places: Arc::new(Semaphore::new(REFUSED)),
            said: Mutex::new(None),
        }
    }

    fn serve(&self, stream: TcpStream, address: IpAddr, why: NoPlace) {
        let shared = match why {
            NoPlace::Full => &self.full,
            NoPlace::Share => &self.share,
        };
        self.say(address, why, &shared.name);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let serving = connection::serve(Arc::clone(shared), stream, address, self.register.add());
        shared.tracker.spawn(async move {
            serving.await;
            drop(place);
        });
    }

    fn say(&self, address: IpAddr, why: NoPlace, listener: &str) {
        let now = Instant::now();
        let mut said = self.said.lock();
        if said.is_some_and(|last| now.duration_since(last) < NEWS) {
            return;
        }
        *said = Some(now);
        drop(said);
        match why {
            NoPlace::Full => tracing::warn!(
                listener,
                %address,
                "all places for connections are taken; hint: see `connections` in the configuration"
            ),
            NoPlace::Share => tracing::warn!(
                listener,
                %address,
                "too many connections from one address; hint: see `connections` in the configuration, or `trusted_proxies` if it is a proxy of yours"
            ),
        }
    }
}

/// Tells that there is no room, and ends the connection.
struct NoRoom(NoPlace);

impl Site for NoRoom {
    fn call(&self, _: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
        let mut response = match self.0 {
            NoPlace::Full => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "There is no room for another connection at the moment.\n",
            ),
            NoPlace::Share => plain(
                StatusCode::TOO_MANY_REQUESTS,
                "There are too many connections from your address.\n",
            ),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        std::future::ready(response).boxed()
    }
}
