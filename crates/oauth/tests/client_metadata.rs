//! Documents as real clients publish them, and every rule that refuses one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

use oauth::auth_method::AuthMethod;
use oauth::client_id::{ClientIdUrl, PlainHttp};
use oauth::error::{ErrorCode, OauthError};
use oauth::jose::alg::Alg;
use oauth::metadata::client::{
    ApplicationType, ClientMetadata, ClientMetadataError, MAX_BYTES, MAX_REDIRECT_URIS, REQUIRED,
    Rules,
};
use oauth::redirect_uri::{RedirectUri, RedirectUriError};
use oauth::request::token::GrantType;
use proptest::prelude::*;
use serde_json::{Value, json};

const URL: &str = "https://client.example/oauth/client.json";
const METHODS: &[AuthMethod] = AuthMethod::ALL;

fn rules() -> Rules<'static> {
    Rules {
        required: &REQUIRED,
        private_schemes: &[],
        auth_methods: METHODS,
        id_token_algs: &[Alg::Rs256, Alg::Es256],
        plain_http: PlainHttp::Refused,
    }
}

fn url(text: &str) -> ClientIdUrl {
    ClientIdUrl::parse_text(text, PlainHttp::Refused).unwrap()
}

fn parse_from(from: &str, document: &Value) -> Result<ClientMetadata, ClientMetadataError> {
    ClientMetadata::parse(document.to_string().as_bytes(), &url(from), &rules())
}

/// A good document with these members put over it; `null` takes one away.
fn with(members: Value) -> Result<ClientMetadata, ClientMetadataError> {
    let mut document = json!({ "client_id": URL, "client_name": "Client", "redirect_uris": ["http://localhost/cb"] });
    let object = document.as_object_mut().unwrap();
    let Value::Object(members) = members else {
        panic!("members are an object")
    };
    for (name, value) in members {
        if value.is_null() {
            object.remove(&name);
        } else {
            object.insert(name, value);
        }
    }
    parse_from(URL, &document)
}

fn refused(members: Value) -> ClientMetadataError {
    with(members).unwrap_err()
}

fn ed25519() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1" })
}

// AS-9, AS-22, CI-9: port-less loopback redirects, no application type.
#[test]
fn the_document_of_claude_code_is_accepted() {
    let metadata = parse_from(
        "https://claude.ai/oauth/claude-code-client-metadata",
        &json!({
            "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
            "client_name": "Claude Code",
            "client_uri": "https://claude.ai",
            "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none"
        }),
    )
    .unwrap();
    assert_eq!(metadata.auth_methods, [AuthMethod::None]);
    assert_eq!(metadata.application_type, ApplicationType::Native);
    assert_eq!(
        metadata.grant_types,
        [GrantType::AuthorizationCode, GrantType::RefreshToken]
    );
    assert!(metadata.is_loopback_only());
    let requested = RedirectUri::parse("http://localhost:51234/callback").unwrap();
    assert!(
        metadata
            .redirect_uris
            .iter()
            .any(|registered| registered.matches(&requested))
    );
}

// AS-9
#[test]
fn the_document_of_vs_code_is_accepted() {
    let metadata = parse_from(
        "https://vscode.dev/oauth/client-metadata.json",
        &json!({
            "client_id": "https://vscode.dev/oauth/client-metadata.json",
            "client_name": "Visual Studio Code",
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
            "response_types": ["code"],
            "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
            "token_endpoint_auth_method": "none",
            "application_type": "native"
        }),
    )
    .unwrap();
    assert!(!metadata.is_loopback_only());
    assert_eq!(metadata.grant_types.len(), 2);
}

// SEC-32, CI-14: a method, and others it can use too.
#[test]
fn the_document_of_chatgpt_is_accepted() {
    let metadata = parse_from(
        "https://chatgpt.com/oauth/abc/client.json",
        &json!({
            "client_id": "https://chatgpt.com/oauth/abc/client.json",
            "client_name": "ChatGPT",
            "redirect_uris": ["https://chatgpt.com/connector/oauth/abc"],
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "response_types": ["code", "id_token"],
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg": "RS256",
            "jwks_uri": "https://chatgpt.com/oauth/jwks.json"
        }),
    )
    .unwrap();
    assert_eq!(
        metadata.auth_methods,
        [AuthMethod::None, AuthMethod::PrivateKeyJwt]
    );
    assert_eq!(metadata.application_type, ApplicationType::Web);
}

