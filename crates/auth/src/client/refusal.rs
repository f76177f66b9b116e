//! Why a client is not let in, and what is said about it: a sentence for the user, rule, section and hint for its developer.

use http::StatusCode;
use model::client_policy;
use net::egress::budget::BudgetRefusal;
use net::egress::client::FetchError;
use net::egress::connect::ConnectError;
use net::egress::documents::DocumentError;
use net::egress::rules;
use oauth::client_id::ClientIdUrlError;
use oauth::error::ErrorCode;
use oauth::metadata::client::ClientMetadataError;

use crate::texts::Texts;

/// Why a client is not let in. Every variant is one rule (CI-1 … CI-20).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientRefusal {
    /// Neither registered nor the URL of a document.
    #[error("client is not registered here, and its id is not the URL of a metadata document")]
    Unknown,
    /// It registered itself, and the registration is not there any more.
    #[error("the registration of the client has expired or was deleted")]
    NotRegistered,
    /// The client id breaks a rule for URLs; nothing was fetched.
    #[error(transparent)]
    Url(#[from] ClientIdUrlError),
    /// An administrator has not approved the host yet.
    #[error("the host of the client id awaits the approval of an administrator")]
    AwaitsApproval,
    /// An administrator has refused the host.
    #[error("an administrator has refused the host of the client id")]
    HostRefused,
    /// The rules of addresses forbid the URL of the document or the address of its host.
    #[error("the metadata document must not be fetched: {}", told(.0))]
    Destination(rules::Refusal),
    /// The host could not be reached.
    #[error("the metadata document could not be fetched: {0}")]
    Unreachable(Unreachable),
    /// The answer is not 200.
    #[error("the metadata document was answered with status {}, not 200", .0.as_u16())]
    Status(StatusCode),
    /// The answer is larger than a document may be.
    #[error("the metadata document is longer than {0} bytes")]
    TooLarge(usize),
    /// The answer is compressed.
    #[error("the metadata document is compressed, although that was not asked for")]
    Encoded,
    /// The answer is not JSON by its media type.
    #[error("the metadata document is not `application/json`")]
    MediaType,
    /// Too many fetches; a matter of minutes.
    #[error("the metadata document is not fetched now: {0}")]
    Budget(BudgetRefusal),
    /// The document breaks a rule.
    #[error(transparent)]
    Document(#[from] ClientMetadataError),
    /// A URL in the document leads where no URL of a stranger may lead.
    #[error(
        "`{member}` in the metadata document must not be used: {}",
        told(refusal)
    )]
    ContainedUrl {
        /// Which.
        member: &'static str,
        /// Why.
        refusal: rules::Refusal,
    },
    /// The realm's policy does not admit the client; what can be known without the document is refused without a fetch.
    #[error(transparent)]
    Policy(#[from] client_policy::Refusal),
}

