//! An MCP server behind the gateway, reached over Streamable HTTP in whichever era it speaks.
//!
//! Its parts, each of which knows only those above it:
//!
//! | Part | What for |
//! |---|---|
//! | [`wire`] | one HTTP exchange |
//! | [`link`] | requests with numbers of their own, and what all of them have in common |
//! | [`handshake`], [`sessions`] | the sessions of the session era, one per asker |
//! | [`agreements`] | which era the server speaks: found out once, and again when it behaves otherwise |
//! | [`server`] | all of this together, and what is mended when the server refuses a request |
//! | [`lists`] | what it offers, from [`page`]s that are put together apart from the threads that serve |
//! | [`call`] | a call, whose answer may be a [`stream`] |
//! | [`watch`] | keeps the lists current |

mod agreement;
mod agreements;
mod answer;
mod call;
mod ended;
mod events;
mod handshake;
mod link;
mod lists;
mod oddity;
mod outgoing;
mod page;
mod server;
mod session;
mod sessions;
mod stream;
mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use ::mcp::feature::Feature;
use model::target::Target;
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use policy::call::Call;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::call::Calling;
use self::link::Link;
use self::lists::Lists;
use self::server::Server;
use self::watch::Watching;
use crate::bounds::Bounds;
use crate::error::CallError;
use crate::guard::Guard;
use crate::listing::{List, Listing};
use crate::meter::Held;
use crate::reply::Reply;

/// An MCP server behind the gateway.
#[derive(Debug)]
pub(crate) struct McpTarget {
    server: Arc<Server>,
    lists: Arc<Lists>,
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
    ) -> Result<Self, Refusal> {
        let link = Link::new(settings, url, pool, tracker)?;
        Ok(Self {
            server: Arc::new(Server::new(link)),
            lists: Arc::new(Lists::new(guard)),
        })
    }

    /// Calls until there is something to hand out. See [`crate::Target::call`].
    pub(crate) async fn call(
        &self,
        call: &Call,
        bounds: &Bounds,
        held: &mut Held,
    ) -> Result<Reply, CallError> {
        let Self { server, lists } = self;
        Calling { server, lists }.call(call, bounds, held).await
    }

    /// What is offered, as it was listed last.
    pub(crate) fn listing(&self, feature: Feature) -> Arc<Listing> {
        self.lists.listing(feature)
    }

    /// Says when [`Self::listing`] changes.
    pub(crate) fn changes(&self, feature: Feature) -> channel::Receiver<Arc<Listing>> {
        self.lists.changes(feature)
    }

    /// What is offered now, asked for if what is known is stale.
    ///
    /// # Errors
    /// Only if it could not be listed and never was before.
    pub(crate) async fn list(&self, feature: Feature) -> Result<Arc<List>, CallError> {
        self.lists.get(&self.server, feature).await
    }

    /// Asks for the list, unless that was done within `age`, with or without success.
    pub(crate) async fn look_again(&self, feature: Feature, age: Duration) {
        self.lists.look_again(&self.server, feature, age).await;
    }

    /// The lists may have changed.
    pub(crate) fn poke(&self) {
        self.lists.poke();
    }

    /// Whether the server offers this; unknown before it was asked.
    pub(crate) fn offers(&self, feature: Feature) -> Option<bool> {
        Some(*self.server.agreements.known()?.has.get(feature))
    }

    /// Keeps the lists current until `stop`, then ends the sessions, each after the calls
    /// in it.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let Self { server, lists } = self;
        let watching = Watching { server, lists };
        stop.run_until_cancelled(Box::pin(watching.keep_current()))
            .await;
        server.sessions.end_all(&server.link).await;
    }
}
