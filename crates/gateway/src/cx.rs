//! What a request may reach.

use std::sync::Arc;

use model::clock::Clock;
use model::gateway::Limits;
use policy::decide::Policies;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::asks::Asks;
use crate::behind::Behind;
use crate::caller::Identification;
use crate::catalog::Catalogs;
use crate::detach::Background;
use crate::flights::Flights;
use crate::handover::{Admission, Handover, Successor};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::origin::Origins;
use crate::parked::Parked;
use crate::quota::Quotas;
use crate::seal::Seal;
use crate::session::Sessions;
use crate::spelling::Spelling;

/// One gateway, as its requests see it. Nothing in it changes except behind snapshots and short locks.
#[derive(Debug)]
pub(crate) struct Cx {
    pub(crate) name: Arc<str>,
    /// The endpoint's URL as clients know it, without a slash at its end and with one.
    pub(crate) spellings: [Spelling; 2],
    /// Scopes that a token of the first issuer needs.
    pub(crate) scopes: Vec<String>,
    pub(crate) origins: Origins,
    pub(crate) identification: Identification,
    pub(crate) policies: Policies,
    pub(crate) catalogs: Catalogs,
    pub(crate) sessions: Sessions,
    /// What stands behind it.
    pub(crate) behind: Vec<Arc<Behind>>,
    pub(crate) admission: Admission,
    pub(crate) handover: Handover<Self>,
    pub(crate) seal: Arc<Seal>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) asks: Arc<Asks>,
    pub(crate) parked: Arc<Parked>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) background: Arc<Background>,
    pub(crate) quotas: Quotas,
    pub(crate) limits: Limits,
    /// A JSON object: how we introduce ourselves.
    pub(crate) server_info: Box<str>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
    /// Ends its background work and its streams.
    pub(crate) stop: CancellationToken,
    /// Ends what it shares with other gateways.
    pub(crate) stop_of_all: CancellationToken,
    pub(crate) metrics: Arc<Metrics>,
}

impl Cx {
    /// Says to all streams of this gateway, and of those that it followed, who takes its place.
    pub(crate) fn give_way(self: &Arc<Self>, next: &Arc<Self>) {
        let mut followed = self.handover.hand_on();
        followed.push(Arc::downgrade(self));
        followed.retain(|one| {
            let one = one.upgrade();
            if let Some(one) = &one {
                one.handover.announce(one.followed_by(next));
            }
            one.is_some()
        });
        next.handover.follow(followed);
    }

    fn followed_by(&self, next: &Arc<Self>) -> Successor<Self> {
        let (lists_differ, revisions) = next.catalogs.differ_from(&self.catalogs);
        Successor {
            cx: Arc::downgrade(next),
            admits_alike: self.admission == next.admission,
            lists_differ,
            revisions,
        }
    }
}
