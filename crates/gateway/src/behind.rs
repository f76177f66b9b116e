//! The targets behind a gateway, each with a life of its own: a gateway that takes over keeps those that did not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::target::Target as Declared;
use net::egress::pool::Pool;
use net::egress::rules::Refusal;
use targets::Target;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A target while it is kept: with its connections, its sessions and its list of tools.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) target: Target,
    started: AtomicBool,
    stop: CancellationToken,
}

impl Behind {
    /// The target that is declared so: one of `before` if it was declared just so there, or else a new one.
    ///
    /// # Errors
    /// If the pool's rules forbid its URL.
    pub(crate) fn kept_or_new(
        declared: Declared,
        before: &[Arc<Self>],
        pool: &Pool,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, Refusal> {
        if let Some(kept) = before
            .iter()
            .find(|kept| *kept.target.declared() == declared)
        {
            return Ok(Arc::clone(kept));
        }
        let target = Target::new(declared, pool, tasks.clone())?;
        Ok(Arc::new(Self {
            target,
            started: AtomicBool::new(false),
            stop: stop.child_token(),
        }))
    }

    /// Begins to keep its list of tools current, unless that was begun before.
    pub(crate) fn start(&self, tasks: &TaskTracker) {
        if !self.started.swap(true, Ordering::Relaxed) {
            let (target, stop) = (self.target.clone(), self.stop.clone());
            tasks.spawn(async move { target.run(stop).await });
        }
    }

    /// Ends it, as soon as its calls are over, unless it is among those that go on.
    pub(crate) fn end_unless_among(self: &Arc<Self>, going_on: &[Arc<Self>]) {
        if !going_on.iter().any(|other| Arc::ptr_eq(self, other)) {
            self.stop.cancel();
        }
    }
}
