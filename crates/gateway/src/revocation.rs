//! How a gateway asks what was revoked, and revokes.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use model::clock::Timestamp;
use net::body::BoxError;

/// Asks whether a token, or the family it belongs to, was revoked: by its `jti`. Asked on every request, so it answers
/// from memory.
pub type Revoked = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Revokes an id until then, on every node and over a restart; it answers when this node knows.
pub type Revoke =
    Arc<dyn Fn(String, Timestamp) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
