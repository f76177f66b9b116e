//! What a kind of target is: it lists what there is, keeps that current, and calls.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::feature::Feature;
use ::mcp::raw::OwnedRaw;
use futures_util::future::BoxFuture;
use policy::call::Call;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::attention::Hearing;
use crate::bounds::Bounds;
use crate::client::Client;
use crate::error::CallError;
use crate::listing::{List, Listing};
use crate::meter::Held;
use crate::outward::Asker;
use crate::reply::Reply;
use crate::subscription::{Mailbox, Subscription};

/// A target of some kind. What all kinds have in common (who may call, how often, how long) is [`crate::Target`]'s.
pub(crate) trait Kind: std::fmt::Debug + Send + Sync {
    /// Calls until there is something to hand out. See [`crate::Target::call`].
    fn call<'a>(
        &'a self,
        call: &'a Call,
        client: &'a Client,
        bounds: &'a Bounds,
        held: &'a mut Held,
    ) -> BoxFuture<'a, Result<Reply, CallError>>;

    /// What is offered, as it was listed last.
    fn listing(&self, feature: Feature) -> Arc<Listing>;

    /// Says when [`Self::listing`] changes.
    fn changes(&self, feature: Feature) -> watch::Receiver<Arc<Listing>>;

    /// Whether this is offered at all; unknown before it was asked for.
    fn offers(&self, feature: Feature) -> Option<bool>;

    /// Whether updates of resources are told of; unknown before it was asked for anything.
    fn subscribes(&self) -> Option<bool>;

    /// That somebody wants to hear of updates of a resource. None if there are too many.
    fn subscribe(&self, uri: &Arc<str>, mailbox: &Arc<Mailbox>) -> Option<Subscription>;

    /// The extensions that are declared, an object, as far as is known.
    fn extensions(&self) -> Option<OwnedRaw>;

    /// Whether arguments are completed; unknown before it was asked for anything.
    fn completes(&self) -> Option<bool>;

    /// What is offered now, asked for if what is known is stale.
    ///
    /// # Errors
    /// Only if it could not be listed and never was before.
    fn list(&self, feature: Feature) -> BoxFuture<'_, Result<Arc<List>, CallError>>;

    /// Asks for the list, unless that was done within `age`, with or without success.
    fn look_again(&self, feature: Feature, age: Duration) -> BoxFuture<'_, ()>;

    /// What is offered to a caller: asked for on its behalf, and not kept.
    fn list_for<'a>(
        &'a self,
        feature: Feature,
        asker: &'a Asker,
        era: Era,
    ) -> BoxFuture<'a, Result<List, CallError>>;

    /// Asks for the list now, if lists are kept.
    fn sync(&self, feature: Feature) -> BoxFuture<'_, ()>;

    /// The lists may have changed: whoever runs [`Self::run`] asks for them soon.
    fn poke(&self);

    /// A caller has a stream open on which it can be told what is said outside of its calls.
    fn attend(&self, asker: &Asker, hearing: Hearing);

    /// A caller's session is over, and what was begun for it here is not needed any more.
    fn end_session(&self, asker: &Asker);

    /// Keeps the lists current until `stop`, then says good-bye when the calls under way are over.
    fn run(&self, stop: CancellationToken) -> BoxFuture<'_, ()>;
}
