//! What becomes of the streams of a gateway when another configuration takes its place.

use std::sync::Arc;

use model::gateway::{Authorization, Gateway as Configured};
use tokio::sync::watch;
use url::Url;

use crate::cx::Cx;

/// What decides who may be where: streams go on only where it did not change, because who opened them is not asked again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    url: Url,
    authorization: Authorization,
    allowed_origins: Vec<String>,
    resource_policy: Option<String>,
}

impl Admission {
    pub(crate) fn of(gateway: &Configured) -> Self {
        Self {
            url: gateway.url.clone(),
            authorization: gateway.authorization.clone(),
            allowed_origins: gateway.allowed_origins.clone(),
            resource_policy: gateway.resource_policy.clone(),
        }
    }
}

/// A gateway that took another's place.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) cx: Arc<Cx>,
    /// Whether streams may go on there.
    pub(crate) admits_alike: bool,
    /// Whether its list of tools was another one then.
    pub(crate) lists_differ: bool,
    /// Of its list of tools, then.
    pub(crate) revision: u64,
}

/// Where a gateway says who took its place.
#[derive(Debug)]
pub(crate) struct Handover(watch::Sender<Option<Arc<Successor>>>);

impl Handover {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Says it to all streams.
    pub(crate) fn to(&self, successor: Successor) {
        self.0.send_replace(Some(Arc::new(successor)));
    }

    /// Waits for it.
    pub(crate) async fn successor(&self) -> Arc<Successor> {
        let mut said = self.0.subscribe();
        loop {
            if let Some(successor) = said.borrow_and_update().clone() {
                return successor;
            }
            // The sender is as old as `self`, so that it can't be gone.
            if said.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
