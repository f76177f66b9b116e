//! Authorization server metadata (RFC 8414, OpenID Connect Discovery): ours to publish, others' to read leniently.

use serde::{Deserialize, Serialize};

use crate::issuer::Issuer;
use crate::json_object::read_leniently;

/// The most bytes of such a document that are read (SEC-24).
pub const MAX_BYTES: usize = 64 * 1024;

/// One document for both well-known names. What is absent is not serialized; unknown members are ignored when read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerMetadata {
    /// The issuer, byte by byte the one that was asked for (AS-5).
    pub issuer: String,
    /// Where browsers go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where codes and refresh tokens go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Where the keys are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Dynamic client registration; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    /// Claims about the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_endpoint: Option<String>,
    /// RFC 7009.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    /// RP-initiated logout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    /// Scopes that may be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// `code`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_types_supported: Vec<String>,
    /// `query`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_modes_supported: Vec<String>,
    /// Grant types.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_types_supported: Vec<String>,
    /// Client authentication; `none` first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Client authentication at the revocation endpoint.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    /// Algorithms of client assertions there; required where `private_key_jwt` is among the methods (RFC 8414 §2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// `S256`; clients refuse servers without it (AS-6).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<String>,
    /// `public`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_types_supported: Vec<String>,
    /// Algorithms of ID tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// Claims that may be returned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims_supported: Vec<String>,
    /// Prompt values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompt_values_supported: Vec<String>,
    /// Languages of the pages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ui_locales_supported: Vec<String>,
    /// RFC 9207: `iss` comes with every authorization response (AS-8).
    pub authorization_response_iss_parameter_supported: bool,
    /// Client ID Metadata Documents are understood (AS-15, CI-12).
    pub client_id_metadata_document_supported: bool,
    /// OpenID Connect Discovery defaults this to true, so it is spelled out.
    pub request_uri_parameter_supported: bool,
    /// Request objects by value.
    pub request_parameter_supported: bool,
    /// Resources served by this server (RFC 9728 §4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub protected_resources: Vec<String>,
}

/// Why the metadata of another server cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerMetadataError {
    /// More than [`MAX_BYTES`].
    #[error("the document is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// No JSON object.
    #[error("the document is not a JSON object")]
    NotJson,
    /// No `issuer` that is a text.
    #[error("the document names no issuer")]
    NoIssuer,
    /// `issuer` is not the one asked for (RFC 8414 §3.3, CL-3).
    #[error("the document names the issuer `{named}`")]
    OtherIssuer {
        /// What it names.
        named: String,
    },
}

impl ServerMetadata {
    /// Reads a document and checks that it speaks of this issuer, byte by byte.
    pub fn parse(bytes: &[u8], issuer: &Issuer) -> Result<Self, ServerMetadataError> {
        let (metadata, _skipped) = Self::parse_any(bytes)?;
        if metadata.issuer != issuer.as_str() {
            return Err(ServerMetadataError::OtherIssuer {
                named: metadata.issuer,
            });
        }
        Ok(metadata)
    }

    /// Reads a document of whichever issuer, for those who were given only its URL. What is null is absent; the second
    /// part names the members that are of another type than the RFCs give them and were skipped.
    pub fn parse_any(bytes: &[u8]) -> Result<(Self, Vec<String>), ServerMetadataError> {
        if bytes.len() > MAX_BYTES {
            return Err(ServerMetadataError::TooLong);
        }
        let (metadata, skipped) =
            read_leniently::<Self>(bytes).ok_or(ServerMetadataError::NotJson)?;
        if metadata.issuer.is_empty() {
            return Err(ServerMetadataError::NoIssuer);
        }
        Ok((metadata, skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYCLOAK: &str = r#"{"issuer":"https://kc.example/realms/m","authorization_endpoint":"https://kc.example/a",
        "token_endpoint":"https://kc.example/t","jwks_uri":"https://kc.example/c","code_challenge_methods_supported":["plain","S256"],
        "mtls_endpoint_aliases":{"token_endpoint":"x"},"tls_client_certificate_bound_access_tokens":true}"#;

    #[test]
    fn unknown_members_are_ignored() {
        let read = ServerMetadata::parse(
            KEYCLOAK.as_bytes(),
            &"https://kc.example/realms/m".parse().unwrap(),
        )
        .unwrap();
        assert_eq!(read.code_challenge_methods_supported, ["plain", "S256"]);
        assert_eq!(read.registration_endpoint, None);
    }

    // CL-3, AS-5
    #[test]
    fn a_document_of_another_issuer_is_refused() {
        for other in [
            "https://kc.example/realms/m/",
            "https://kc.example/realms/n",
        ] {
            assert!(matches!(
                ServerMetadata::parse(KEYCLOAK.as_bytes(), &other.parse().unwrap()),
                Err(ServerMetadataError::OtherIssuer { .. })
            ));
        }
    }

    #[test]
    fn what_nobody_needs_never_spoils_what_somebody_does() {
        let read = |members: &str| {
            let document =
                format!(r#"{{"issuer":"https://i","jwks_uri":"https://i/k",{members}}}"#);
            let (metadata, skipped) = ServerMetadata::parse_any(document.as_bytes()).unwrap();
            assert_eq!(metadata.jwks_uri.as_deref(), Some("https://i/k"));
            (metadata, skipped.join(" "))
        };
        for null in [
            "scopes_supported",
            "claims_supported",
            "authorization_endpoint",
            "authorization_response_iss_parameter_supported",
            "request_uri_parameter_supported",
        ] {
            assert_eq!(read(&format!(r#""{null}":null"#)).1, "", "{null}");
        }
        for odd in [
            r#""request_uri_parameter_supported":"true""#,
            r#""claims_supported":{"a":1}"#,
            r#""scopes_supported":"openid""#,
            r#""end_session_endpoint":["x"]"#,
            r#""token_endpoint":7"#,
        ] {
            let name = odd.split('"').nth(1).unwrap();
            assert_eq!(read(odd).1, name, "{odd}");
        }
        let (some, skipped) = read(r#""scopes_supported":["openid",null,7]"#);
        assert_eq!(
            (some.scopes_supported, &*skipped),
            (vec!["openid".to_owned()], "scopes_supported")
        );
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        let document = "\u{feff}{\"issuer\":\"https://i\"}";
        assert!(ServerMetadata::parse_any(document.as_bytes()).is_ok());
    }

    // CL-3
    #[test]
    fn a_document_without_an_issuer_is_refused() {
        for document in [
            "{}",
            r#"{"issuer":null}"#,
            r#"{"issuer":7}"#,
            r#"{"issuer":""}"#,
        ] {
            assert_eq!(
                ServerMetadata::parse_any(document.as_bytes()),
                Err(ServerMetadataError::NoIssuer),
                "{document}"
            );
        }
    }

    // SEC-24
    #[test]
    fn long_documents_are_refused() {
        assert_eq!(
            ServerMetadata::parse_any(&vec![b' '; MAX_BYTES + 1]),
            Err(ServerMetadataError::TooLong)
        );
        assert_eq!(
            ServerMetadata::parse_any(b"[]x"),
            Err(ServerMetadataError::NotJson)
        );
    }
}
