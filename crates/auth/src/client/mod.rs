//! Who a client id stands for: a client of the configuration, one that registered itself, or one known by its metadata
//! document.

pub(crate) mod authenticate;
pub(crate) mod cimd;
pub(crate) mod credentials;
pub(crate) mod key_sets;
pub(crate) mod refusal;
pub(crate) mod registered;

use model::client::Client;
use model::client_policy::Admission;
use model::realm::SigningAlgorithm;
use model::registration;
use oauth::client_id::{ClientId, ClientIdUrl};
use oauth::metadata::client::ClientMetadata;
use oauth::redirect_uri::RedirectUri;

use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;

/// A client that is let in, and what people should be told about it.
#[derive(Debug, Clone)]
pub(crate) struct KnownClient {
    pub(crate) client: Client,
    /// Whether the operator knows it, or its host is trusted by the configuration or by an administrator.
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

/// What the ID tokens of a client that describes itself are signed with.
pub(crate) fn id_token_algorithm(metadata: &ClientMetadata) -> SigningAlgorithm {
    metadata
        .id_token_alg
        .and_then(|alg| alg.as_str().parse().ok())
        .unwrap_or(SigningAlgorithm::default_of_id_tokens())
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
