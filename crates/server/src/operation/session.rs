//! Login sessions: which there are, and their end.

use model::id::Id;
use model::realm::LogoutEnds;
use model::session::Session;
use model::user::Username;
use store::session::Listed;

use crate::operation::output::SessionsEnded;
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
async fn end(cx: &Cx<'_>, id: Id<Session>, ends: LogoutEnds) -> Result<usize, Problem> {
    let realm = &cx.realm;
    store::session::end(cx.store, &realm.name, id, ends, &realm.lifetimes, cx.now)
        .await?
        .ok_or_else(|| Problem::NoSuchSession {
            realm: realm.name.clone(),
            id: id.to_string(),
        })
}

/// Ends one session, or all of a user, and what else `ends` says.
pub(crate) async fn end_all(
    cx: &Cx<'_>,
    id: Option<Id<Session>>,
    username: Option<&Username>,
    ends: LogoutEnds,
) -> Result<SessionsEnded, Problem> {
    let ids = match username {
        Some(username) => {
            let all = list(cx, Some(username)).await?;
            all.into_iter().map(|one| one.session.id).collect()
        }
        None => Vec::from_iter(id),
    };
    let (sessions, mut grants) = (ids.len(), 0);
    for id in ids {
        grants += end(cx, id, ends).await?;
    }
    Ok(SessionsEnded {
        sessions,
        grants,
        tokens_go_on: ends == LogoutEnds::Session,
    })
}
