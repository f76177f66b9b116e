//! The token endpoint (OAuth 2.1 §3.2): from a form to tokens, or to an error that says what was wrong.
//!
//! Read the form; parse the request; make sure of the client; then the grant: load what it is about, decide, make the
//! tokens, save, answer. Tokens are made before anything is saved, so that nothing is spent on an answer that we
//! cannot give; and they leave only after it is saved.

mod authorization_code;
mod issue;
mod refresh_token;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use model::grant;
use model::id::Id;
use model::refresh::{self, Family};
use model::scope_grant;
use oauth::error::{ErrorCode, OauthError};
use oauth::request::token::TokenRequest;
use oauth::response::token::TokenResponse;

use crate::answer::{self, Refusal, Tried};
use crate::client::{authenticate, credentials};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::request_body;

/// `POST /token`
pub(crate) async fn post_token(cx: Cx, headers: HeaderMap, uri: Uri, body: Body) -> Response {
    let mut identified = Identified::default();
    let response = match exchange(&cx, &headers, &uri, body, &mut identified).await {
        Ok(tokens) => answer::json(StatusCode::OK, &tokens),
        Err(refusal) => {
            cx.app.metrics.token_refusals.inc();
            if let Refusal::Oauth(error) = &refusal {
                tracing::info!(%error, "token request refused");
            }
            let tried = if credentials::tried_basic(&headers) {
                Tried::Basic
            } else {
                Tried::Otherwise
            };
            answer::refuse(&cx, &refusal, tried)
        }
    };
    identified.said_beside(response)
}

async fn exchange(
    cx: &Cx,
    headers: &HeaderMap,
    uri: &Uri,
    body: Body,
    identified: &mut Identified,
) -> Result<TokenResponse, Refusal> {
    refuse_query(uri)?;
    let form = request_body::read_form(headers, body).await?;
    let request = TokenRequest::parse(&form)?;
    let client = authenticate::authenticate(cx, headers, &form).await?;
    identified.client(&client.client_id);
    match request {
        TokenRequest::AuthorizationCode(request) => {
            authorization_code::redeem(cx, &client, &request, identified).await
        }
        TokenRequest::RefreshToken(request) => {
            refresh_token::refresh(cx, &client, &request, identified).await
        }
    }
}

/// Codes, tokens and secrets in a URL end up in logs (OAuth 2.1 §3.2, SEC-10).
pub(crate) fn refuse_query(uri: &Uri) -> Result<(), OauthError> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(OauthError::new(
            ErrorCode::InvalidRequest,
            "parameters belong into the body, not into the query",
        )),
    }
}

/// Ends a family for good: its refresh tokens, and within a second on every node its access tokens (SEC-3, SEC-46).
pub(crate) async fn revoke_family(
    cx: &Cx,
    family: Id<Family>,
    reason: &'static str,
) -> Result<(), Internal> {
    let lifetimes = &cx.realm.config.lifetimes;
    let ended = store::family::revoke(&cx.app.store, family, lifetimes, cx.now)
        .await
        .map_err(Internal::new)?;
    if ended {
        tracing::warn!(family.id = %family, reason, "grant revoked");
        cx.app.metrics.families_revoked.inc();
    }
    Ok(())
}

fn invalid_grant(description: impl Into<std::borrow::Cow<'static, str>>) -> OauthError {
    OauthError::new(ErrorCode::InvalidGrant, description)
}

/// What the client is told about a code that is not redeemed. A code of somebody else looks like none (STYLE 30).
fn code_refused(refusal: &grant::Refusal) -> OauthError {
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

fn unknown_code() -> OauthError {
    invalid_grant("the code is unknown")
}

/// What the client is told about a refresh token that does not pass.
fn refresh_refused(refusal: refresh::Refusal) -> OauthError {
    match refusal {
        refresh::Refusal::OtherClient => unknown_refresh_token(),
        refresh::Refusal::Revoked | refresh::Refusal::Expired | refresh::Refusal::Reused => {
            invalid_grant(refusal.to_string())
        }
    }
}

fn unknown_refresh_token() -> OauthError {
    invalid_grant("the refresh token is unknown")
}

/// A scope or resource beyond what was granted (RFC 6749 §6, RFC 8707 §2.2).
fn beyond_grant(refusal: &scope_grant::Refusal) -> OauthError {
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
