//! Client metadata as clients register it (RFC 7591 §2, §3): what is not needed never spoils the rest, and what was registered
//! is what the answer says.

use serde_json::{Map, Value};

use crate::auth_method::AuthMethod;
use crate::error::{ErrorCode, OauthError};
use crate::json_object::{ObjectError, parse_object};
use crate::metadata::client::{
    ApplicationType, ClientMetadata, ClientMetadataError, MAX_BYTES, MAX_DEPTH, Rules,
    contains_private_key, text, texts, web_url,
};
use crate::metadata::display_name::DisplayName;
use crate::request::token::GrantType;
use crate::response_mode::ResponseType;

/// URLs for people: one that can't be used is left out.
const LINKS: [&str; 4] = ["client_uri", "logo_uri", "tos_uri", "policy_uri"];
/// Texts that are kept as they are.
const KEPT: [&str; 7] = [
    "software_id",
    "software_version",
    "jwks_uri",
    "client_uri",
    "logo_uri",
    "tos_uri",
    "policy_uri",
];

/// A registration that was checked: what the client is, and what it said beside that.
#[derive(Clone, Debug)]
pub struct Registration {
    /// What the server acts on.
    pub metadata: ClientMetadata,
    /// Members of RFC 7591 that the client wants to see again as it wrote them.
    kept: Map<String, Value>,
}

impl Registration {
    /// Checks members: those of a request, or those that [`Self::document`] gave earlier.
    pub fn of_document(
        mut document: Map<String, Value>,
        rules: &Rules<'_>,
    ) -> Result<Self, ClientMetadataError> {
        if document.get("jwks").is_some_and(contains_private_key) {
            return Err(ClientMetadataError::PrivateKey);
        }
        forget_what_is_of_no_use(&mut document, rules);
        check_response_types(&document)?;
        let metadata = ClientMetadata::read(&document, rules, auth_methods)?;
        if !metadata.grant_types.contains(&GrantType::AuthorizationCode) {
            return Err(ClientMetadataError::NoCommonGrant);
        }
        document.retain(|name, value| match name.as_str() {
            "jwks" => value.is_object(),
            "contacts" => value
                .as_array()
                .is_some_and(|all| all.iter().all(Value::is_string)),
            name => KEPT.contains(&name) && value.as_str().is_some_and(|text| !text.is_empty()),
        });
        Ok(Self {
            metadata,
            kept: document,
        })
    }

    /// How the client authenticates. It has named one method, or it has the one of RFC 7591 §2.
    pub fn auth_method(&self) -> AuthMethod {
        self.metadata
            .auth_methods
            .first()
            .copied()
            .unwrap_or(AuthMethod::ClientSecretBasic)
    }

    /// What was registered, member by member (RFC 7591 §3.2.1).
    pub fn document(&self) -> Map<String, Value> {
        let metadata = &self.metadata;
        let mut document = self.kept.clone();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(name.to_owned(), value);
            }
        };
        let list = |texts: Vec<String>| (!texts.is_empty()).then(|| Value::from(texts));
        let texts = |items: &[crate::redirect_uri::RedirectUri]| {
            items.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        put("redirect_uris", list(texts(&metadata.redirect_uris)));
        put(
            "post_logout_redirect_uris",
            list(texts(&metadata.post_logout_redirect_uris)),
        );
        put(
            "client_name",
            metadata
                .client_name
                .as_ref()
                .map(|name| name.as_str().into()),
        );
        put(
            "token_endpoint_auth_method",
            Some(self.auth_method().as_str().into()),
        );
        put(
            "grant_types",
            list(
                metadata
                    .grant_types
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            ),
        );
        put(
            "response_types",
            Some(vec![ResponseType::Code.as_str()].into()),
        );
        put(
            "application_type",
            Some(match metadata.application_type {
                ApplicationType::Native => "native".into(),
                ApplicationType::Web => "web".into(),
            }),
        );
        put(
            "scope",
            metadata
                .scope
                .as_ref()
                .filter(|scope| !scope.is_empty())
                .map(|scope| scope.to_string().into()),
        );
        put(
            "id_token_signed_response_alg",
            metadata.id_token_alg.map(|alg| alg.as_str().into()),
        );
        document
    }
}

