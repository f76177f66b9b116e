//! Who a client id stands for: a client of the configuration, one that registered itself, or one known by its metadata
//! document.

pub(crate) mod authenticate;
pub(crate) mod cimd;
pub(crate) mod credentials;
pub(crate) mod documents;
mod finding;
pub(crate) mod key_sets;
pub(crate) mod refusal;
pub(crate) mod registered;

use model::client_policy::Admission;
use model::registration;
use oauth::client_id::{ClientId, ClientIdUrl};

pub(crate) use crate::client::finding::{FindError, KnownClient, Purpose};
use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;

/// Finds a client, in the three places where clients come from. One of the configuration comes first, so that no document
/// or registration can stand in for it (SEC-30).
pub(crate) async fn find(
    cx: &Cx,
    id: &ClientId,
    purpose: Purpose<'_>,
) -> Result<KnownClient, FindError> {
    if let Some(client) = cx.realm.config.client(id) {
        return Ok(KnownClient {
            client: client.clone(),
            trusted: true,
        });
    }
    if registration::may_be_registered(id) {
        return Ok(KnownClient {
            client: registered::load(cx, id).await?,
            trusted: false,
        });
    }
    if !id.looks_like_url() {
        return Err(ClientRefusal::Unknown.into());
    }
    let url =
        ClientIdUrl::parse(id, cx.realm.config.cimd.plain_http()).map_err(ClientRefusal::Url)?;
    let admission = cimd::admit(cx, &url, &purpose).await?;
    let client = cimd::load(cx, &url, purpose).await?;
    Ok(KnownClient {
        client,
        trusted: admission != Admission::Unknown,
    })
}

/// Whether the operator knows a client of this id. What others say of theirs is looked up where it matters.
pub(crate) fn is_configured(cx: &Cx, id: &ClientId) -> bool {
    cx.realm.config.client(id).is_some()
}

/// Whether an id can be that of a client that nobody vouches for: by document or by registration.
pub(crate) fn may_be_a_strangers(id: &ClientId) -> bool {
    id.looks_like_url() || registration::may_be_registered(id)
}
