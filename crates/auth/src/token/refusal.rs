//! What clients are told about grants that give no tokens.

use model::grant;
use model::refresh;
use oauth::error::{ErrorCode, OauthError};

pub(super) fn invalid_grant(description: impl Into<std::borrow::Cow<'static, str>>) -> OauthError {
    OauthError::new(ErrorCode::InvalidGrant, description)
}

/// What the client is told about a code that is not redeemed. A code of somebody else looks like none (STYLE 30).
pub(super) fn code_refused(refusal: &grant::Refusal) -> OauthError {
    match refusal {
        grant::Refusal::OtherClient => unknown_code(),
        grant::Refusal::Resource(refusal) => refusal.clone().into(),
        grant::Refusal::Replayed { .. }
        | grant::Refusal::Expired
        | grant::Refusal::OtherRedirectUri
        | grant::Refusal::VerifierMissing
        | grant::Refusal::VerifierUnexpected
        | grant::Refusal::VerifierWrong => invalid_grant(refusal.to_string()),
    }
}

pub(super) fn unknown_code() -> OauthError {
    invalid_grant("the code is unknown")
}

/// What the client is told about a refresh token that does not pass.
pub(super) fn refresh_refused(refusal: refresh::Refusal) -> OauthError {
    match refusal {
        refresh::Refusal::OtherClient => unknown_refresh_token(),
        refresh::Refusal::Revoked | refresh::Refusal::Expired | refresh::Refusal::Reused => {
            invalid_grant(refusal.to_string())
        }
    }
}

pub(super) fn unknown_refresh_token() -> OauthError {
    invalid_grant("the refresh token is unknown")
}