// AS-9, SEC-32
#[test]
fn the_document_of_opencode_is_accepted() {
    let metadata = parse_from(
        "https://opencode.ai/oauth/opencode/client.json",
        &json!({
            "client_id": "https://opencode.ai/oauth/opencode/client.json",
            "client_name": "OpenCode",
            "redirect_uris": ["http://127.0.0.1:19876/mcp/oauth/callback"],
            "logo_uri": "https://opencode.ai/logo.svg",
            "contacts": ["x@opencode.ai"],
            "something_new": { "a": [1, 2, 3] }
        }),
    )
    .unwrap();
    assert_eq!(metadata.grant_types, [GrantType::AuthorizationCode]);
}

#[test]
fn a_private_scheme_that_is_not_allowed_spoils_nothing_else() {
    let metadata =
        with(json!({ "redirect_uris": ["cursor://x/cb", "https://client.example/cb"] })).unwrap();
    assert_eq!(metadata.redirect_uris.len(), 1);
}

// AS-10, CI-7
#[test]
fn another_client_id_is_refused() {
    assert_eq!(
        refused(json!({ "client_id": "https://client.example/oauth/other.json" })),
        ClientMetadataError::ClientIdMismatch
    );
}

// AS-10, CI-7
#[test]
fn a_client_id_with_a_default_port_is_refused() {
    assert_eq!(
        refused(json!({ "client_id": "https://client.example:443/oauth/client.json" })),
        ClientMetadataError::ClientIdMismatch
    );
}

// AS-10, CI-7
#[test]
fn a_missing_client_id_is_refused() {
    assert_eq!(
        refused(json!({ "client_id": null })),
        ClientMetadataError::ClientIdMismatch
    );
}

// AS-13, CI-9
#[test]
fn a_missing_name_is_refused() {
    assert_eq!(
        refused(json!({ "client_name": null })),
        ClientMetadataError::MissingProperty {
            property: "client_name".into()
        }
    );
}

// AS-13, CI-9
#[test]
fn an_empty_name_is_refused() {
    assert_eq!(
        refused(json!({ "client_name": "" })),
        ClientMetadataError::MissingProperty {
            property: "client_name".into()
        }
    );
}

// SEC-17
#[test]
fn an_invisible_name_is_refused() {
    assert_eq!(
        refused(json!({ "client_name": "\u{200b}\u{202e}" })),
        ClientMetadataError::NameNotVisible
    );
}

// AS-13, CI-9
#[test]
fn missing_redirect_uris_are_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": null })),
        ClientMetadataError::MissingProperty {
            property: "redirect_uris".into()
        }
    );
}

// AS-13, CI-9
#[test]
fn empty_redirect_uris_are_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": [] })),
        ClientMetadataError::MissingProperty {
            property: "redirect_uris".into()
        }
    );
}

// AS-13
#[test]
fn redirect_uris_of_another_type_are_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": "http://localhost/cb" })),
        ClientMetadataError::WrongType {
            member: "redirect_uris"
        }
    );
}

// CI-9, SEC-7
#[test]
fn redirect_uris_that_are_all_unusable_are_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": ["cursor://x", "javascript:alert(1)"] })),
        ClientMetadataError::RedirectUri {
            position: 1,
            error: RedirectUriError::SchemeWithoutDot
        }
    );
    assert_eq!(
        refused(json!({ "redirect_uris": [null] })),
        ClientMetadataError::WrongType {
            member: "redirect_uris"
        }
    );
}

// CI-9, SEC-7
#[test]
fn an_unusable_redirect_uri_costs_itself_and_not_the_document() {
    for (unusable, error) in [
        ("cursor://x", RedirectUriError::SchemeWithoutDot),
        ("javascript:alert(1)", RedirectUriError::DangerousScheme),
        ("https://*.a.example/b", RedirectUriError::Wildcard),
        ("http://a.example/b", RedirectUriError::PlainHttp),
        ("https://a.example/b#c", RedirectUriError::Fragment),
        ("/callback", RedirectUriError::NotAbsolute),
    ] {
        let metadata = with(json!({
            "redirect_uris": ["https://a.example/1", unusable, "https://a.example/2"],
            "post_logout_redirect_uris": [unusable, "https://a.example/bye"],
        }))
        .unwrap();
        let kept: Vec<&str> = metadata
            .redirect_uris
            .iter()
            .map(RedirectUri::as_str)
            .collect();
        assert_eq!(kept, ["https://a.example/1", "https://a.example/2"]);
        assert_eq!(metadata.unusable_redirect_uris, [(2, error)]);
        assert_eq!(metadata.post_logout_redirect_uris.len(), 1);
    }
}

