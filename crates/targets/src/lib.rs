//! What is behind the gateway: MCP servers, how to list their tools, and how to call them.
//!
//! A target is called with a [`policy::permitted::Permitted`] call and nothing else, so that no
//! call can reach it that was not decided about. What the gateway knows of its own client (tokens,
//! headers, addresses) is not handed to a target at all: requests to it are built from nothing.
//!
//! | Module | What for |
//! |---|---|
//! | [`mcp`] | MCP servers over Streamable HTTP, in both protocol eras |
//! | [`error`] | why a call has no answer |
//! | [`reply`] | what comes back from a call |
//! | [`meter`] | what is in memory of one caller's messages |
//! | [`outward`] | what requests to a target carry besides what they are about |
//! | [`guard`] | how much a target may have to do, and when it is left alone |
//! | [`apart`] | work on large inputs, off the threads that serve |
//!
//! To add one more kind of target: a variant in [`Target`] and a module beside [`mcp`]; the
//! compiler lists the rest.

pub mod apart;
pub mod error;
pub mod guard;
pub mod mcp;
pub mod meter;
pub mod outward;
pub mod reply;

use std::sync::Arc;

use policy::call::ToolCall;
use policy::permitted::Permitted;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::mcp::McpTarget;
use crate::mcp::list::{Listing, ToolList};
use crate::meter::Held;
use crate::reply::Reply;

/// Something with tools behind the gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Target {
    /// An MCP server.
    Mcp(Arc<McpTarget>),
}

impl Target {
    /// Its name in the configuration.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Mcp(target) => target.name(),
        }
    }

    /// Calls a tool. What is in memory of an answer is counted by `held` until it is returned; where it finds no room, the
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
        call: Permitted<ToolCall>,
        cancel: Option<CancellationToken>,
        held: Held,
    ) -> Result<Reply, CallError> {
        match self {
            Self::Mcp(target) => Box::pin(target.call(call, cancel, held)).await,
        }
    }

    /// The tools as they were listed last, without asking; with the failure if listing fails now.
    pub fn listing(&self) -> Arc<Listing> {
        match self {
            Self::Mcp(target) => target.listing(),
        }
    }

    /// Says when [`Self::listing`] changes.
    pub fn changes(&self) -> watch::Receiver<Arc<Listing>> {
        match self {
            Self::Mcp(target) => target.changes(),
        }
    }

    /// The tools as they are now: what was listed last if that is still fresh, or else asked for.
    ///
    /// # Errors
    /// Only if they could not be listed and never were before: a stale list beats none.
    pub async fn tools(&self) -> Result<Arc<ToolList>, CallError> {
        match self {
            Self::Mcp(target) => Box::pin(target.tools()).await,
        }
    }

    /// Asks for the tools, unless they were asked for within `age`: for who misses one that may be new. Many who ask at
    /// once cause one request.
    pub async fn look_again(&self, age: Duration) {
        match self {
            Self::Mcp(target) => Box::pin(target.look_again(age)).await,
        }
    }

    /// Makes the tools be asked for soon by whoever keeps the list current ([`Self::run`]).
    pub fn list_anew(&self) {
        match self {
            Self::Mcp(target) => target.list_anew(),
        }
    }

    /// Keeps the list of tools current until `stop`, then says good-bye to the target when the
    /// calls under way are over. To be spawned once per target.
    pub async fn run(&self, stop: CancellationToken) {
        match self {
            Self::Mcp(target) => Box::pin(target.run(stop)).await,
        }
    }
}
