//! Consents: what users agreed to, and taking it back.

use model::user::Username;
use oauth::client_id::ClientId;
use store::consent::{Listed, Revoked};

use crate::operation::{Cx, Problem};

/// What was agreed to, by one user or all.
pub(crate) async fn list(cx: &Cx<'_>, username: Option<&Username>) -> Result<Vec<Listed>, Problem> {
    let user = match username {
        Some(username) => Some(cx.user(username).await?.id),
        None => None,
    };
    Ok(store::consent::of_realm(cx.store, &cx.realm.name, user).await?)
}

/// Takes back all that a user agreed to for a client, with its tokens.
pub(crate) async fn revoke(
    cx: &Cx<'_>,
    username: &Username,
    client_id: &ClientId,
) -> Result<Revoked, Problem> {
    let user = cx.user(username).await?;
    let lifetimes = &cx.realm.lifetimes;
    let revoked = store::consent::revoke(cx.store, user.id, client_id, lifetimes, cx.now).await?;
    // A client that may skip the question has grants without consents.
    if revoked.consents == 0 && revoked.grants == 0 {
        return Err(Problem::NoSuchConsent {
            username: username.clone(),
            client_id: client_id.to_string(),
        });
    }
    Ok(revoked)
}
