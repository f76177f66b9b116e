//! What becomes of the streams of a gateway when another configuration takes its place.

use std::sync::{Arc, Weak};

use mcp::feature::PerFeature;
use model::gateway::{Authorization, Authorizer, Gateway as Configured};
use model::web_url::WebUrl;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::catalog::Revisions;

/// What decides who may be where: streams go on only where it did not change, because who opened them is not asked again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    url: WebUrl,
    /// None, if nobody is asked for a token.
    authorizers: Option<Vec<Authorizer>>,
    allowed_origins: Vec<String>,
    resource_policy: Option<Value>,
}

impl Admission {
    pub(crate) fn of(gateway: &Configured) -> Self {
        Self {
            url: gateway.url.clone(),
            authorizers: match gateway.authorization() {
                Authorization::Tokens(authorizers) => Some(authorizers.to_vec()),
                Authorization::DangerNone => None,
            },
            allowed_origins: gateway.allowed_origins.clone(),
            resource_policy: gateway.resource_policy.clone(),
        }
    }
}

/// A gateway that took another's place. Nobody is kept by having been followed: a gateway lives as long as it serves or
/// has requests of its own.
#[derive(Debug)]
pub(crate) struct Successor<T> {
    pub(crate) cx: Weak<T>,
    /// Whether streams may go on there.
    pub(crate) admits_alike: bool,
    /// Which of its lists were other ones then.
    pub(crate) lists_differ: PerFeature<bool>,
    /// Of its lists, then.
    pub(crate) revisions: Revisions,
}

/// Where a gateway says who took its place.
#[derive(Debug)]
pub(crate) struct Handover<T> {
    successor: watch::Sender<Option<Arc<Successor<T>>>>,
    /// Whose place it took, directly or not, and who may have streams yet that did not look who follows: by then only the
    /// last one is there for certain.
    followed: Mutex<Vec<Weak<T>>>,
}

impl<T> Handover<T> {
    pub(crate) fn new() -> Self {
        Self {
            successor: watch::Sender::new(None),
            followed: Mutex::default(),
        }
    }

    /// Whose place is taken besides this one's: those that it followed.
    pub(crate) fn hand_on(&self) -> Vec<Weak<T>> {
        std::mem::take(&mut *self.followed.lock())
    }

    /// Remembers whose place it took.
    pub(crate) fn follow(&self, before: Vec<Weak<T>>) {
        self.followed.lock().extend(before);
    }

    /// Says to its streams who takes its place.
    pub(crate) fn announce(&self, successor: Successor<T>) {
        self.successor.send_replace(Some(Arc::new(successor)));
    }

    /// Waits for it.
    pub(crate) async fn successor(&self) -> Arc<Successor<T>> {
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
