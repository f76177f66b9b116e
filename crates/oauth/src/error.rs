//! Error codes as the IANA "OAuth Extensions Error" registry lists them, and the JSON form of an error.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An error code of OAuth or OpenID Connect, in the order of the registry: RFC 6749, 6750, 7591, 8707, 8628,
/// OpenID Connect Core, then the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed (RFC 6749 §4.1.2.1, §5.2).
    InvalidRequest,
    /// Client authentication failed (RFC 6749 §5.2).
    InvalidClient,
    /// The grant or refresh token is wrong, expired, revoked or somebody else's (RFC 6749 §5.2).
    InvalidGrant,
    /// This client may not do this (RFC 6749 §4.1.2.1, §5.2).
    UnauthorizedClient,
    /// The grant type is not supported (RFC 6749 §5.2).
    UnsupportedGrantType,
    /// The scope is unknown, malformed or too wide (RFC 6749 §4.1.2.1, §5.2).
    InvalidScope,
    /// The user or the server refused (RFC 6749 §4.1.2.1).
    AccessDenied,
    /// The response type is not supported (RFC 6749 §4.1.2.1).
    UnsupportedResponseType,
    /// Something of ours broke (RFC 6749 §4.1.2.1).
    ServerError,
    /// Overloaded or in maintenance (RFC 6749 §4.1.2.1).
    TemporarilyUnavailable,
    /// The access token is expired, revoked or malformed (RFC 6750 §3.1).
    InvalidToken,
    /// The access token lacks a scope (RFC 6750 §3.1).
    InsufficientScope,
    /// The token type can't be revoked here (RFC 7009 §2.2.1).
    UnsupportedTokenType,
    /// A redirect URI of a registration is not acceptable (RFC 7591 §3.2.2).
    InvalidRedirectUri,
    /// A value of client metadata is not acceptable (RFC 7591 §3.2.2).
    InvalidClientMetadata,
    /// The requested resource is unknown, malformed or not granted (RFC 8707 §2).
    InvalidTarget,
    /// `prompt=none`, but the user is not logged in (OpenID Connect Core §3.1.2.6).
    LoginRequired,
    /// `prompt=none`, but consent is needed (OpenID Connect Core §3.1.2.6).
    ConsentRequired,
    /// `prompt=none`, but some page is needed (OpenID Connect Core §3.1.2.6).
    InteractionRequired,
    /// `prompt=none`, but an account must be selected (OpenID Connect Core §3.1.2.6).
    AccountSelectionRequired,
    /// The `request` parameter is not supported (OpenID Connect Core §3.1.2.6).
    RequestNotSupported,
    /// The `request_uri` parameter is not supported (OpenID Connect Core §3.1.2.6).
    RequestUriNotSupported,
}

impl ErrorCode {
    /// All codes, in order.
    pub const ALL: &'static [Self] = &[
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::AccessDenied,
        Self::UnsupportedResponseType,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::InvalidToken,
        Self::InsufficientScope,
        Self::UnsupportedTokenType,
        Self::InvalidRedirectUri,
        Self::InvalidClientMetadata,
        Self::InvalidTarget,
        Self::LoginRequired,
        Self::ConsentRequired,
        Self::InteractionRequired,
        Self::AccountSelectionRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
    ];

    /// The code as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
        }
    }

    /// The HTTP status with which an endpoint answers this code in a body of its own (RFC 6749 §5.2, RFC 6750 §3.1).
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient | Self::InvalidToken => 401,
            Self::InsufficientScope => 403,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no error code that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known error code")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or(UnknownErrorCode)
    }
}

/// An error to be told to the peer: a code and one sentence.
///
/// The description holds only characters that RFC 6749 §5.2 permits; others are replaced when it is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct OauthError {
    code: ErrorCode,
    description: Cow<'static, str>,
}

impl OauthError {
    /// An error with its sentence: lowercase, no period, values in backticks, then perhaps `hint: …`.
    pub fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        let description = if description.chars().all(is_description_char) {
            description
        } else {
            Cow::Owned(description.chars().map(replaced).collect())
        };
        Self { code, description }
    }

    /// The code.
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The JSON body of RFC 6749 §5.2.
    pub fn body(&self) -> String {
        serde_json::json!({ "error": self.code.as_str(), "error_description": self.description })
            .to_string()
    }
}

/// RFC 6749 §5.2: `%x20-21 / %x23-5B / %x5D-7E`.
const fn is_description_char(c: char) -> bool {
    matches!(c, ' '..='!' | '#'..='[' | ']'..='~')
}

const fn replaced(c: char) -> char {
    match c {
        '"' => '\'',
        '\\' => '/',
        c if is_description_char(c) => c,
        _ => '?',
    }
}

/// A value of a request, for a message: as it is if it is one plain word of at most 100 bytes. Anything else might carry
/// something that nobody may read in a log or an answer, such as another parameter (SEC-71).
pub fn shown(text: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@+ ".contains(&byte);
    if text.len() <= 100 && text.bytes().all(plain) {
        text
    } else {
        "(not shown)"
    }
}

/// An error body as somebody else sent it: nothing about it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code, perhaps one we do not know.
    pub error: String,
    /// The sentence for a developer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// A page about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_uri: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert_eq!("no_such_thing".parse::<ErrorCode>(), Err(UnknownErrorCode));
    }

    // SEC-71
    #[test]
    fn descriptions_carry_only_permitted_characters() {
        let error = OauthError::new(
            ErrorCode::InvalidScope,
            "scope `a\"b\\c\n\u{202e}é` is unknown",
        );
        assert_eq!(error.description(), "scope `a'b/c???` is unknown");
        insta::assert_snapshot!(error.body(), @r#"{"error":"invalid_scope","error_description":"scope `a'b/c???` is unknown"}"#);
    }
}
