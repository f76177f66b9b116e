//! How long a call may take, and who may stop it.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{CallError, Stage};

/// The bounds of a call as a whole, up to the last message of its answer.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) deadline: Instant,
    /// None if nobody can but by dropping it.
    pub(crate) cancel: Option<CancellationToken>,
}

impl Bounds {
    /// Does a part of the call, unless it is stopped or its time is over before that.
    pub(crate) async fn within<T>(
        &self,
        part: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(CallError::Cancelled),
            done = part => done,
            () = tokio::time::sleep_until(self.deadline) => Err(CallError::TimedOut(Stage::Total)),
        }
    }

    async fn cancelled(&self) {
        match &self.cancel {
            Some(cancel) => cancel.cancelled().await,
            None => std::future::pending().await,
        }
    }
}
