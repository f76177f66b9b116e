//! The discovery documents (RFC 8414, OpenID Connect Discovery): only what is implemented is in them (SEC-9).

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::client_policy::Mode;
use model::realm::{Realm, SigningAlgorithm};
use model::registration;
use oauth::auth_method::AuthMethod;
use oauth::metadata::server::ServerMetadata;
use oauth::pkce;
use oauth::request::token::GrantType;
use oauth::response_mode::{ResponseMode, ResponseType};

use crate::answer;
use crate::cx::Cx;
use crate::headers;
use crate::keys::{Need, RealmKeys};

/// Algorithms with which clients may sign their assertions.
const ASSERTION_ALGORITHMS: [&str; 10] = [
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
];

/// `GET /.well-known/oauth-authorization-server` and `GET /.well-known/openid-configuration`, under all their names.
pub(crate) async fn get_metadata(cx: Cx) -> Response {
    let keys = match cx.keys(Need::AccessTokens).await {
        Ok(keys) => keys,
        Err(internal) => return answer::refuse(&cx, &internal.into(), answer::Tried::Otherwise),
    };
    match serde_json::to_vec(&of(&cx.realm.config, &keys)) {
        Ok(document) => {
            let mut response = headers::json(StatusCode::OK, document);
            response.headers_mut().insert(
                header::CACHE_CONTROL,
                HeaderValue::from_static("public, max-age=300"),
            );
            response
        }
        Err(error) => {
            tracing::error!(%error, "metadata could not be serialized");
            headers::bare(StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    }
}

/// The one document of a realm, for both well-known names.
pub(crate) fn of(realm: &Realm, keys: &RealmKeys) -> ServerMetadata {
    let issuer = &realm.issuer;
    let methods: Vec<String> = AuthMethod::ALL.iter().map(ToString::to_string).collect();
    ServerMetadata {
        issuer: issuer.as_str().to_owned(),
        authorization_endpoint: Some(issuer.join("/authorize")),
        token_endpoint: Some(issuer.join("/token")),
        jwks_uri: Some(issuer.join("/jwks")),
        registration_endpoint: (realm.registration.mode != registration::Mode::Off)
            .then(|| issuer.join("/register")),
        userinfo_endpoint: Some(issuer.join("/userinfo")),
        revocation_endpoint: Some(issuer.join("/revoke")),
        end_session_endpoint: Some(issuer.join("/logout")),
        scopes_supported: scopes(realm),
        response_types_supported: vec![ResponseType::Code.as_str().to_owned()],
        response_modes_supported: vec![ResponseMode::Query.as_str().to_owned()],
        grant_types_supported: GrantType::ALL.iter().map(ToString::to_string).collect(),
        // `none` comes first: some clients take the first one, as the C# SDK.
        token_endpoint_auth_methods_supported: methods.clone(),
        token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS
            .map(str::to_owned)
            .to_vec(),
        revocation_endpoint_auth_methods_supported: methods,
        revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS
            .map(str::to_owned)
            .to_vec(),
        code_challenge_methods_supported: vec![pkce::METHOD.to_owned()],
        subject_types_supported: vec!["public".to_owned()],
        id_token_signing_alg_values_supported: id_token_algorithms(keys),
        claims_supported: [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "sid",
            "name",
            "preferred_username",
            "email",
            "email_verified",
        ]
        .map(str::to_owned)
        .to_vec(),
        prompt_values_supported: ["none", "login", "consent", "select_account"]
            .map(str::to_owned)
            .to_vec(),
        ui_locales_supported: vec!["en".to_owned(), "ja".to_owned()],
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: realm.cimd.mode != Mode::Off,
        request_uri_parameter_supported: false,
        request_parameter_supported: false,
        protected_resources: realm
            .resources
            .iter()
            .map(|resource| resource.uri.as_str().to_owned())
            .collect(),
        ..ServerMetadata::default()
    }
}

/// RS256 first, with which ID tokens are signed unless a client says otherwise (OpenID Connect Discovery §3); then all with
/// which they may be signed at the moment.
fn id_token_algorithms(keys: &RealmKeys) -> Vec<String> {
    let default = SigningAlgorithm::default_of_id_tokens();
    let others = keys.algorithms().iter().copied();
    std::iter::once(default)
        .chain(others.filter(|algorithm| *algorithm != default))
        .map(|algorithm| algorithm.to_string())
        .collect()
}

/// `openid` and the realm's own scopes. `offline_access` is accepted but not advertised: refresh tokens come with the
/// grant type `refresh_token`, and clients that see it advertised add `prompt=consent` to every request (AS-32).
fn scopes(realm: &Realm) -> Vec<String> {
    let mut scopes = vec!["openid".to_owned()];
    for scope in &realm.scopes {
        let name = scope.name.as_str();
        if name != "offline_access" && !scopes.iter().any(|known| known == name) {
            scopes.push(name.to_owned());
        }
    }
    scopes
}
