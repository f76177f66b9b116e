//! Signing keys: which there are, and how they are replaced before it is their time.

use auth::rotation::{self, Successor, Urgency};
use model::signing_key::SigningKey;

use crate::operation::{Cx, Problem};

/// All that are published, the oldest state first.
pub(crate) async fn list(cx: &Cx<'_>) -> Result<Vec<SigningKey>, Problem> {
    Ok(store::key::list(cx.store, &cx.realm.name).await?)
}

/// Replaces them.
pub(crate) async fn rotate(cx: &Cx<'_>, urgency: Urgency) -> Result<Vec<Successor>, Problem> {
    if list(cx).await?.is_empty() {
        return Err(Problem::NoKeys(cx.realm.name.clone()));
    }
    rotation::rotate(cx.store, cx.realm, urgency, cx.now)
        .await
        .map_err(Problem::Keys)
}
