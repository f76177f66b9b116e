//! The end of a family of tokens.

use model::id::Id;
use model::refresh::Family;

use crate::cx::Cx;
use crate::failure::Internal;

/// Ends a family for good: its refresh tokens, and within a second on every node its access tokens (SEC-3, SEC-46).
pub(crate) async fn revoke_family(
    cx: &Cx,
    family: Id<Family>,
    reason: &'static str,
) -> Result<(), Internal> {
    let lifetimes = &cx.realm.config.lifetimes;
    let ended = store::family::revoke(&cx.app.store, family, lifetimes, cx.now)
        .await
        .map_err(Internal::new)?;
    if ended {
        tracing::warn!(family.id = %family, reason, "grant revoked");
        cx.app.metrics.families_revoked.inc();
    }
    Ok(())
}
