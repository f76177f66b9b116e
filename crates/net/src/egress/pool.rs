//! The data path: streaming requests over kept connections.
//!
//! Connections are kept per upstream and thread, last in first out, so that under little load few
//! stay open.
//! There is no task per connection (see `live`), and the only lock is held for a push or a pop.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::body::{Body, BoxError};
use crate::egress::connect::{ConnectError, Connector};
use crate::egress::h1::request::Lines;
use crate::egress::idle::{IdleConnections, Waited};
use crate::egress::live::{Answer, Failed, Home, Live};
use crate::egress::outgoing::Outgoing;
use crate::egress::rules::{Destination, Refusal, Rules};

/// Bounds of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For resolving, connecting and TLS together.
    pub connect_timeout: Duration,
    /// From sending the request to the last header of its answer.
    pub header_timeout: Duration,
    /// How long an unused connection is kept when its server does not say. Shorter than what
    /// servers do (uvicorn and Node close after 5 s), so that requests seldom meet a closing one.
    pub idle_timeout: Duration,
    /// Unused connections kept per upstream and worker thread.
    pub max_idle: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_secs(4),
            max_idle: 256,
        }
    }
}

/// A server that closes connections after each answer does so within this time.
const CLOSES_SOON: Duration = Duration::from_secs(1);

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The longest that a server's `Keep-Alive: timeout` is believed.
const LONGEST_IDLE: Duration = Duration::from_mins(1);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer in time. The upstream may have acted on the request.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came is not HTTP. The upstream may have acted on the request.
    #[error("no proper answer")]
    Protocol(#[source] BoxError),
}

/// Connections to upstreams under one set of rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connector: Arc<Connector>,
    rules: Rules,
    settings: Settings,
    upstreams: Mutex<HashMap<Destination, Upstream>>,
}

/// One upstream: a scheme, host and port, and the idle connections to it. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    origin: Arc<Origin>,
    connect_timeout: Duration,
    /// What each request begins with.
    lines: Lines,
}

struct Origin {
    connector: Arc<Connector>,
    rules: Rules,
    settings: Settings,
    destination: Destination,
    authority: HeaderValue,
    idle: IdleConnections,
    /// The server closes connections after an answer without having said so.
    closes_unsaid: AtomicBool,
}

impl Pool {
    /// An empty pool.
    pub fn new(connector: Arc<Connector>, rules: Rules, settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                connector,
                rules,
                settings,
                upstreams: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// The upstream of a URL; its path is ignored. URLs of one origin share their connections.
    pub fn upstream(&self, url: &Url) -> Result<Upstream, Refusal> {
        let destination = self.shared.rules.check_url(url)?;
        let mut upstreams = self.shared.upstreams.lock();
        if let Some(upstream) = upstreams.get(&destination) {
            return Ok(upstream.clone());
        }
        let authority =
            HeaderValue::try_from(destination.authority()).map_err(|_| Refusal::NoHost)?;
        let lines = Lines::new(&authority, &HeaderMap::new());
        let upstream = Upstream {
            origin: Arc::new(Origin {
                connector: Arc::clone(&self.shared.connector),
                rules: self.shared.rules.clone(),
                settings: self.shared.settings,
                destination: destination.clone(),
                authority,
                idle: IdleConnections::default(),
                closes_unsaid: AtomicBool::new(false),
            }),
            connect_timeout: self.shared.settings.connect_timeout,
            lines,
        };
        upstreams.insert(destination, upstream.clone());
        Ok(upstream)
    }

    /// Closes connections that were unused for too long or that their servers have closed, and
    /// forgets upstreams that nobody holds. To be called every few seconds.
    pub fn sweep(&self) {
        let now = Instant::now();
        let upstreams: Vec<Upstream> = {
            let mut upstreams = self.shared.upstreams.lock();
            upstreams.retain(|_, upstream| {
                Arc::strong_count(&upstream.origin) > 1 || !upstream.origin.idle.is_empty()
            });
            upstreams.values().cloned().collect()
        };
        for upstream in upstreams {
            upstream.origin.idle.sweep(now);
        }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upstream")
            .field(&self.origin.destination)
            .finish()
    }
}

impl Upstream {
    /// Where it is.
    pub fn destination(&self) -> &Destination {
        &self.origin.destination
    }

