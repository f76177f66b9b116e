//! `shutdown`: how the program ends when it is told to.

use model::span::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the program ends on SIGTERM or SIGINT. Both times together have to fit into what its supervisor gives it; Kubernetes gives 30s. The same signal once more ends it at once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shutdown {
    /// How long requests are still taken as before while `/readyz` says 503, so that load balancers turn to others first.
    pub(crate) lame_duck: Span,
    /// How long requests under way may take after that. What takes longer is cut, and the exit code is 3. It can't be changed by a reload.
    pub(crate) drain: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            lame_duck: Span::seconds(0),
            drain: Span::seconds(25),
        }
    }
}