// CI-9, SEC-7
#[test]
fn a_javascript_redirect_is_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": ["javascript:alert(1)"] })),
        ClientMetadataError::RedirectUri {
            position: 1,
            error: RedirectUriError::DangerousScheme
        }
    );
}

// CI-9, SEC-7
#[test]
fn a_wildcard_redirect_is_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": ["https://*.a.example/b"] })),
        ClientMetadataError::RedirectUri {
            position: 1,
            error: RedirectUriError::Wildcard
        }
    );
}

// CI-9, SEC-7
#[test]
fn a_plain_http_redirect_is_refused() {
    assert_eq!(
        refused(json!({ "redirect_uris": ["http://a.example/b"] })),
        ClientMetadataError::RedirectUri {
            position: 1,
            error: RedirectUriError::PlainHttp
        }
    );
}

// CI-8, SEC-31
#[test]
fn a_client_secret_is_refused() {
    assert_eq!(
        refused(json!({ "client_secret": "x" })),
        ClientMetadataError::ClientSecret
    );
}

// CI-8, SEC-31
#[test]
fn an_expiry_of_a_client_secret_is_refused() {
    assert_eq!(
        refused(json!({ "client_secret_expires_at": 0 })),
        ClientMetadataError::ClientSecret
    );
}

// CI-8, SEC-31
#[test]
fn client_secret_basic_is_refused() {
    assert_eq!(
        refused(json!({ "token_endpoint_auth_method": "client_secret_basic" })),
        ClientMetadataError::SharedSecretMethod
    );
}

// CI-8, SEC-31
#[test]
fn client_secret_jwt_is_refused() {
    assert_eq!(
        refused(json!({ "token_endpoint_auth_method": "client_secret_jwt" })),
        ClientMetadataError::SharedSecretMethod
    );
}

// CI-8, SEC-31
#[test]
fn a_listed_shared_secret_method_is_refused() {
    assert_eq!(
        refused(json!({ "token_endpoint_auth_methods_supported": ["none", "client_secret_post"] })),
        ClientMetadataError::SharedSecretMethod
    );
}

// CI-8, SEC-31
#[test]
fn a_private_key_is_refused() {
    assert_eq!(
        refused(
            json!({ "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" }] } })
        ),
        ClientMetadataError::PrivateKey
    );
}

// CI-8, SEC-31
#[test]
fn a_symmetric_key_is_refused() {
    assert_eq!(
        refused(json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } })),
        ClientMetadataError::PrivateKey
    );
}

// CI-14
#[test]
fn a_method_outside_the_list_is_refused() {
    assert_eq!(
        refused(json!({
            "token_endpoint_auth_method": "none", "token_endpoint_auth_methods_supported": ["private_key_jwt"]
        })),
        ClientMetadataError::MethodNotListed
    );
}

// CI-14
#[test]
fn no_common_method_is_refused() {
    assert_eq!(
        refused(json!({ "token_endpoint_auth_method": "tls_client_auth" })),
        ClientMetadataError::NoCommonMethod
    );
}

// CI-14
#[test]
fn private_key_jwt_without_keys_is_refused() {
    assert_eq!(
        refused(json!({ "token_endpoint_auth_method": "private_key_jwt" })),
        ClientMetadataError::NoKeys
    );
}

// CI-14
#[test]
fn keys_by_value_and_by_reference_are_refused() {
    assert_eq!(
        refused(json!({
            "jwks": { "keys": [] }, "jwks_uri": "https://client.example/jwks"
        })),
        ClientMetadataError::JwksTwice
    );
}

// CI-15
#[test]
fn a_plain_http_key_url_is_refused() {
    assert_eq!(
        refused(json!({ "jwks_uri": "http://client.example/jwks" })),
        ClientMetadataError::BadUrl { member: "jwks_uri" }
    );
}

// CI-15
#[test]
fn a_file_for_a_logo_is_refused() {
    assert_eq!(
        refused(json!({ "logo_uri": "file:///etc/passwd" })),
        ClientMetadataError::BadUrl { member: "logo_uri" }
    );
}

// CI-15
#[test]
fn script_for_a_home_page_is_refused() {
    assert_eq!(
        refused(json!({ "client_uri": "javascript:alert(1)" })),
        ClientMetadataError::BadUrl {
            member: "client_uri"
        }
    );
}

