//! Client metadata (RFC 7591) as Client ID Metadata Documents carry it: lenient where real documents vary, strict where
//! the rules are.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use url::Url;

use crate::auth_method::AuthMethod;
use crate::client_id::{ClientIdUrl, PlainHttp};
use crate::error::{ErrorCode, OauthError};
use crate::jose::alg::Alg;
use crate::jose::jwk::{JwkSet, JwkSetError};
use crate::json_object::{ObjectError, parse_object};
use crate::metadata::display_name::DisplayName;
use crate::redirect_uri::{RedirectUri, RedirectUriError};
use crate::request::token::GrantType;
use crate::scope::ScopeSet;

/// The most bytes of a client's document (CI-16, SEC-24).
pub const MAX_BYTES: usize = 5 * 1024;
/// The deepest nesting (SEC-24).
pub const MAX_DEPTH: usize = 16;
/// The most redirect URIs.
pub const MAX_REDIRECT_URIS: usize = 50;
/// The properties that MCP requires of every document (AS-13).
pub const REQUIRED: [&str; 3] = ["client_id", "client_name", "redirect_uris"];

/// What the server wants of a document beyond the rules that always hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Properties that must be there with a value, usually [`REQUIRED`].
    pub required: &'a [&'a str],
    /// Private-use schemes without a dot that are allowed in redirect URIs, as `cursor`.
    pub private_schemes: &'a [&'a str],
    /// The authentication methods of the token endpoint.
    pub auth_methods: &'a [AuthMethod],
    /// The algorithms with which the server signs ID tokens.
    pub id_token_algs: &'a [Alg],
    /// Whether URLs in the document may be `http`.
    pub plain_http: PlainHttp,
}

/// Why a document was refused. One variant per rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientMetadataError {
    /// More than [`MAX_BYTES`] (CI-16).
    #[error("the client metadata document is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Deeper than [`MAX_DEPTH`] (SEC-24).
    #[error("the client metadata document is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Not one JSON object (AS-13).
    #[error("the client metadata document is not a JSON object")]
    NotObject,
    /// A member occurs twice.
    #[error("a member of the client metadata document occurs twice")]
    DuplicateMember,
    /// A member has another type than RFC 7591 gives it.
    #[error("the member `{member}` of the client metadata document has the wrong type")]
    WrongType {
        /// Which.
        member: &'static str,
    },
    /// A required property is missing or empty (AS-13, CI-9).
    #[error("the client metadata document lacks the property `{property}`")]
    MissingProperty {
        /// Which.
        property: String,
    },
    /// `client_id` is missing or not the URL of the document (CI-7, AS-10).
    #[error("the `client_id` in the client metadata document is not the URL of the document")]
    ClientIdMismatch,
    /// `client_name` has no visible character (SEC-17).
    #[error("the `client_name` has no visible character")]
    NameNotVisible,
    /// A client secret (CI-8, SEC-31).
    #[error("the client metadata document contains a client secret, and it is public")]
    ClientSecret,
    /// An authentication method with a shared secret (CI-8, SEC-31).
    #[error("the client metadata document names an authentication method with a shared secret")]
    SharedSecretMethod,
    /// A private or symmetric key (CI-8, SEC-31).
    #[error("the client metadata document contains a private or symmetric key")]
    PrivateKey,
    /// A redirect URI that is not acceptable (SEC-7, AS-21).
    #[error("redirect URI number {position}: {error}")]
    RedirectUri {
        /// Its position, from 1.
        position: usize,
        /// Why.
        error: RedirectUriError,
    },
    /// More than [`MAX_REDIRECT_URIS`].
    #[error("the client metadata document has more than {MAX_REDIRECT_URIS} redirect URIs")]
    TooManyRedirectUris,
    /// No usable redirect URI (CI-9).
    #[error("the client metadata document has no usable redirect URI")]
    NoRedirectUris,
    /// A URL that is none, or of a scheme that is not permitted (CI-15).
    #[error("the member `{member}` of the client metadata document is not an `https` URL")]
    BadUrl {
        /// Which.
        member: &'static str,
    },
    /// Both `jwks` and `jwks_uri` (RFC 7591 §2).
    #[error("the client metadata document has both `jwks` and `jwks_uri`")]
    JwksTwice,
    /// Keys that cannot be read.
    #[error("the `jwks` of the client metadata document: {0}")]
    Jwks(JwkSetError),
    /// `token_endpoint_auth_method` is not in `token_endpoint_auth_methods_supported` (CI-14).
    #[error("`token_endpoint_auth_method` is not among `token_endpoint_auth_methods_supported`")]
    MethodNotListed,
    /// No authentication method in common (CI-14).
    #[error("the client and this server have no authentication method in common")]
    NoCommonMethod,
    /// `grant_types` without `authorization_code` (RFC 7591 §2).
    #[error("the client and this server have no grant type in common; hint: `authorization_code`")]
    NoCommonGrant,
    /// `response_types` without `code` (RFC 7591 §2).
    #[error("the client and this server have no response type in common; hint: `code`")]
    NoCommonResponseType,
    /// `private_key_jwt` without keys (CI-14).
    #[error("`private_key_jwt` needs `jwks` or `jwks_uri`")]
    NoKeys,
}

