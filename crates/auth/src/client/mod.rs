//! Who a client id stands for: a client registered beforehand, or one known by its metadata document.

pub(crate) mod authenticate;
pub(crate) mod cimd;
pub(crate) mod credentials;
pub(crate) mod key_sets;
pub(crate) mod refusal;

use model::client::Client;
use model::client_policy::Admission;
use oauth::client_id::{ClientId, ClientIdUrl};
use oauth::redirect_uri::RedirectUri;

use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;

/// A client that is let in, and what people should be told about it.
#[derive(Debug, Clone)]
pub(crate) struct KnownClient {
    pub(crate) client: Client,
    /// Whether its host is trusted by the configuration or by an administrator; always so for registered clients.
    pub(crate) trusted: bool,
}

/// What a client is looked up for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// An authorization request, with its redirect URI: all rules of the realm's policy are asked.
    Authorize(Option<&'a RedirectUri>),
    /// A logout that shall end there: the same rules are asked about that address.
    Logout(&'a RedirectUri),
    /// What follows upon an authorization: the rules that speak of no address that is asked for.
    Token,
}

/// Finds a client. A registered one comes first, so that no document can stand in for it (SEC-30).
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

/// Why a client was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// It is not let in.
    #[error(transparent)]
    Refused(#[from] ClientRefusal),
    /// The store failed.
    #[error(transparent)]
    Internal(#[from] crate::failure::Internal),
}
