//! An MCP server behind the gateway, reached over Streamable HTTP in whichever era it speaks.
//!
//! A call, told from the top: [`call`] asks [`agreement`] which era the server speaks (found out
//! once, found out again when the server behaves otherwise); takes the caller's own session from
//! [`session`] if the era has sessions; lets [`outgoing`] build headers and body; sends them
//! through [`wire`]; and reads the answer, or hands out the [`stream`] that ends with it. Beside
//! that, [`watch`] keeps the tools of [`list`] current, whose [`page`]s are put together apart from the threads that serve.

mod agreement;
mod answer;
mod call;
mod events;
mod list;
mod oddity;
mod outgoing;
mod page;
mod session;
mod stream;
mod watch;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::mcp::feature::{Feature, PerFeature};
use arc_swap::ArcSwapOption;
use model::target::Target;
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::agreement::Agreement;
use self::oddity::{Oddities, Oddity};
use self::session::Sessions;
use self::wire::Wire;
use crate::error::CallError;
use crate::guard::Guard;
use crate::listing::{List, Listing};

/// An MCP server behind the gateway.
#[derive(Debug)]
pub(crate) struct McpTarget {
    settings: Target,
    wire: Wire,
    agreement: Agreements,
    sessions: Sessions,
    lists: Arc<PerFeature<Kept>>,
    /// Listings whose callers may have hung up. The end does not wait for them.
    looks: TaskTracker,
    /// Of requests to the server: unique over all its connections (TL-9).
    next_id: AtomicU64,
    /// Turns to answer requests of the server.
    answers: Arc<Semaphore>,
    guard: Arc<Guard>,
    oddities: Arc<Oddities>,
    tracker: TaskTracker,
}

/// What is kept of one list.
#[derive(Debug, Default)]
struct Kept {
    listing: channel::Sender<Arc<Listing>>,
    /// One listing at a time.
    listing_now: Arc<tokio::sync::Mutex<()>>,
    /// The list may have changed.
    poke: Notify,
    /// Change notifications are being received.
    watched: AtomicBool,
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
    pub(crate) fn new(
        settings: Target,
        url: &Url,
        guard: Arc<Guard>,
        pool: &Pool,
        tracker: TaskTracker,
    ) -> Result<Arc<Self>, Refusal> {
        let oddities = Arc::<Oddities>::default();
        let wire = Wire::new(pool.upstream(url)?, url, &settings, Arc::clone(&oddities));
        Ok(Arc::new(Self {
            wire,
            agreement: Agreements::default(),
            sessions: Sessions::default(),
            lists: Arc::new(PerFeature::of(|_| Kept::default())),
            looks: TaskTracker::new(),
            next_id: AtomicU64::new(1),
            answers: Arc::new(Semaphore::new(stream::ANSWERS)),
            guard,
            oddities,
            tracker,
            settings,
        }))
    }

    /// Its name in the configuration.
    pub(crate) const fn name(&self) -> &Arc<str> {
        self.settings.name.shared()
    }

    /// What is offered, as it was listed last.
    pub(crate) fn listing(&self, feature: Feature) -> Arc<Listing> {
        Arc::clone(&self.lists.get(feature).listing.borrow())
    }

    /// Says when [`Self::listing`] changes.
    pub(crate) fn changes(&self, feature: Feature) -> channel::Receiver<Arc<Listing>> {
        self.lists.get(feature).listing.subscribe()
    }

    /// What is offered now, asked for if what is known is stale.
    ///
    /// # Errors
    /// Only if it could not be listed and never was before.
    pub(crate) async fn list(&self, feature: Feature) -> Result<Arc<List>, CallError> {
        let known = self.listing(feature);
        if let Some(list) = known
            .list
            .as_ref()
            .filter(|list| self.is_fresh(feature, list))
        {
            return Ok(Arc::clone(list));
        }
        match self.refresh_since(feature, &known).await {
            Ok(list) => Ok(list),
            Err(error) => self.listing(feature).list.clone().ok_or(error),
        }
    }

    /// Whether the server offers this; unknown before it was asked.
    pub(crate) fn offers(&self, feature: Feature) -> Option<bool> {
        let agreement = self.agreement.current.load();
        Some(*agreement.as_ref()?.has.get(feature))
    }

    /// Keeps the lists current until `stop`, then ends the sessions, each after the calls
    /// in it.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.keep_current()))
            .await;
        self.end_all_sessions().await;
    }

    /// Says once that the server is odd.
    fn note(&self, oddity: Oddity) {
        self.oddities.note(self.name(), oddity);
    }

    fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
