//! An MCP server behind the gateway, reached over Streamable HTTP in whichever era it speaks.
//!
//! Its parts, each of which knows only those above it:
//!
//! | Part | What for |
//! |---|---|
//! | [`wire`] | one HTTP exchange |
//! | [`link`] | requests with numbers of their own, and what all of them have in common |
//! | [`handshake`], [`sessions`] | the sessions of the session era, one per asker |
//! | [`lanes`] | which of these a client uses that has no sessions itself |
//! | [`agreements`] | which era the server speaks: found out once, and again when it behaves otherwise |
//! | [`server`] | all of this together, and what is mended when the server refuses a request |
//! | [`lists`] | what it offers, from [`page`]s that are put together apart from the threads that serve |
//! | [`attending`] | what the server says to clients outside of calls |
//! | [`call`] | a call, whose answer may be a [`stream`] |
//! | [`watch`] | keeps the lists current |

mod agreement;
mod agreements;
mod answer;
mod asked;
mod attending;
mod call;
mod ended;
mod endpoint;
mod events;
mod handshake;
mod lanes;
mod link;
mod lists;
mod oddity;
mod outgoing;
mod page;
mod pairs;
mod received;
mod server;
mod session;
mod sessions;
mod stream;
mod unasked;
mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::feature::Feature;
use ::mcp::raw::OwnedRaw;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::target::Target;
use net::boxed::in_place;
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use policy::call::Call;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::call::Calling;
use self::link::Link;
use self::lists::{Lists, Whom};
use self::server::Server;
use self::watch::Watching;
use crate::attention::Hearing;
use crate::bounds::Bounds;
use crate::client::Client;
use crate::error::CallError;
use crate::guard::Guard;
use crate::kind::Kind;
use crate::listing::{List, Listing};
use crate::meter::Held;
use crate::outward::Asker;
use crate::reply::Reply;
use crate::subscription::{Mailbox, Subscription, Topics};

/// An MCP server behind the gateway.
#[derive(Debug)]
pub(crate) struct McpTarget {
    server: Arc<Server>,
    lists: Arc<Lists>,
    topics: Arc<Topics>,
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
        let lists = Arc::new(Lists::new(&settings, guard));
        let link = Link::new(settings, url, pool, tracker)?;
        Ok(Self {
            server: Arc::new(Server::new(link)),
            lists,
            topics: Arc::default(),
        })
    }
}

impl Kind for McpTarget {
    fn call<'a>(
        &'a self,
        call: &'a Call,
        client: &'a Client,
        bounds: &'a Bounds,
        held: &'a mut Held,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        let Self { server, lists, .. } = self;
        in_place(|| Calling { server, lists }.call(call, client, bounds, held))
    }

    fn attend(&self, asker: &Asker, hearing: Hearing) {
        let Server {
            sessions,
            link,
            attending,
            ..
        } = &*self.server;
        attending.attend(link, asker, hearing, sessions.known(asker).as_ref());
    }

    fn end_session(&self, asker: &Asker) {
        let Server { sessions, link, .. } = &*self.server;
        sessions.end_of(link, asker);
    }

    fn listing(&self, feature: Feature) -> Arc<Listing> {
        self.lists.listing(feature)
    }

    fn changes(&self, feature: Feature) -> channel::Receiver<Arc<Listing>> {
        self.lists.changes(feature)
    }

    fn offers(&self, feature: Feature) -> Option<bool> {
        Some(*self.server.agreements.known()?.has.get(feature))
    }

    fn subscribes(&self) -> Option<bool> {
        Some(self.server.agreements.known()?.subscribes)
    }

    fn subscribe(&self, uri: &Arc<str>, mailbox: &Arc<Mailbox>) -> Option<Subscription> {
        self.topics.join(uri, mailbox)
    }

    fn extensions(&self) -> Option<OwnedRaw> {
        self.server.agreements.known()?.extensions.clone()
    }

    fn completes(&self) -> Option<bool> {
        Some(self.server.agreements.known()?.completes)
    }

    fn list(&self, feature: Feature) -> BoxFuture<'_, Result<Arc<List>, CallError>> {
        self.lists.get(&self.server, feature).boxed()
    }

    fn look_again(&self, feature: Feature, age: Duration) -> BoxFuture<'_, ()> {
        self.lists.look_again(&self.server, feature, age).boxed()
    }

    fn list_for<'a>(
        &'a self,
        feature: Feature,
        asker: &'a Asker,
        era: Era,
    ) -> BoxFuture<'a, Result<List, CallError>> {
        async move {
            let era = Some(era);
            let whom = Whom { asker, era };
            self.lists.list_for(&self.server, feature, &whom).await
        }
        .boxed()
    }

    fn sync(&self, feature: Feature) -> BoxFuture<'_, ()> {
        self.lists.sync(&self.server, feature).boxed()
    }

    fn poke(&self) {
        self.lists.poke();
    }

    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, ()> {
        let Self {
            server,
            lists,
            topics,
        } = self;
        async move {
            let watching = Watching {
                server,
                lists,
                topics,
            };
            stop.run_until_cancelled(watching.keep_current()).await;
            server.attending.over.cancel();
            server.sessions.end_all(&server.link).await;
        }
        .boxed()
    }
}
