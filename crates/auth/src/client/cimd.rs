//! Clients known by their metadata document (draft-ietf-oauth-client-id-metadata-document).
//!
//! In this order, each step refusing before the next one costs anything: the rules of the URL (in `oauth`), the realm's
//! policy of hosts and an administrator's approval, the fetch within its budgets, the rules of the document, its URLs,
//! the realm's policy of documents. Nothing is stored for a client that nobody has consented to.

use std::time::Duration;

use model::client::{Authentication, Client, KeySource, Provenance};
use model::client_policy::{self, Admission, CimdPolicy};
use model::secret::TokenHash;
use oauth::client_id::ClientIdUrl;
use oauth::redirect_uri::RedirectUri;
use oauth::request::token::GrantType;
use store::approval::{self, Verdict};
use store::counter::{self, CounterName};
use url::Url;

use crate::client::documents::{ClientDocument, contained_urls};
use crate::client::finding::{FindError, Purpose, id_token_algorithm};
use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::source;

/// How many new hosts one visitor may put before an administrator within [`APPROVAL_WINDOW`].
const APPROVALS_PER_SOURCE: u32 = 10;
const APPROVAL_WINDOW: Duration = Duration::from_hours(1);

/// The rules that need no document, and an administrator's decision where the realm wants one (SEC-34).
pub(crate) async fn admit(
    cx: &Cx,
    url: &ClientIdUrl,
    purpose: &Purpose<'_>,
) -> Result<Admission, FindError> {
    let admission = cx
        .realm
        .config
        .cimd
        .check_client_id(url)
        .map_err(ClientRefusal::Policy)?;
    if admission == Admission::NeedsApproval {
        match verdict(cx, url.host(), purpose).await? {
            Verdict::Approved => {}
            Verdict::Pending => return Err(ClientRefusal::AwaitsApproval.into()),
            Verdict::Denied => return Err(ClientRefusal::HostRefused.into()),
        }
    }
    Ok(admission)
}

/// What an administrator said about a host. One that nobody asked for before is noted when somebody wants to log in, unless
/// the visitor has asked for too many already: strangers must not fill the list (SEC-33).
async fn verdict(cx: &Cx, host: &str, purpose: &Purpose<'_>) -> Result<Verdict, Internal> {
    let (store, realm) = (&cx.app.store, &cx.realm.config.name);
    if let Some(verdict) = approval::load(store, realm, host).await? {
        return Ok(verdict);
    }
    if !matches!(purpose, Purpose::Authorize(_)) {
        return Ok(Verdict::Pending);
    }
    let source = source::name(cx.peer.address);
    let asked = CounterName::new("approval-source", &[realm.as_str(), &source]);
    if counter::add(store, &asked, APPROVAL_WINDOW, cx.now)
        .await?
        .n
        > APPROVALS_PER_SOURCE
    {
        return Ok(Verdict::Pending);
    }
    Ok(approval::ask(store, realm, host, cx.now).await?)
}

/// Loads a client by its document.
pub(crate) async fn load(
    cx: &Cx,
    url: &ClientIdUrl,
    purpose: Purpose<'_>,
) -> Result<Client, ClientRefusal> {
    let document = cx.realm.documents.get(url, cx.peer.address).await?;
    let requested = match purpose {
        Purpose::Authorize(requested) => {
            requested.or_else(|| document.metadata.redirect_uris.first())
        }
        Purpose::Logout(requested) => Some(requested),
        Purpose::Token => None,
    };
    check_policy(&cx.realm.config.cimd, &document, requested)?;
    Ok(client_of(&document))
}

fn check_policy(
    policy: &CimdPolicy,
    document: &ClientDocument,
    requested: Option<&RedirectUri>,
) -> Result<(), client_policy::Refusal> {
    let metadata = &document.metadata;
    // Their presence was checked when the document was read.
    let properties: Vec<&str> = policy
        .required_properties
        .iter()
        .map(String::as_str)
        .collect();
    let uris: Vec<(&'static str, &Url)> = contained_urls(metadata).collect();
    policy.check_document(
        &document.client_id,
        &client_policy::Document {
            properties: &properties,
            redirect_uris: &metadata.redirect_uris,
            post_logout_redirect_uris: &metadata.post_logout_redirect_uris,
            requested,
            uris: &uris,
            methods: &metadata.auth_methods,
            has_jwks: metadata.jwks.is_some(),
            has_jwks_uri: metadata.jwks_uri.is_some(),
        },
    )
}

/// The client that a document describes. What it says about grant types and scopes narrows, and never widens (SEC-20).
fn client_of(document: &ClientDocument) -> Client {
    let metadata = &document.metadata;
    let keys = match (&metadata.jwks, &metadata.jwks_uri) {
        (Some(jwks), _) => Some(KeySource::Inline(jwks.to_value().to_string())),
        (None, Some(uri)) => Some(KeySource::Uri(uri.clone())),
        (None, None) => None,
    };
    Client {
        client_id: document.client_id.client_id(),
        name: metadata.client_name.as_ref().map(ToString::to_string),
        provenance: Provenance::Document {
            url: document.client_id.clone(),
            hash: TokenHash::from_bytes(metadata.fingerprint()),
        },
        authentication: Authentication {
            methods: metadata.auth_methods.clone(),
            secret: None,
            keys,
        },
        redirect_uris: metadata.redirect_uris.clone(),
        post_logout_redirect_uris: metadata.post_logout_redirect_uris.clone(),
        id_token_algorithm: id_token_algorithm(metadata),
        may_refresh: metadata.grant_types.contains(&GrantType::RefreshToken),
        skip_consent: false,
        traits: model::traits::Traits::default(),
    }
}