impl From<ClientMetadataError> for OauthError {
    fn from(error: ClientMetadataError) -> Self {
        let code = match error {
            ClientMetadataError::NoCommonMethod => ErrorCode::UnauthorizedClient,
            _ => ErrorCode::InvalidClient,
        };
        Self::new(code, error.to_string())
    }
}

/// Whether the client runs on the user's machine (OpenID Connect Registration §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationType {
    /// On a server.
    Web,
    /// On the user's machine.
    Native,
}

/// A checked document. Members that are unknown here were ignored.
#[derive(Clone, Debug)]
pub struct ClientMetadata {
    /// The name to show, cleaned.
    pub client_name: Option<DisplayName>,
    /// Where answers may go: those that are usable, at least one.
    pub redirect_uris: Vec<RedirectUri>,
    /// What is wrong with the others, by their position from 1. They can never be matched, and cost nothing else.
    pub unusable_redirect_uris: Vec<(usize, RedirectUriError)>,
    /// Where the browser may go after logout.
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Known grant types of the document; `authorization_code` when it names none.
    pub grant_types: Vec<GrantType>,
    /// The scopes the client says it may ask for; never widens what the server allows (SEC-20).
    pub scope: Option<ScopeSet>,
    /// As named, or inferred from the redirect URIs, which many clients leave it to.
    pub application_type: ApplicationType,
    /// The methods this client may authenticate with here: never empty, never with a shared secret (CI-14).
    pub auth_methods: Vec<AuthMethod>,
    /// How its ID tokens shall be signed (`id_token_signed_response_alg`), if the server can.
    pub id_token_alg: Option<Alg>,
    /// Keys within the document.
    pub jwks: Option<JwkSet>,
    /// Where the keys are.
    pub jwks_uri: Option<Url>,
    /// The client's home page.
    pub client_uri: Option<Url>,
    /// The client's logo; must not be hot-linked (CI-17).
    pub logo_uri: Option<Url>,
    /// Terms of service.
    pub tos_uri: Option<Url>,
    /// Privacy policy.
    pub policy_uri: Option<Url>,
}

impl ClientMetadata {
    /// Reads and checks the document that was fetched from `url`.
    pub fn parse(
        bytes: &[u8],
        url: &ClientIdUrl,
        rules: &Rules<'_>,
    ) -> Result<Self, ClientMetadataError> {
        use ClientMetadataError as Refused;

        if bytes.len() > MAX_BYTES {
            return Err(Refused::TooLong);
        }
        let document = parse_object(bytes, MAX_DEPTH).map_err(|error| match error {
            ObjectError::TooDeep => Refused::TooDeep,
            ObjectError::NotObject => Refused::NotObject,
            ObjectError::DuplicateMember => Refused::DuplicateMember,
        })?;
        if text(&document, "client_id")? != Some(url.as_str()) {
            return Err(Refused::ClientIdMismatch);
        }
        if let Some(property) = rules
            .required
            .iter()
            .find(|property| is_empty(document.get(**property)))
        {
            return Err(Refused::MissingProperty {
                property: (*property).to_owned(),
            });
        }
        refuse_secrets(&document)?;
        Self::read(&document, rules, auth_methods)
    }