/// Reads the members in the body of a request.
pub fn members(bytes: &[u8]) -> Result<Map<String, Value>, ClientMetadataError> {
    if bytes.len() > MAX_BYTES {
        return Err(ClientMetadataError::TooLong);
    }
    // Some programs begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    parse_object(bytes, MAX_DEPTH).map_err(|error| match error {
        ObjectError::TooDeep => ClientMetadataError::TooDeep,
        ObjectError::NotObject => ClientMetadataError::NotObject,
        ObjectError::DuplicateMember => ClientMetadataError::DuplicateMember,
    })
}

/// What a registration is refused with (RFC 7591 §3.2.2).
pub fn refused(error: &ClientMetadataError) -> OauthError {
    let code = match error {
        ClientMetadataError::RedirectUri { .. }
        | ClientMetadataError::NoRedirectUris
        | ClientMetadataError::TooManyRedirectUris => ErrorCode::InvalidRedirectUri,
        _ => ErrorCode::InvalidClientMetadata,
    };
    OauthError::new(code, error.to_string())
}

/// Takes away what nobody here needs where it can't be used: names that can't be seen, links that lead nowhere, and
/// texts of another type.
fn forget_what_is_of_no_use(document: &mut Map<String, Value>, rules: &Rules<'_>) {
    for member in LINKS {
        if web_url(document, member, rules).is_err() {
            document.remove(member);
        }
    }
    let unseen = match text(document, "client_name") {
        Ok(name) => name.is_some_and(|name| DisplayName::clean(name).is_none()),
        Err(_) => true,
    };
    if unseen {
        document.remove("client_name");
    }
    for member in ["scope", "application_type"] {
        if text(document, member).is_err() {
            document.remove(member);
        }
    }
    if texts(document, "post_logout_redirect_uris").is_err() {
        document.remove("post_logout_redirect_uris");
    }
    for member in ["grant_types", "response_types"] {
        if document
            .get(member)
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
        {
            document.remove(member);
        }
    }
}

/// `code` must be among them if there are any; others are left out (SEC-32).
fn check_response_types(document: &Map<String, Value>) -> Result<(), ClientMetadataError> {
    match texts(document, "response_types")? {
        Some(types) if !types.contains(&ResponseType::Code.as_str()) => {
            Err(ClientMetadataError::NoCommonResponseType)
        }
        _ => Ok(()),
    }
}

