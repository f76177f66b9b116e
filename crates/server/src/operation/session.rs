//! Login sessions: which there are, and their end.

use model::id::Id;
use model::realm::LogoutEnds;
use model::session::Session;
use model::user::Username;
use store::session::Listed;

use crate::operation::{Cx, Problem};

/// Those that still hold, of one user or all.
pub(crate) async fn list(cx: &Cx<'_>, username: Option<&Username>) -> Result<Vec<Listed>, Problem> {
    let user = match username {
        Some(username) => Some(cx.user(username).await?.id),
        None => None,
    };
    Ok(store::session::list(cx.store, &cx.realm.name, user, cx.now).await?)
}

/// Ends a session, and what else `ends` says. How many grants to clients were revoked.
pub(crate) async fn end(cx: &Cx<'_>, id: Id<Session>, ends: LogoutEnds) -> Result<usize, Problem> {
    let realm = &cx.realm;
    store::session::end(cx.store, &realm.name, id, ends, &realm.lifetimes, cx.now)
        .await?
        .ok_or_else(|| Problem::NoSuchSession {
            realm: realm.name.clone(),
            id: id.to_string(),
        })
}