    /// The same upstream, and the same connections, with another bound on resolving, connecting and TLS together.
    #[must_use]
    pub const fn connecting_within(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// The same upstream, and the same connections, where each request has these headers besides its own. They are written
    /// out once; a request must not have others of these names.
    #[must_use]
    pub fn with_headers(mut self, headers: &HeaderMap) -> Self {
        self.lines = Lines::new(&self.origin.authority, headers);
        self
    }

    /// How many connections wait for the next request and look usable.
    pub fn idle_connections(&self) -> usize {
        self.origin.idle.count()
    }

    /// Sends a request and waits for the head of its answer; both bodies stream.
    ///
    /// `Host` is set here. Dropping the answer's body before its end closes the connection, which is how
    /// the upstream learns of a cancellation.
    pub async fn send(&self, request: impl Into<Outgoing>) -> Result<Response<Body>, SendError> {
        self.send_within(request, self.origin.settings.header_timeout)
            .await
    }

    /// Like [`Self::send`], with another bound on the time until the answer's headers.
    pub async fn send_within(
        &self,
        request: impl Into<Outgoing>,
        header_timeout: Duration,
    ) -> Result<Response<Body>, SendError> {
        // On its way it is handed on often.
        let request = Box::new(request.into());
        let now = Instant::now();
        tokio::time::timeout_at(now + header_timeout, self.send_somewhere(request, now))
            .await
            .map_err(|_elapsed| SendError::TimedOut)?
    }

    async fn send_somewhere(
        &self,
        mut request: Box<Outgoing>,
        mut now: Instant,
    ) -> Result<Response<Body>, SendError> {
        let rest = self.origin.rest_before(&request);
        while let Some(Waited { live, time }) = self.origin.idle.take(now, rest) {
            let again = request.copy_if_repeatable();
            let exchanged = live.exchange(request, &self.lines).await;
            self.origin.note_reuse(exchanged.is_ok(), time);
            match exchanged {
                Ok(answer) => return Ok(self.accept(answer)),
                // The server closed the kept connection. Not a byte went out: nothing happened.
                Err(Failed {
                    unsent: Some(unsent),
                    ..
                }) => {
                    request = unsent;
                    now = Instant::now();
                }
                // It may have acted on the request, but may do so twice.
                Err(Failed { cause, .. }) => match again {
                    Some(again) => {
                        request = Box::new(again);
                        break;
                    }
                    None => return Err(SendError::Protocol(cause)),
                },
            }
        }
        // Rare, and large: boxed, so that a request on a kept connection stays small.
        let live = Box::pin(self.connect()).await?;
        match live.exchange(request, &self.lines).await {
            Ok(answer) => Ok(self.accept(answer)),
            Err(failed) => Err(SendError::Protocol(failed.cause)),
        }
    }

    fn accept(&self, answer: Answer) -> Response<Body> {
        let keep = self.keep_for(answer.head().headers());
        let home = Stable {
            origin: Arc::clone(&self.origin),
            keep,
        };
        answer.into_response(Some(home))
    }

    /// How long the connection is kept: what its server promises less a second, or our own bound.
    fn keep_for(&self, headers: &HeaderMap) -> Duration {
        let ours = self.origin.settings.idle_timeout;
        let Some(promise) = headers
            .get(KEEP_ALIVE)
            .and_then(|value| value.to_str().ok())
        else {
            return ours;
        };
        promise
            .split(',')
            .filter_map(|parameter| parameter.trim().strip_prefix("timeout="))
            .find_map(|seconds| seconds.parse::<u64>().ok())
            .map_or(ours, |seconds| {
                Duration::from_secs(seconds.saturating_sub(1)).min(LONGEST_IDLE)
            })
    }

    async fn connect(&self) -> Result<Box<Live>, SendError> {
        let origin = &self.origin;
        let deadline = Instant::now() + self.connect_timeout;
        let dialled = origin
            .connector
            .connect(&origin.destination, &origin.rules, deadline)
            .await?;
        Ok(Live::open(dialled))
    }
}

impl Origin {
    /// How long a connection must have stayed open by itself before this request may go over it. What may not be sent twice
    /// does not go over one that a careless server is about to close.
    fn rest_before(&self, request: &Outgoing) -> Duration {
        if self.closes_unsaid.load(Ordering::Relaxed) && !request.is_repeatable() {
            CLOSES_SOON
        } else {
            Duration::ZERO
        }
    }

    /// Learns from a connection that was used again after it had waited for `time`.
    fn note_reuse(&self, was_open: bool, time: Duration) {
        // Usually there is nothing new, and nothing is written.
        if self.closes_unsaid.load(Ordering::Relaxed) == was_open {
            // One that was closed later was idle for too long, which says nothing about the server's care.
            if was_open || time < CLOSES_SOON {
                self.closes_unsaid.store(!was_open, Ordering::Relaxed);
            }
        }
    }
}

/// Where connections of one upstream wait for the next request.
struct Stable {
    origin: Arc<Origin>,
    keep: Duration,
}

impl Home for Stable {
    fn take_back(self, live: Box<Live>) {
        let now = Instant::now();
        let most = self.origin.settings.max_idle;
        self.origin.idle.put(live, now, now + self.keep, most);
    }
}
