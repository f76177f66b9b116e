//! What clients are told about grants that give no tokens.

use model::grant;
use model::refresh;
use model::scope_grant;
use oauth::error::{ErrorCode, OauthError};

pub(super) fn invalid_grant(description: impl Into<std::borrow::Cow<'static, str>>) -> OauthError {
    OauthError::new(ErrorCode::InvalidGrant, description)
}

/// What the client is told about a code that is not redeemed. A code of somebody else looks like none (STYLE 30).
pub(super) fn code_refused(refusal: &grant::Refusal) -> OauthError {
    match refusal {
        grant::Refusal::OtherClient => unknown_code(),
        grant::Refusal::Resource(refusal) => beyond_grant(refusal),
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

/// A scope or resource beyond what was granted (RFC 6749 §6, RFC 8707 §2.2).
pub(super) fn beyond_grant(refusal: &scope_grant::Refusal) -> OauthError {
    let code = match refusal {
        scope_grant::Refusal::UnknownScope(_) | scope_grant::Refusal::ScopeNotGranted(_) => {
            ErrorCode::InvalidScope
        }
        scope_grant::Refusal::UnknownResource(_)
        | scope_grant::Refusal::ResourceNotGranted(_)
        | scope_grant::Refusal::ResourceAmbiguous => ErrorCode::InvalidTarget,
    };
    OauthError::new(code, refusal.to_string())
}