/// A refusal as strangers may know it: not which address a name has here, or what it belongs to (SEC-72).
fn told(refusal: &rules::Refusal) -> String {
    match refusal {
        rules::Refusal::SpecialUse { .. } => "its host has no public address".to_owned(),
        other => other.to_string(),
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreachable {
    /// The name does not resolve.
    #[error("its host name could not be resolved")]
    Name,
    /// No connection.
    #[error("its host did not accept a connection")]
    Connection,
    /// No trusted TLS connection.
    #[error("its host has no certificate that is trusted here")]
    Tls,
    /// The time was over.
    #[error("its host did not answer completely in time")]
    TimedOut,
    /// The answer is not HTTP.
    #[error("its host did not answer properly")]
    Protocol,
}

/// What went wrong inside a document while it was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentFault {
    /// The media type is not JSON.
    #[error("not `application/json`")]
    MediaType,
    /// The content breaks a rule.
    #[error(transparent)]
    Metadata(#[from] ClientMetadataError),
    /// A URL in it leads where no URL of a stranger may lead.
    #[error("`{member}` must not be used")]
    ContainedUrl {
        /// Which.
        member: &'static str,
        /// Why.
        refusal: rules::Refusal,
    },
}

impl From<DocumentFault> for ClientRefusal {
    fn from(fault: DocumentFault) -> Self {
        match fault {
            DocumentFault::MediaType => Self::MediaType,
            DocumentFault::Metadata(fault) => Self::Document(fault),
            DocumentFault::ContainedUrl { member, refusal } => {
                Self::ContainedUrl { member, refusal }
            }
        }
    }
}

impl From<DocumentError<DocumentFault>> for ClientRefusal {
    fn from(error: DocumentError<DocumentFault>) -> Self {
        match error {
            DocumentError::Fetch(error) => Self::from(&*error),
            DocumentError::Status(status) => Self::Status(status),
            DocumentError::Invalid(fault) => DocumentFault::clone(&fault).into(),
            DocumentError::Budget(refusal) => Self::Budget(refusal),
        }
    }
}

impl From<&FetchError> for ClientRefusal {
    fn from(error: &FetchError) -> Self {
        match error {
            FetchError::Connect(ConnectError::Refused(refusal)) => {
                Self::Destination(refusal.clone())
            }
            FetchError::Connect(ConnectError::NotResolved(_) | ConnectError::NoAddresses) => {
                Self::Unreachable(Unreachable::Name)
            }
            FetchError::Connect(ConnectError::Unreachable(_) | ConnectError::NoPlace) => {
                Self::Unreachable(Unreachable::Connection)
            }
            FetchError::Connect(ConnectError::Tls(_)) => Self::Unreachable(Unreachable::Tls),
            FetchError::Connect(ConnectError::TimedOut) | FetchError::TimedOut => {
                Self::Unreachable(Unreachable::TimedOut)
            }
            FetchError::TooLarge { limit } => Self::TooLarge(*limit),
            FetchError::Encoded => Self::Encoded,
            FetchError::Protocol(_) | FetchError::Ended(_) => {
                Self::Unreachable(Unreachable::Protocol)
            }
        }
    }
}

/// The sections that refusals cite.
const CIMD_ID: &str = "draft-ietf-oauth-client-id-metadata-document §3";
const CIMD_DOCUMENT: &str = "draft-ietf-oauth-client-id-metadata-document §4.1";
const CIMD_FETCH: &str = "draft-ietf-oauth-client-id-metadata-document §4";
const CIMD_SSRF: &str = "draft-ietf-oauth-client-id-metadata-document §6.5, RFC 6890";
const CIMD_SIZE: &str = "draft-ietf-oauth-client-id-metadata-document §6.6";
const TRUST: &str = "MCP authorization, CIMD trust policies";

impl ClientRefusal {
    /// What the operator reads beside the refusal: the address that strangers are not told.
    pub(crate) fn cause(&self) -> Option<&rules::Refusal> {
        match self {
            Self::Destination(cause) | Self::ContainedUrl { refusal: cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// The error code of OAuth that says the same (AS-16).
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Document(ClientMetadataError::NoCommonMethod)
            | Self::HostRefused
            | Self::AwaitsApproval
            | Self::Policy(_) => ErrorCode::UnauthorizedClient,
            Self::Budget(_) => ErrorCode::TemporarilyUnavailable,
            _ => ErrorCode::InvalidClient,
        }
    }

    /// The section that the refusal follows.
    pub(crate) fn section(&self) -> &'static str {
        match self {
            Self::Unknown => "RFC 6749 §2.2 and draft-ietf-oauth-client-id-metadata-document §3",
            Self::NotRegistered => "RFC 7591 §3.2.1",
            Self::Url(_) => CIMD_ID,
            Self::AwaitsApproval | Self::HostRefused | Self::Policy(_) => TRUST,
            Self::Destination(_) | Self::ContainedUrl { .. } => CIMD_SSRF,
            Self::Status(_)
            | Self::MediaType
            | Self::Unreachable(_)
            | Self::Budget(_)
            | Self::Encoded => CIMD_FETCH,
            Self::TooLarge(_)
            | Self::Document(ClientMetadataError::TooLong | ClientMetadataError::TooDeep) => {
                CIMD_SIZE
            }
            Self::Document(fault) => match fault {
                ClientMetadataError::ClientIdMismatch
                | ClientMetadataError::ClientSecret
                | ClientMetadataError::SharedSecretMethod
                | ClientMetadataError::PrivateKey => CIMD_DOCUMENT,
                ClientMetadataError::MissingProperty { .. } => {
                    "MCP authorization, Client ID Metadata Documents"
                }
                ClientMetadataError::RedirectUri { .. } | ClientMetadataError::NoRedirectUris => {
                    "OAuth 2.1 §2.3, RFC 8252 §7"
                }
                _ => "RFC 7591 §2",
            },
        }
    }

    /// What the developer of the client can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Unknown => {
                "use the https URL of a client metadata document as client_id, or have the client registered by the administrator"
            }
            Self::NotRegistered => {
                "let the client register again; a registration is forgotten when nobody logs in within an hour, and when nobody uses it for 90 days"
            }
            Self::Url(ClientIdUrlError::PlainHttp | ClientIdUrlError::Scheme) => {
                "serve the document under an https URL and use exactly that URL as client_id"
            }
            Self::Url(ClientIdUrlError::NoPath) => {
                "give the document a path, as in https://app.example.com/oauth/client.json"
            }
            Self::Url(_) => {
                "write the URL as a browser would show it: lower-case host, no user, no fragment, no `.` or `..` segments"
            }
            Self::HostRefused => {
                "ask the administrator of this server to trust the host of the client_id"
            }
            Self::AwaitsApproval => {
                "wait until the administrator of this server has approved the host of the client_id"
            }
            Self::Destination(rules::Refusal::SpecialUse { .. }) => {
                "serve the document from a public address; private, loopback and other special-use addresses are never fetched"
            }
            Self::Destination(_) => "serve the document with https on port 443",
            Self::ContainedUrl { .. } => {
                "let every URL in the document point to a public https address"
            }
            Self::Unreachable(Unreachable::Name) => "check the DNS entry of the host",
            Self::Unreachable(Unreachable::Tls) => {
                "use a certificate of a public certification authority, with its whole chain"
            }
            Self::Unreachable(_) => {
                "check that the document can be fetched from the internet within five seconds"
            }
            Self::Status(status) if status.is_redirection() => {
                "answer with 200 at the client_id itself; redirects are not followed"
            }
            Self::Status(_) => "answer a plain GET of the client_id with 200",
            Self::TooLarge(_) => "keep the document below 5 KB",
            Self::Encoded => "answer without Content-Encoding when Accept-Encoding is identity",
            Self::MediaType => "send Content-Type: application/json",
            Self::Budget(_) => "try again in a minute",
            Self::Document(fault) => document_hint(fault),
            Self::Policy(refusal) => policy_hint(refusal),
        }
    }

    /// The sentence for the user.
    pub(crate) fn sentence(&self, texts: &'static Texts) -> &'static str {
        match self {
            Self::AwaitsApproval => texts.approval_awaited,
            Self::HostRefused | Self::Policy(_) => texts.refused_policy,
            Self::Unreachable(_) | Self::Status(_) | Self::Budget(_) => texts.refused_unreachable,
            _ => texts.refused_application,
        }
    }
}