/// RFC 7591 §2: without a word, `client_secret_basic`.
fn auth_methods(
    document: &Map<String, Value>,
    rules: &Rules<'_>,
    has_keys: bool,
) -> Result<Vec<AuthMethod>, ClientMetadataError> {
    let named = text(document, "token_endpoint_auth_method")?
        .unwrap_or(AuthMethod::ClientSecretBasic.as_str());
    let method = rules
        .auth_methods
        .iter()
        .copied()
        .find(|method| method.as_str() == named)
        .ok_or(ClientMetadataError::NoCommonMethod)?;
    if method == AuthMethod::PrivateKeyJwt && !has_keys {
        return Err(ClientMetadataError::NoKeys);
    }
    Ok(vec![method])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client_id::PlainHttp;
    use crate::jose::alg::Alg;

    const RULES: Rules<'static> = Rules {
        required: &[],
        private_schemes: &["cursor"],
        auth_methods: AuthMethod::ALL,
        id_token_algs: &[Alg::Rs256, Alg::Es256],
        plain_http: PlainHttp::Refused,
    };

    fn parse(document: &Value) -> Result<Registration, ClientMetadataError> {
        Registration::of_document(members(document.to_string().as_bytes())?, &RULES)
    }

    fn registered(document: &Value) -> Value {
        parse(document).unwrap().document().into()
    }

    // AS-3, RFC 7591 §2
    #[test]
    fn what_is_left_out_has_the_defaults_of_the_specification() {
        assert_eq!(
            registered(&json!({ "redirect_uris": ["https://app.example/cb"] })),
            json!({
                "redirect_uris": ["https://app.example/cb"],
                "token_endpoint_auth_method": "client_secret_basic",
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
                "application_type": "web",
            })
        );
    }

    // AS-3, SEC-32
    #[test]
    fn what_is_not_needed_never_spoils_the_rest() {
        let bare = json!({ "redirect_uris": ["http://localhost:1/cb"], "token_endpoint_auth_method": "none" });
        let expected = registered(&bare);
        for (name, value) in [
            ("scope", json!("")),
            ("scope", json!(["a"])),
            ("client_name", json!("\u{200b}")),
            ("client_name", json!(7)),
            ("client_uri", json!("http://localhost:3000")),
            ("client_uri", json!({})),
            ("logo_uri", json!("")),
            ("policy_uri", json!(null)),
            ("contacts", json!("me")),
            ("software_id", json!(1)),
            ("code_challenge_method", json!(["S256"])),
            ("grant_types", json!([])),
            ("grant_types", json!(["authorization_code", "implicit"])),
            ("response_types", json!(["code", "id_token"])),
            ("response_types", json!([])),
            ("application_type", json!("web")),
            ("id_token_signed_response_alg", json!("HS256")),
            ("client_secret", json!("chosen by the client")),
            ("client_id", json!("chosen by the client")),
            ("post_logout_redirect_uris", json!(["javascript:1"])),
            (
                "redirect_uris",
                json!(["javascript:alert(1)", "http://localhost:1/cb"]),
            ),
        ] {
            let mut document = bare.clone();
            document[name] = value;
            assert_eq!(registered(&document), expected, "{document}");
        }
    }

    // AS-3
    #[test]
    fn what_was_registered_reads_back_as_itself() {
        let all = json!({
            "redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback", "http://127.0.0.1:1/cb"],
            "post_logout_redirect_uris": ["https://app.example/bye"],
            "client_name": "The App",
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "application_type": "native",
            "scope": "mcp:tools",
            "id_token_signed_response_alg": "ES256",
            "jwks_uri": "https://app.example/jwks",
            "client_uri": "https://app.example/",
            "logo_uri": "https://app.example/logo.png",
            "tos_uri": "https://app.example/tos",
            "policy_uri": "https://app.example/policy",
            "contacts": ["me@app.example"],
            "software_id": "app",
            "software_version": "1",
        });
        assert_eq!(registered(&all), all);
    }

    // AS-17, SEC-7
    #[test]
    fn what_cannot_work_is_refused_with_the_code_of_the_specification() {
        let cases = [
            (json!({}), "invalid_redirect_uri"),
            (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
            (
                json!({ "redirect_uris": ["javascript:alert(1)"] }),
                "invalid_redirect_uri",
            ),
            (
                json!({ "redirect_uris": ["http://app.example/cb"] }),
                "invalid_redirect_uri",
            ),
            (
                json!({ "redirect_uris": "http://localhost/cb" }),
                "invalid_client_metadata",
            ),
            (
                json!({ "redirect_uris": ["http://localhost/cb"], "grant_types": ["client_credentials"] }),
                "invalid_client_metadata",
            ),
            (
                json!({ "redirect_uris": ["http://localhost/cb"], "response_types": ["token"] }),
                "invalid_client_metadata",
            ),
            (
                json!({ "redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "tls_client_auth" }),
                "invalid_client_metadata",
            ),
            (
                json!({ "redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": "private_key_jwt" }),
                "invalid_client_metadata",
            ),
            (
                json!({ "redirect_uris": ["http://localhost/cb"], "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } }),
                "invalid_client_metadata",
            ),
        ];
        for (document, code) in cases {
            let error = parse(&document).unwrap_err();
            assert_eq!(refused(&error).code().as_str(), code, "{document}: {error}");
        }
        let long = members(&vec![b' '; MAX_BYTES + 1]);
        assert_eq!(long, Err(ClientMetadataError::TooLong));
        assert_eq!(members(b"[]"), Err(ClientMetadataError::NotObject));
        assert_eq!(members(b"\xef\xbb\xbf{}"), Ok(Map::new()));
    }
}
