//! What is behind the gateway: MCP servers, how to list what they offer, and how to call them.
//!
//! A target is called with a [`policy::permitted::Permitted`] call and nothing else, so that no
//! call can reach it that was not decided about. What the gateway knows of its own client (tokens,
//! headers, addresses) is not handed to a target at all: requests to it are built from nothing.
//!
//! | Module | What for |
//! |---|---|
//! | `mcp` | MCP servers over Streamable HTTP in both protocol eras, and over HTTP+SSE |
//! | [`listing`] | what a target has |
//! | [`error`] | why a call has no answer |
//! | [`reply`] | what comes back from a call, and what a target asks in the middle of it |
//! | [`attention`] | what is said to a client outside of its calls |
//! | [`subscription`] | who wants to hear of updates of which resource |
//! | [`client`] | for whom a call is made, as far as that changes how |
//! | [`rounds`] | a target that answers `input_required`, for clients that are asked by requests |
//! | [`meter`] | what is in memory of one caller's messages |
//! | `outward` | what requests to a target carry besides what they are about |
//! | `kind` | what a kind of target is |
//! | `bounds` | how long a call may take, and who may stop it |
//! | [`guard`] | how much a target may have to do, and when it is left alone |
//! | [`apart`] | work on large inputs, off the threads that serve |
//!
//! To add one more kind of target: a variant in [`model::target::TargetKind`], a folder beside `mcp` that implements
//! [`Kind`], and the arm of [`Target::new`] that makes one of the other.

pub mod apart;
pub mod attention;
mod bounds;
pub mod client;
pub mod error;
pub mod guard;
mod kind;
pub mod listing;
mod mcp;
pub mod meter;
mod outward;
pub mod reply;
pub mod rounds;
pub mod subscription;

use std::sync::Arc;

use ::mcp::capability::ClientCapabilities;
use ::mcp::era::Era;
use ::mcp::feature::Feature;
use ::mcp::raw::OwnedRaw;
use model::target::{Target as Declared, TargetKind};
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use oauth::causes::with_causes;
use policy::call::{Call, Principal};
use policy::permitted::Permitted;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attention::Hearing;
use crate::bounds::Bounds;
use crate::client::Client;
use crate::error::{CallError, Stage};
use crate::guard::{GivenUp, Guard, UnderWay};
use crate::kind::Kind;
use crate::listing::{List, Listing};
use crate::mcp::McpTarget;
use crate::meter::Held;
use crate::outward::Asker;
use crate::reply::Reply;
use crate::rounds::{Again, Repeatable, Rounds};
use crate::subscription::{Mailbox, Subscription};

/// Something behind the gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    declared: Declared,
    guard: Arc<Guard>,
    kind: Box<dyn Kind>,
}

impl Target {
    /// A target that was not asked anything yet. Background work (cancellations, closing sessions) is spawned on `tracker`.
    ///
    /// # Errors
    /// If the pool's rules forbid its URL.
    pub fn new(declared: Declared, pool: &Pool, tracker: TaskTracker) -> Result<Self, Refusal> {
        let guard = Arc::new(Guard::new(declared.limits.calls, declared.circuit_breaker));
        let kind: Box<dyn Kind> = match &declared.kind {
            TargetKind::Mcp(server) => Box::new(McpTarget::new(
                declared.clone(),
                &server.url.0,
                Arc::clone(&guard),
                pool,
                tracker,
            )?),
        };
        Ok(Self(Arc::new(Shared {
            declared,
            guard,
            kind,
        })))
    }

    /// What it was made from.
    pub fn declared(&self) -> &Declared {
        &self.0.declared
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        self.0.declared.name.shared()
    }

    /// Makes a call. What is in memory of an answer is counted by `held` until it is returned; where it finds no room, the
    /// call ends with [`CallError::NoRoom`].
    ///
    /// Dropping the future, or the [`Reply`] before its end, cancels the call at the target, as
    /// `cancel` does, if there is one. Sending is not repeated unless the target certainly did nothing.
    ///
    /// # Errors
    /// See [`CallError`]. What a target answers as a JSON-RPC error is not an error here but an
    /// answer.
    pub async fn call(
        &self,
        call: Permitted<Call>,
        client: Client,
        cancel: Option<CancellationToken>,
        mut held: Held,
    ) -> Result<Reply, CallError> {
        if call.get().target != *self.name() {
            return Err(CallError::WrongTarget);
        }
        let guard = &self.0.guard;
        let place = guard.enter(&call.get().principal)?;
        let call = call.into_inner();
        let bounds = self.bounds(cancel);
        let calling = self.0.kind.call(&call, &client, &bounds, &mut held);
        let mut reply = bounds.within(calling).await;
        // A stream on which nothing was said yet may stay so; it tells the guard if it does not.
        let is_silent = matches!(&reply, Ok(Reply::Stream(messages)) if messages.is_silent());
        if !is_silent && let Some(given_up) = guard.note(&call.principal, &reply) {
            self.say_given_up(given_up, &reply);
        }
        if client.era == Era::Session && client.declared != ClientCapabilities::default() {
            let again = Repeatable {
                call,
                cancel: bounds.cancel.clone(),
                held,
                patience: self.0.declared.timeouts.input,
                again: self.again(client.clone(), bounds.cancel),
                client,
            };
            reply = Rounds::around(again, reply?);
        }
        if let Ok(Reply::Stream(messages)) = &mut reply {
            messages.hold(UnderWay::new(place, is_silent.then(|| Arc::clone(guard))));
        }
        reply
    }

    /// Makes a call once more that was let in already.
    fn again(&self, client: Client, cancel: Option<CancellationToken>) -> Again {
        let target = self.clone();
        Again(Box::new(move |call, mut held| {
            let (target, client, cancel) = (target.clone(), client.clone(), cancel.clone());
            Box::pin(async move {
                let bounds = target.bounds(cancel);
                let calling = target.0.kind.call(&call, &client, &bounds, &mut held);
                bounds.within(calling).await
            })
        }))
    }