fn document_hint(fault: &ClientMetadataError) -> &'static str {
    match fault {
        ClientMetadataError::TooLong => "keep the document below 5 KB",
        ClientMetadataError::TooDeep => "nest the document less deeply",
        ClientMetadataError::NotObject
        | ClientMetadataError::DuplicateMember
        | ClientMetadataError::WrongType { .. } => {
            "serve one JSON object with the members and types of RFC 7591"
        }
        ClientMetadataError::MissingProperty { .. } => {
            "client_id, client_name and redirect_uris must be there; the administrator may demand more"
        }
        ClientMetadataError::ClientIdMismatch => {
            "write the URL from which the document is served into its client_id, character by character"
        }
        ClientMetadataError::NameNotVisible => "give the client a name that can be read",
        ClientMetadataError::ClientSecret => {
            "remove client_secret and client_secret_expires_at: the document is public"
        }
        ClientMetadataError::SharedSecretMethod => {
            "use `none` or `private_key_jwt` as token_endpoint_auth_method"
        }
        ClientMetadataError::PrivateKey => {
            "publish public keys only, and replace the key that was published"
        }
        ClientMetadataError::RedirectUri { .. }
        | ClientMetadataError::TooManyRedirectUris
        | ClientMetadataError::NoRedirectUris => {
            "use https, http on localhost, 127.0.0.1 or [::1], or a private-use scheme with a dot"
        }
        ClientMetadataError::BadUrl { .. } => "use an absolute https URL without user information",
        ClientMetadataError::JwksTwice => "use either jwks or jwks_uri",
        ClientMetadataError::Jwks(_) => {
            "publish a JWK set with public EC P-256, RSA (2048 bits or more) or Ed25519 keys"
        }
        ClientMetadataError::MethodNotListed | ClientMetadataError::NoCommonMethod => {
            "list `none` or `private_key_jwt` in token_endpoint_auth_methods_supported"
        }
        ClientMetadataError::NoCommonGrant => "list `authorization_code` in grant_types",
        ClientMetadataError::NoCommonResponseType => "list `code` in response_types",
        ClientMetadataError::NoKeys => "add jwks or jwks_uri, or use `none`",
    }
}