    /// Reads what a document and a registration have in common.
    pub(super) fn read(
        document: &Map<String, Value>,
        rules: &Rules<'_>,
        auth_methods: impl FnOnce(
            &Map<String, Value>,
            &Rules<'_>,
            bool,
        ) -> Result<Vec<AuthMethod>, ClientMetadataError>,
    ) -> Result<Self, ClientMetadataError> {
        use ClientMetadataError as Refused;

        let client_name = match text(document, "client_name")? {
            None => None,
            Some(name) => Some(DisplayName::clean(name).ok_or(Refused::NameNotVisible)?),
        };
        let (redirect_uris, unusable_redirect_uris) =
            redirect_uris(document, "redirect_uris", rules)?;
        if redirect_uris.is_empty() {
            return Err(match unusable_redirect_uris.first() {
                Some((position, error)) => Refused::RedirectUri {
                    position: *position,
                    error: *error,
                },
                None => Refused::NoRedirectUris,
            });
        }
        let (post_logout_redirect_uris, _) =
            self::redirect_uris(document, "post_logout_redirect_uris", rules)?;
        let local = |uri: &RedirectUri| uri.is_loopback() || uri.is_private_scheme();
        let application_type = match text(document, "application_type")? {
            // Named wrongly by real clients, so what the redirect URIs say comes first.
            _ if redirect_uris.iter().any(local) => ApplicationType::Native,
            Some("native") => ApplicationType::Native,
            _ => ApplicationType::Web,
        };
        let jwks_uri = web_url(document, "jwks_uri", rules)?;
        let jwks = match document.get("jwks") {
            None | Some(Value::Null) => None,
            Some(value) => Some(JwkSet::from_value(value).map_err(Refused::Jwks)?),
        };
        if jwks.is_some() && jwks_uri.is_some() {
            return Err(Refused::JwksTwice);
        }
        let auth_methods = auth_methods(document, rules, jwks.is_some() || jwks_uri.is_some())?;
        Ok(Self {
            client_name,
            redirect_uris,
            unusable_redirect_uris,
            post_logout_redirect_uris,
            grant_types: grant_types(document)?,
            // A scope outside the grammar can't be asked for anyway.
            scope: text(document, "scope")?.and_then(|scope| scope.parse().ok()),
            application_type,
            auth_methods,
            id_token_alg: id_token_alg(document, rules),
            jwks,
            jwks_uri,
            client_uri: web_url(document, "client_uri", rules)?,
            logo_uri: web_url(document, "logo_uri", rules)?,
            tos_uri: web_url(document, "tos_uri", rules)?,
            policy_uri: web_url(document, "policy_uri", rules)?,
        })
    }

    /// Whether all redirect URIs lead to the user's own machine: anybody there can pose as this client (AS-25).
    pub fn is_loopback_only(&self) -> bool {
        self.redirect_uris.iter().all(RedirectUri::is_loopback)
    }

    /// A hash over what a user consented to: name, redirect URIs, keys, logo. Another value asks anew (SEC-19, CI-20).
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        let mut field = |name: &str, values: BTreeSet<String>| {
            for text in std::iter::once(name.to_owned()).chain(values) {
                context.update(&(text.len() as u64).to_be_bytes());
                context.update(text.as_bytes());
            }
            context.update(&[0xff; 8]);
        };
        field(
            "client_name",
            self.client_name.iter().map(ToString::to_string).collect(),
        );
        field(
            "redirect_uris",
            self.redirect_uris.iter().map(ToString::to_string).collect(),
        );
        field(
            "auth_methods",
            self.auth_methods.iter().map(ToString::to_string).collect(),
        );
        field(
            "jwks",
            self.jwks
                .iter()
                .flat_map(JwkSet::keys)
                .map(|key| key.thumbprint().to_owned())
                .collect(),
        );
        field(
            "jwks_uri",
            self.jwks_uri.iter().map(ToString::to_string).collect(),
        );
        field(
            "logo_uri",
            self.logo_uri.iter().map(ToString::to_string).collect(),
        );
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}

pub(super) fn text<'a>(
    document: &'a Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'a str>, ClientMetadataError> {
    match document.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ClientMetadataError::WrongType { member }),
    }
}

pub(super) fn texts<'a>(
    document: &'a Map<String, Value>,
    member: &'static str,
) -> Result<Option<Vec<&'a str>>, ClientMetadataError> {
    let wrong = ClientMetadataError::WrongType { member };
    match document.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .map(Some)
            .ok_or(wrong),
        Some(_) => Err(wrong),
    }
}

pub(super) fn web_url(
    document: &Map<String, Value>,
    member: &'static str,
    rules: &Rules<'_>,
) -> Result<Option<Url>, ClientMetadataError> {
    let Some(text) = text(document, member)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let permitted = |url: &Url| match url.scheme() {
        "https" => true,
        "http" => rules.plain_http == PlainHttp::Allowed,
        _ => false,
    };
    let url = Url::parse(text)
        .ok()
        .filter(permitted)
        .filter(|url| url.username().is_empty() && url.password().is_none());
    url.map(Some).ok_or(ClientMetadataError::BadUrl { member })
}

