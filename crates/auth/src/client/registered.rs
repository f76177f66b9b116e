//! Clients that registered themselves: from what is kept of them to what they may do under the realm's present policy.

use model::client::{Authentication, Client, KeySource, Provenance};
use model::client_policy;
use model::registration::{Mode, Registered};
use model::secret::TokenHash;
use oauth::auth_method::AuthMethod;
use oauth::client_id::ClientId;
use oauth::metadata::client::{ClientMetadata, Rules};
use oauth::metadata::registration::Registration;
use oauth::request::token::GrantType;
use serde_json::{Map, Value};

use crate::client::finding::{FindError, id_token_algorithm};
use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::keys;

/// Loads a registered client.
pub(crate) async fn load(cx: &Cx, id: &ClientId) -> Result<Client, FindError> {
    let realm = &cx.realm.config;
    if realm.registration.mode == Mode::Off {
        return Err(ClientRefusal::NotRegistered.into());
    }
    let registered = store::registration::load(&cx.app.store, &realm.name, id, cx.now)
        .await
        .map_err(Internal::from)?
        .ok_or(ClientRefusal::NotRegistered)?;
    let document = document_of(&registered)?;
    let registration = check(cx, document)?;
    Ok(client_of(&registered, &registration.metadata))
}

/// The members that were registered.
pub(crate) fn document_of(registered: &Registered) -> Result<Map<String, Value>, Internal> {
    serde_json::from_str(&registered.metadata).map_err(Internal::new)
}

/// Checks members of a request, or of a registration that is kept, by the rules of the realm as they are now. A redirect URI
/// that leads where the policy doesn't let answers go is left out; the last one is a refusal.
pub(crate) fn check(cx: &Cx, document: Map<String, Value>) -> Result<Registration, ClientRefusal> {
    let realm = &cx.realm.config;
    let algorithms = keys::algorithms(realm);
    let policy = &realm.registration;
    let schemes: Vec<&str> = policy.private_schemes.iter().map(String::as_str).collect();
    let rules = Rules {
        required: &[],
        private_schemes: &schemes,
        auth_methods: AuthMethod::ALL,
        id_token_algs: &algorithms,
        plain_http: realm.cimd.plain_http(),
    };
    let mut registration = Registration::of_document(document, &rules)?;
    let metadata = &mut registration.metadata;
    metadata.redirect_uris.retain(|uri| policy.admits(uri));
    metadata
        .post_logout_redirect_uris
        .retain(|uri| policy.admits(uri));
    if metadata.redirect_uris.is_empty() {
        return Err(client_policy::Refusal::RedirectNotTrusted.into());
    }
    cx.realm.documents.check_contained_urls(metadata)?;
    Ok(registration)
}

fn client_of(registered: &Registered, metadata: &ClientMetadata) -> Client {
    let keys = match (&metadata.jwks, &metadata.jwks_uri) {
        (Some(jwks), _) => Some(KeySource::Inline(jwks.to_value().to_string())),
        (None, Some(uri)) => Some(KeySource::Uri(uri.clone())),
        (None, None) => None,
    };
    let mut methods = metadata.auth_methods.clone();
    if registered.secret.is_some() {
        methods = vec![AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost];
    }
    Client {
        client_id: registered.client_id.clone(),
        name: metadata.client_name.as_ref().map(ToString::to_string),
        provenance: Provenance::Registered {
            hash: TokenHash::from_bytes(metadata.fingerprint()),
            expires_at: registered.expires_at,
        },
        authentication: Authentication {
            methods,
            secret: registered.secret,
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

/// What a registration is refused with (RFC 7591 §3.2.2).
pub(crate) fn refused(refusal: &ClientRefusal) -> oauth::error::OauthError {
    use oauth::error::{ErrorCode, OauthError};

    match refusal {
        ClientRefusal::Document(error) => oauth::metadata::registration::refused(error),
        ClientRefusal::Policy(client_policy::Refusal::RedirectNotTrusted) => OauthError::new(
            ErrorCode::InvalidRedirectUri,
            "no redirect URI leads to a trusted domain; hint: http on localhost, 127.0.0.1 or [::1] is always allowed, and the operator of this server can add to `trusted_domains`",
        ),
        other => OauthError::new(ErrorCode::InvalidClientMetadata, other.to_string()),
    }
}
