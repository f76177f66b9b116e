//! How an attempt ended that others waited for.

use tokio::time::Instant;

use crate::error::CallError;

/// How an attempt ended that others waited for: they share its failure instead of each repeating
/// it after the other.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) at: Instant,
    failure: Option<CallError>,
}

impl Ended {
    pub(super) fn now<T>(outcome: &Result<T, CallError>) -> Self {
        Self {
            at: Instant::now(),
            failure: outcome.as_ref().err().cloned(),
        }
    }

    /// The failure, for somebody who was waiting already when it happened.
    pub(super) fn failure_since(ended: Option<&Self>, began: Instant) -> Option<CallError> {
        ended.filter(|ended| ended.at >= began)?.failure.clone()
    }
}
