//! What becomes of the streams of a gateway when another configuration takes its place.

use std::sync::{Arc, Weak};

use model::gateway::{Authorization, Gateway as Configured};
use parking_lot::Mutex;
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

/// A gateway that took another's place. Nobody is kept by having been followed: a gateway lives as long as it serves or
/// has requests of its own.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(crate) cx: Weak<Cx>,
    /// Whether streams may go on there.
    pub(crate) admits_alike: bool,
    /// Whether its list of tools was another one then.
    pub(crate) lists_differ: bool,
    /// Of its list of tools, then.
    pub(crate) revision: u64,
}

impl Successor {
    fn of(cx: &Cx, next: &Arc<Cx>) -> Self {
        let (lists_differ, revision) = next.catalog.differs_from(&cx.catalog);
        Self {
            cx: Arc::downgrade(next),
            admits_alike: cx.admission == next.admission,
            lists_differ,
            revision,
        }
    }
}

/// Where a gateway says who took its place.
#[derive(Debug)]
pub(crate) struct Handover {
    successor: watch::Sender<Option<Arc<Successor>>>,
    /// Whose place it took, directly or not, and who may have streams yet that did not look who follows: by then only the
    /// last one is there for certain.
    followed: Mutex<Vec<Weak<Cx>>>,
}

impl Handover {
    pub(crate) fn new() -> Self {
        Self {
            successor: watch::Sender::new(None),
            followed: Mutex::default(),
        }
    }

    /// Says to all streams of a gateway, and of those that it followed, who takes its place.
    pub(crate) fn take_place(cx: &Arc<Cx>, next: &Arc<Cx>) {
        let mut followed = std::mem::take(&mut *cx.handover.followed.lock());
        followed.push(Arc::downgrade(cx));
        followed.retain(|one| {
            let one = one.upgrade();
            if let Some(one) = &one {
                let successor = Arc::new(Successor::of(one, next));
                one.handover.successor.send_replace(Some(successor));
            }
            one.is_some()
        });
        next.handover.followed.lock().extend(followed);
    }

    /// Waits for it.
    pub(crate) async fn successor(&self) -> Arc<Successor> {
        let mut said = self.successor.subscribe();
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