fn policy_hint(refusal: &client_policy::Refusal) -> &'static str {
    use client_policy::Refusal;

    match refusal {
        Refusal::Off => "have the client registered by the administrator of this server",
        Refusal::Port(_) => "serve the document on port 443",
        Refusal::DomainNotTrusted => {
            "ask the administrator of this server to trust the host of the client_id"
        }
        Refusal::RedirectNotTrusted | Refusal::PropertyNotTrusted(_) => {
            "let every redirect URI and every URL in the document lie in domains that the administrator trusts"
        }
        Refusal::PropertyPlainHttp(_) => "use https for every URL in the document",
        Refusal::RedirectOtherDomain | Refusal::PropertyOtherDomain(_) => {
            "let every URL lie in the domain of the client_id"
        }
        Refusal::PropertyMissing(_) => {
            "add the property to the document; the administrator demands it"
        }
        Refusal::NotConfidential => "authenticate with `private_key_jwt`, and list no other method",
        Refusal::KeysUnclear => "give the document either jwks or jwks_uri",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // AS-16
    #[test]
    fn every_kind_of_refusal_has_its_section_and_hint() {
        let refusals = [
            ClientRefusal::Unknown,
            ClientRefusal::NotRegistered,
            ClientRefusal::Url(ClientIdUrlError::NoPath),
            ClientRefusal::AwaitsApproval,
            ClientRefusal::HostRefused,
            ClientRefusal::Destination(rules::Refusal::PlainHttp),
            ClientRefusal::Unreachable(Unreachable::Tls),
            ClientRefusal::Status(StatusCode::FOUND),
            ClientRefusal::TooLarge(5120),
            ClientRefusal::Encoded,
            ClientRefusal::MediaType,
            ClientRefusal::Budget(BudgetRefusal::SourceRate),
            ClientRefusal::Document(ClientMetadataError::ClientIdMismatch),
            ClientRefusal::ContainedUrl {
                member: "jwks_uri",
                refusal: rules::Refusal::NoHost,
            },
            ClientRefusal::Policy(client_policy::Refusal::NotConfidential),
        ];
        let table = refusals
            .iter()
            .map(|refusal| {
                format!(
                    "{}: {} [{}] hint: {}",
                    refusal.code(),
                    refusal,
                    refusal.section(),
                    refusal.hint()
                )
            })
            .collect::<Vec<_>>()
            .join("\n");
        insta::assert_snapshot!(table);
    }
}
