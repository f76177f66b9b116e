//! The client's side of a call: how it asks, and what belongs to what it is asked.

use std::sync::Arc;
use std::time::Duration;

use mcp::capability::ClientCapabilities;
use mcp::era::Era;
use mcp::id::OwnedId;
use mcp::meta::LogLevel;
use mcp::method::Method;
use mcp::raw::OwnedRaw;
use policy::call::Principal;

use crate::media::Accepted;
use crate::quota::Usage;
use crate::session_id::SessionId;

/// The client's side of a call.
#[derive(Debug)]
pub(crate) struct Client {
    /// How it asks.
    pub(crate) method: Method,
    pub(crate) id: OwnedId,
    pub(crate) era: Era,
    pub(crate) accepted: Accepted,
    /// The least level of the log messages that it gets. A modern client that did not ask gets none; a legacy one gets what
    /// the target chooses.
    pub(crate) log_level: Option<LogLevel>,
    /// It expects the first event of a stream to have no data (2025-11-25).
    pub(crate) primes: bool,
    /// What belongs to an answer of its own to what its target asks.
    pub(crate) origin: Origin,
    /// The id of the task that it asks about, if it asks about one.
    pub(crate) task: Option<Box<str>>,
    /// What its caller has under way.
    pub(crate) usage: Arc<Usage>,
}

/// The request that a target's question belongs to: nobody else's answer counts, nor one to another request (TM-18).
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) principal: Principal,
    pub(crate) fingerprint: [u8; 32],
    /// A legacy client's session.
    pub(crate) session: Option<SessionId>,
    /// What the client can be asked.
    pub(crate) declared: ClientCapabilities,
    pub(crate) method: Method,
    pub(crate) target: Arc<str>,
    /// What is asked for, as the target calls it.
    pub(crate) name: Arc<str>,
    pub(crate) arguments: Option<OwnedRaw>,
    /// How long an answer may take.
    pub(crate) patience: Duration,
}
