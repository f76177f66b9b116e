//! What the process lends a gateway, and what can be wrong with what its operator configured.

use std::sync::Arc;

use model::clock::Clock;
use net::egress::pool::Pool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::issuers::Issuers;
use crate::memory::Memory;
use crate::metrics::Metrics;
pub use crate::revocation::{Revoke, Revoked};
use crate::session_id::SessionKey;

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
