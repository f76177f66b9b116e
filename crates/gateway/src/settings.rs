//! What a gateway is made from: what its operator configured, and what the process lends it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::clock::{Clock, Timestamp};
use model::gateway::Gateway as Configured;
use net::body::BoxError;
use net::egress::pool::Pool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::issuers::Issuers;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::session::SessionKey;

/// What an operator says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway itself.
    pub gateway: Configured,
    /// Bounds of requests.
    pub limits: Limits,
    /// How long the session of a legacy client lives, counted from `initialize`.
    pub session_lifetime: Duration,
}

impl Settings {
    /// With the default bounds.
    pub fn new(gateway: Configured) -> Self {
        Self {
            gateway,
            limits: Limits::default(),
            session_lifetime: Duration::from_hours(24),
        }
    }
}

/// Bounds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body (SEC-63).
    pub body: usize,
    /// How long a body may stall (SEC-61).
    pub body_idle: Duration,
    /// Tools per page of a list.
    pub page_size: usize,
    /// Verified tokens that are remembered.
    pub verified_tokens: usize,
    /// A quiet event stream gets a comment this often.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 * 1024 * 1024,
            body_idle: Duration::from_secs(15),
            page_size: 100,
            verified_tokens: 10_000,
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Asks whether a token, or the family it belongs to, was revoked: by its `jti`. Asked on every request, so it answers
/// from memory.
pub type Revoked = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Revokes an id until then, on every node and over a restart; it answers when this node knows.
pub type Revoke =
    Arc<dyn Fn(String, Timestamp) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// What the process lends a gateway.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The issuers, shared by all gateways.
    pub issuers: Arc<Issuers>,
    /// Connections to targets, by the rules for operators' URLs.
    pub pool: Pool,
    /// Seals session ids: the first key; the others only open them.
    pub session_keys: Vec<SessionKey>,
    /// What is remembered of clients, also when another configuration takes over.
    pub memory: Arc<Memory>,
    /// Asks for revoked tokens.
    pub revoked: Revoked,
    /// Ends sessions for good.
    pub revoke: Revoke,
    /// Background work, so that a shutdown can wait for it.
    pub tasks: TaskTracker,
    /// Ends background work and long streams, of this gateway and of whatever it is handed on to.
    pub stop: CancellationToken,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Why a gateway can't be made from its settings. The operator is to blame.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The resource policy.
    #[error("the resource policy is not valid")]
    Policy(#[source] policy::resource::fault::Faults),
    /// A target's URL.
    #[error("the egress rules forbid the URL of target `{target}`")]
    Target {
        /// Its name.
        target: String,
        /// Why.
        #[source]
        refusal: net::egress::rules::Refusal,
    },
    /// There is neither an audience nor a client that a token must be for, and `danger_any_audience` is not set.
    #[error(
        "no allowed audience; hint: name the audience that the authorization server puts into tokens"
    )]
    NoAudience,
    /// Nobody's tokens would be accepted.
    #[error("no issuer; hint: give `authorizer` a `discovery_url`")]
    NoIssuer,
    /// The rules for the tokens of one issuer must be one set.
    #[error("two authorizers for the issuer `{issuer}`")]
    IssuerTwice {
        /// Its name.
        issuer: String,
    },
}
