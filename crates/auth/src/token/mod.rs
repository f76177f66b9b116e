//! The token endpoint (OAuth 2.1 §3.2): from a form to tokens, or to an error that says what was wrong.
//!
//! Read the form; parse the request; make sure of the client; then the grant: load what it is about, decide, make the
//! tokens, save, answer. Tokens are made before anything is saved, so that nothing is spent on an answer that we
//! cannot give; and they leave only after it is saved.

mod authorization_code;
mod family;
mod issue;
mod refresh_token;
mod refusal;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use oauth::error::{ErrorCode, OauthError};
use oauth::request::token::TokenRequest;
use oauth::response::token::TokenResponse;

use crate::answer::{self, Refusal, Tried};
use crate::client::{authenticate, credentials};
use crate::cx::Cx;
use crate::identified::Identified;
use crate::request_body;
pub(crate) use crate::token::family::revoke_family;

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