/// Why redirect URIs can't be used, each with its position from 1.
type Unusable = Vec<(usize, RedirectUriError)>;

/// The usable redirect URIs of a member, and why the others are not: one that can't be used must not spoil those that can.
fn redirect_uris(
    document: &Map<String, Value>,
    member: &'static str,
    rules: &Rules<'_>,
) -> Result<(Vec<RedirectUri>, Unusable), ClientMetadataError> {
    let listed = texts(document, member)?.unwrap_or_default();
    if listed.len() > MAX_REDIRECT_URIS {
        return Err(ClientMetadataError::TooManyRedirectUris);
    }
    let (mut usable, mut unusable) = (Vec::with_capacity(listed.len()), Vec::new());
    for (position, text) in (1..).zip(listed) {
        match RedirectUri::parse_with_schemes(text, rules.private_schemes) {
            Ok(uri) => usable.push(uri),
            Err(error) => unusable.push((position, error)),
        }
    }
    Ok((usable, unusable))
}

/// What the client wants, as far as the server can; anything else leaves the choice to the server.
fn id_token_alg(document: &Map<String, Value>, rules: &Rules<'_>) -> Option<Alg> {
    let wanted = document.get("id_token_signed_response_alg")?.as_str()?;
    rules
        .id_token_algs
        .iter()
        .copied()
        .find(|alg| alg.as_str() == wanted)
}

/// Unknown grant types are left out, not fatal (SEC-32).
fn grant_types(document: &Map<String, Value>) -> Result<Vec<GrantType>, ClientMetadataError> {
    match texts(document, "grant_types")? {
        None => Ok(vec![GrantType::AuthorizationCode]),
        Some(names) => Ok(GrantType::ALL
            .iter()
            .copied()
            .filter(|grant| names.contains(&grant.as_str()))
            .collect()),
    }
}

/// CI-14. RFC 7591's default of `client_secret_basic` does not hold for documents.
fn auth_methods(
    document: &Map<String, Value>,
    rules: &Rules<'_>,
    has_keys: bool,
) -> Result<Vec<AuthMethod>, ClientMetadataError> {
    let method = text(document, "token_endpoint_auth_method")?;
    let listed = texts(document, "token_endpoint_auth_methods_supported")?;
    let mut named = match (method, listed) {
        (None, None) => vec![AuthMethod::None.as_str()],
        (Some(method), None) => vec![method],
        (None, Some(listed)) => listed,
        (Some(method), Some(listed)) => {
            if !listed.contains(&method) {
                return Err(ClientMetadataError::MethodNotListed);
            }
            listed
        }
    };
    if named.iter().any(|name| name.starts_with("client_secret")) {
        return Err(ClientMetadataError::SharedSecretMethod);
    }
    named.dedup();
    let mut common: Vec<AuthMethod> = rules
        .auth_methods
        .iter()
        .copied()
        .filter(|method| named.contains(&method.as_str()))
        .collect();
    if common.is_empty() {
        return Err(ClientMetadataError::NoCommonMethod);
    }
    if !has_keys {
        common.retain(|method| *method != AuthMethod::PrivateKeyJwt);
        if common.is_empty() {
            return Err(ClientMetadataError::NoKeys);
        }
    }
    Ok(common)
}

/// CI-8: nothing secret may stand in a public document, nor in a software statement within it.
fn refuse_secrets(document: &Map<String, Value>) -> Result<(), ClientMetadataError> {
    if document
        .keys()
        .any(|name| name.starts_with("client_secret"))
    {
        return Err(ClientMetadataError::ClientSecret);
    }
    if let Some(jwks) = document.get("jwks")
        && contains_private_key(jwks)
    {
        return Err(ClientMetadataError::PrivateKey);
    }
    if let Some(Value::String(statement)) = document.get("software_statement") {
        let payload = statement
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        if let Some(Ok(claims)) = payload.map(|payload| parse_object(&payload, MAX_DEPTH)) {
            let mut claims = claims;
            claims.remove("software_statement");
            refuse_secrets(&claims)?;
        }
    }
    Ok(())
}

pub(super) fn contains_private_key(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(contains_private_key),
        Value::Object(members) => {
            let key = members.contains_key("kty");
            let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
            (key && private.iter().any(|name| members.contains_key(*name)))
                || members.get("kty").and_then(Value::as_str) == Some("oct")
                || members.values().any(contains_private_key)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
