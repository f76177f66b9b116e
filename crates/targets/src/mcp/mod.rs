//! An MCP server behind the gateway, reached over Streamable HTTP in whichever era it speaks.
//!
//! A call, told from the top: [`call`] asks [`agreement`] which era the server speaks (found out
//! once, found out again when the server behaves otherwise); takes the caller's own session from
//! [`session`] if the era has sessions; lets [`outgoing`] build headers and body; sends them
//! through [`wire`]; and reads the answer, or hands out the [`stream`] that ends with it. Beside
//! that, [`watch`] keeps the tools of [`list`] current, whose [`page`]s are put together apart from the threads that serve.

pub(crate) mod agreement;
mod answer;
mod call;
mod events;
pub mod list;
mod oddity;
mod outgoing;
pub mod page;
mod session;
pub mod stream;
mod watch;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use model::target::{CircuitBreaker, Limits, Timeouts};
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::agreement::Agreement;
use self::list::{Listing, ToolList};
use self::oddity::{Oddities, Oddity};
use self::session::Sessions;
use self::wire::Wire;
use crate::error::CallError;
use crate::guard::Guard;
use crate::outward::Outward;

/// How often the server is asked for its tools, and for its era, where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// How old a list may get, whatever the server says about keeping it or about announcing changes.
    pub max_age: Duration,
    /// A list that may not be kept at all is still not asked for more often than this.
    pub shortest: Duration,
    /// Before a server that does not offer its announced change notifications is asked for them
    /// again.
    pub not_offered: Duration,
    /// The first pause after a failure; it doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest pause after failures.
    pub longest_pause: Duration,
    /// Between two questions for the era that odd answers of the server provoke.
    pub between_probes: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            max_age: model::target::DEFAULT_LIST_MAX_AGE,
            shortest: Duration::from_secs(1),
            not_offered: Duration::from_mins(5),
            first_pause: Duration::from_millis(250),
            // One that comes back is to be served soon, and asking costs little (SEC-90).
            longest_pause: Duration::from_secs(2),
            between_probes: Duration::from_secs(1),
        }
    }
}

/// What an operator says about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its MCP endpoint.
    pub url: Url,
    /// How long things may take (UC-10).
    pub timeouts: Timeouts,
    /// How much it may have to do, and may make us hold.
    pub limits: Limits,
    /// How often it is asked for its tools.
    pub freshness: Freshness,
    /// When it is left alone.
    pub circuit_breaker: CircuitBreaker,
    /// What it is shown with every request.
    pub outward: Outward,
}

impl Settings {
    /// With the default bounds.
    pub fn new(name: impl Into<Arc<str>>, url: Url) -> Self {
        Self {
            name: name.into(),
            url,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            freshness: Freshness::default(),
            circuit_breaker: CircuitBreaker::default(),
            outward: Outward::default(),
        }
    }
}

/// An MCP server behind the gateway.
#[derive(Debug)]
pub struct McpTarget {
    settings: Settings,
    wire: Wire,
    agreement: Agreements,
    sessions: Sessions,
    listing: channel::Sender<Arc<Listing>>,
    /// One listing at a time.
    listing_now: Arc<tokio::sync::Mutex<()>>,
    /// Listings whose callers may have hung up. The end does not wait for them.
    looks: TaskTracker,
    /// The list may have changed.
    poke: Arc<Notify>,
    /// Change notifications are being received.
    watched: std::sync::atomic::AtomicBool,
    /// Of requests to the server: unique over all its connections (TL-9).
    next_id: AtomicU64,
    /// Turns to answer requests of the server.
    answers: Arc<Semaphore>,
    guard: Arc<Guard>,
    oddities: Arc<Oddities>,
    tracker: TaskTracker,
}

/// Which era the server speaks, as far as it was found out.
#[derive(Debug, Default)]
struct Agreements {
    current: ArcSwapOption<Agreement>,
    /// One probe at a time, and how the last one ended.
    probing: tokio::sync::Mutex<Option<Ended>>,
    changed: Notify,
}

/// How an attempt ended that others waited for: they share its failure instead of each repeating
/// it after the other.
#[derive(Debug)]
struct Ended {
    at: Instant,
    failure: Option<CallError>,
}

impl Ended {
    fn now<T>(outcome: &Result<T, CallError>) -> Self {
        Self {
            at: Instant::now(),
            failure: outcome.as_ref().err().cloned(),
        }
    }

    /// The failure, for somebody who was waiting already when it happened.
    fn failure_since(ended: Option<&Self>, began: Instant) -> Option<CallError> {
        ended.filter(|ended| ended.at >= began)?.failure.clone()
    }
}

impl McpTarget {
    /// A target that was not asked anything yet. Background work (cancellations, closing sessions)
    /// is spawned on `tracker`.
    ///
    /// # Errors
    /// If the pool's rules forbid the URL.
    pub fn new(
        settings: Settings,
        pool: &Pool,
        tracker: TaskTracker,
    ) -> Result<Arc<Self>, Refusal> {
        let oddities = Arc::<Oddities>::default();
        let wire = Wire::new(
            pool.upstream(&settings.url)?,
            &settings,
            Arc::clone(&oddities),
        );
        Ok(Arc::new(Self {
            wire,
            agreement: Agreements::default(),
            sessions: Sessions::default(),
            listing: channel::Sender::new(Arc::default()),
            listing_now: Arc::default(),
            looks: TaskTracker::new(),
            poke: Arc::default(),
            watched: std::sync::atomic::AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            answers: Arc::new(Semaphore::new(stream::ANSWERS)),
            guard: Arc::new(Guard::new(settings.limits.calls, settings.circuit_breaker)),
            oddities,
            tracker,
            settings,
        }))
    }

    /// Its name in the configuration.
    pub const fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// The tools as they were listed last.
    pub fn listing(&self) -> Arc<Listing> {
        Arc::clone(&self.listing.borrow())
    }

    /// Says when [`Self::listing`] changes.
    pub fn changes(&self) -> channel::Receiver<Arc<Listing>> {
        self.listing.subscribe()
    }

    /// The tools as they are now, asked for if what is known is stale.
    ///
    /// # Errors
    /// Only if they could not be listed and never were before.
    pub async fn tools(&self) -> Result<Arc<ToolList>, CallError> {
        let known = self.listing();
        if let Some(tools) = known.tools.as_ref().filter(|tools| self.is_fresh(tools)) {
            return Ok(Arc::clone(tools));
        }
        match self.refresh_since(&known).await {
            Ok(tools) => Ok(tools),
            Err(error) => self.listing().tools.clone().ok_or(error),
        }
    }

    /// Keeps the list of tools current until `stop`, then ends the sessions, each after the calls
    /// in it.
    pub async fn run(&self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.keep_current()))
            .await;
        self.end_all_sessions().await;
    }

    /// Says once that the server is odd.
    fn note(&self, oddity: Oddity) {
        self.oddities.note(&self.settings.name, oddity);
    }

    fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