    fn bounds(&self, cancel: Option<CancellationToken>) -> Bounds {
        Bounds {
            deadline: Instant::now() + self.0.declared.timeouts.total,
            cancel,
        }
    }

    /// The session of a caller that declared this has a stream open: what the target says to it outside of its calls is to be
    /// heard there, as long as somebody reads.
    pub fn attend(
        &self,
        principal: &Principal,
        session: [u8; 16],
        declared: ClientCapabilities,
        hearing: Hearing,
    ) {
        let asker = Asker::Caller {
            principal: principal.clone(),
            session: Some(session),
            declared,
        };
        self.0.kind.attend(&asker, hearing);
    }

    /// The session of a caller that declared this is over: what was begun for it here ends when nobody uses it any more.
    pub fn end_session(
        &self,
        principal: &Principal,
        session: [u8; 16],
        declared: ClientCapabilities,
    ) {
        self.0.kind.end_session(&Asker::Caller {
            principal: principal.clone(),
            session: Some(session),
            declared,
        });
    }

    /// It is not called for a while, by few callers or by all. Where it can't be reached, listing finds out when it is back.
    fn say_given_up(&self, given_up: GivenUp, reply: &Result<Reply, CallError>) {
        let name = self.name();
        let error = reply.as_ref().err().map(|error| with_causes(error));
        tracing::warn!(
            target.name = %name, error = error.unwrap_or_default(),
            "target `{name}` failed {} times in a row{}",
            self.0.declared.circuit_breaker.failures,
            match given_up {
                GivenUp::ForFew => " for few callers, who may not call it for a while",
                GivenUp::ForAll => " and is not called for a while",
            },
        );
        if self.0.guard.waits_for_connection() {
            self.0.kind.poke();
        }
    }

    /// What is offered, as it was listed last, without asking; with the failure if listing fails now.
    pub fn listing(&self, feature: Feature) -> Arc<Listing> {
        self.0.kind.listing(feature)
    }

    /// Waits until it was asked for all that it offers, with or without success.
    pub async fn asked_once(&self) {
        for feature in Feature::ALL {
            let mut changes = self.changes(feature);
            // The sender is as old as the target.
            let _ = changes.wait_for(|listing| listing.at.is_some()).await;
        }
    }

    /// Says when [`Self::listing`] changes.
    pub fn changes(&self, feature: Feature) -> watch::Receiver<Arc<Listing>> {
        self.0.kind.changes(feature)
    }

    /// Whether it offers this at all; unknown before it was asked.
    pub fn offers(&self, feature: Feature) -> Option<bool> {
        self.0.kind.offers(feature)
    }

    /// The extensions that it declares, an object, as far as is known.
    pub fn extensions(&self) -> Option<OwnedRaw> {
        self.0.kind.extensions()
    }

    /// Whether it tells of updates of resources; unknown before it was asked for anything.
    pub fn subscribes(&self) -> Option<bool> {
        self.0.kind.subscribes()
    }

    /// Subscribes to a resource, as `resources/subscribe` and `subscriptions/listen` do; its updates arrive in the mailbox until
    /// the subscription is dropped.
    ///
    /// # Errors
    /// If the target does not tell of them, or says so too late.
    pub async fn subscribe(
        &self,
        call: Permitted<Call>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Subscription, CallError> {
        if call.get().target != *self.name() {
            return Err(CallError::WrongTarget);
        }
        let call = call.into_inner();
        let subscription = self.0.kind.subscribe(&call.name, mailbox);
        let mut subscription = subscription.ok_or(CallError::Busy {
            retry_after: Duration::from_secs(1),
        })?;
        let limit = self.0.declared.timeouts.handshake;
        match tokio::time::timeout(limit, subscription.standing()).await {
            Ok(standing) => standing.map(|()| subscription),
            Err(_) => Err(CallError::TimedOut(Stage::FirstByte)),
        }
    }

    /// Whether it completes arguments; unknown before it was asked for anything.
    pub fn completes(&self) -> Option<bool> {
        self.0.kind.completes()
    }

    /// What is offered now: what was listed last if that is still fresh, or else asked for.
    ///
    /// # Errors
    /// Only if it could not be listed and never was before: a stale list beats none.
    pub async fn list(&self, feature: Feature) -> Result<Arc<List>, CallError> {
        self.0.kind.list(feature).await
    }

    /// Asks for a list, unless it was asked for within `age`: for who misses an entry that may be new. Many who ask at
    /// once cause one request.
    pub async fn look_again(&self, feature: Feature, age: Duration) {
        self.0.kind.look_again(feature, age).await;
    }

    /// What is offered to this caller, where that is not the same for everybody: asked for on its behalf, and not kept.
    /// Few are asked for at the same time; others wait.
    ///
    /// # Errors
    /// If it can't be listed.
    pub async fn list_for(
        &self,
        feature: Feature,
        principal: &Principal,
        client: &Client,
    ) -> Result<List, CallError> {
        let asker = Asker::Caller {
            principal: principal.clone(),
            session: client.session,
            declared: client.declared,
        };
        self.0.kind.list_for(feature, &asker, client.era).await
    }

    /// Asks for the list now, if lists are kept; what became of it shows in the listing.
    pub async fn sync(&self, feature: Feature) {
        self.0.kind.sync(feature).await;
    }

    /// Keeps the lists current until `stop`, then says good-bye to the target when the
    /// calls under way are over. To be spawned once per target.
    pub async fn run(&self, stop: CancellationToken) {
        self.0.kind.run(stop).await;
    }
}
