//! Protected resource metadata (RFC 9728).

use serde::{Deserialize, Serialize};

use crate::json_object::read_leniently;

/// The most bytes of such a document that are read (SEC-24).
pub const MAX_BYTES: usize = 64 * 1024;

/// The document of one resource. Unknown members are ignored when read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceMetadata {
    /// The resource, exactly the URL that clients use.
    pub resource: String,
    /// Issuers whose tokens it accepts (RS-1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    /// The least scopes for basic use (RS-5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    /// `header`: tokens in queries or bodies are refused (RS-9).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bearer_methods_supported: Vec<String>,
    /// A name for humans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Documentation for developers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<String>,
}

/// Why the metadata of a resource cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceMetadataError {
    /// More than [`MAX_BYTES`].
    #[error("the document is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// No JSON object.
    #[error("the document is not a JSON object")]
    NotJson,
}

impl ResourceMetadata {
    /// Reads a document; members that are null or of another type are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResourceMetadataError> {
        if bytes.len() > MAX_BYTES {
            return Err(ResourceMetadataError::TooLong);
        }
        let (metadata, _skipped) = read_leniently(bytes).ok_or(ResourceMetadataError::NotJson)?;
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RS-1
    #[test]
    fn what_is_published_reads_back() {
        let ours = ResourceMetadata {
            resource: "http://127.0.0.1:8480/mcp".into(),
            authorization_servers: vec!["http://127.0.0.1:8480/realms/mcp-demo".into()],
            ..ResourceMetadata::default()
        };
        let json = serde_json::to_string(&ours).unwrap();
        insta::assert_snapshot!(json, @r#"{"resource":"http://127.0.0.1:8480/mcp","authorization_servers":["http://127.0.0.1:8480/realms/mcp-demo"]}"#);
        assert_eq!(ResourceMetadata::parse(json.as_bytes()), Ok(ours));
    }

    #[test]
    fn what_nobody_needs_never_spoils_what_somebody_does() {
        let odd = r#"{"resource":"https://r","authorization_servers":["https://i",null],"scopes_supported":null,
            "resource_name":{"en":"x"},"bearer_methods_supported":"header"}"#;
        let read = ResourceMetadata::parse(odd.as_bytes()).unwrap();
        assert_eq!(read.authorization_servers, ["https://i"]);
        assert_eq!(
            ResourceMetadata::parse(b"[]"),
            Err(ResourceMetadataError::NotJson)
        );
    }
}