// AS-13
#[test]
fn a_name_of_another_type_is_refused() {
    assert_eq!(
        refused(json!({ "client_name": 1 })),
        ClientMetadataError::WrongType {
            member: "client_name"
        }
    );
}

// CI-8: nor may a secret hide in a software statement.
#[test]
fn secrets_within_a_software_statement_are_refused() {
    // {"alg":"none"} . {"client_secret":"x"} .
    let statement = "eyJhbGciOiJub25lIn0.eyJjbGllbnRfc2VjcmV0IjoieCJ9.";
    assert_eq!(
        refused(json!({ "software_statement": statement })),
        ClientMetadataError::ClientSecret
    );
}

// CI-14: RFC 7591's default does not hold for documents.
#[test]
fn a_document_without_a_method_is_a_public_client() {
    assert_eq!(with(json!({})).unwrap().auth_methods, [AuthMethod::None]);
}

// CI-14
#[test]
fn a_list_without_none_never_means_none() {
    let metadata = with(json!({
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"], "jwks": { "keys": [ed25519()] }
    }));
    assert_eq!(metadata.unwrap().auth_methods, [AuthMethod::PrivateKeyJwt]);
}

// CI-14: registered, so enforced.
#[test]
fn a_registered_private_key_jwt_is_the_only_method() {
    let metadata = with(
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [ed25519()] } }),
    )
    .unwrap();
    assert_eq!(metadata.auth_methods, [AuthMethod::PrivateKeyJwt]);
    assert_eq!(metadata.jwks.unwrap().keys().len(), 1);
}

// CI-14
#[test]
fn nothing_in_common_is_an_unauthorized_client() {
    assert_eq!(
        OauthError::from(ClientMetadataError::NoCommonMethod).code(),
        ErrorCode::UnauthorizedClient
    );
    assert_eq!(
        OauthError::from(ClientMetadataError::ClientIdMismatch).code(),
        ErrorCode::InvalidClient
    );
}

// SEC-20
#[test]
fn a_document_never_adds_a_grant_type() {
    let metadata =
        with(json!({ "grant_types": ["client_credentials", "password"], "scope": "admin" }))
            .unwrap();
    assert_eq!(metadata.grant_types, []);
}

// SEC-24, CI-16
#[test]
fn documents_over_the_limits_are_refused() {
    let parse = |bytes: &[u8]| ClientMetadata::parse(bytes, &url(URL), &rules()).unwrap_err();
    assert_eq!(
        parse(&vec![b' '; MAX_BYTES + 1]),
        ClientMetadataError::TooLong
    );
    assert_eq!(
        parse("[".repeat(MAX_BYTES).as_bytes()),
        ClientMetadataError::TooDeep
    );
    assert_eq!(parse(b"<html>"), ClientMetadataError::NotObject);
    assert_eq!(
        parse(format!(r#"{{"client_id":"{URL}","client_id":"{URL}"}}"#).as_bytes()),
        ClientMetadataError::DuplicateMember
    );
    let many: Vec<_> = (0..=MAX_REDIRECT_URIS)
        .map(|n| format!("http://localhost/{n}"))
        .collect();
    assert_eq!(
        refused(json!({ "redirect_uris": many })),
        ClientMetadataError::TooManyRedirectUris
    );
}

// SEC-19, CI-20
#[test]
fn the_fingerprint_changes_with_what_was_consented_to() {
    let base = with(json!({})).unwrap().fingerprint();
    assert_eq!(
        base,
        with(json!({ "contacts": ["a"], "tos_uri": "https://client.example/tos" }))
            .unwrap()
            .fingerprint()
    );
    for changed in [
        json!({ "client_name": "Other" }),
        json!({ "redirect_uris": ["http://localhost/cb", "https://evil.example/cb"] }),
        json!({ "logo_uri": "https://client.example/logo" }),
        json!({ "jwks": { "keys": [ed25519()] } }),
        json!({ "jwks_uri": "https://client.example/jwks" }),
    ] {
        assert_ne!(
            base,
            with(changed.clone()).unwrap().fingerprint(),
            "{changed}"
        );
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC{0,120}|\\{(\"[a-z_]{1,12}\":(1|\"x\"|\\[\\]|null),?){0,4}\\}") {
        let _ = ClientMetadata::parse(text.as_bytes(), &url(URL), &rules());
    }

    // CI-7
    #[test]
    fn only_the_url_itself_is_a_client_id(other in "https://client\\.example/oauth/[a-z.]{0,12}") {
        prop_assert_eq!(with(json!({ "client_id": other })).is_ok(), other == URL);
    }
}
