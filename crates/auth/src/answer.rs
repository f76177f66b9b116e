//! What the endpoints that clients call answer with: JSON that nobody may keep (RFC 6749 §5.1, §5.2).

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use model::rate::TooOften;
use oauth::challenge::Challenge;
use oauth::error::{ErrorCode, OauthError};
use serde::Serialize;

use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers;

/// Why a client gets an error.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is to blame.
    Oauth(OauthError),
    /// Its network has guessed too often.
    TooOften(TooOften),
    /// We are.
    Internal(Internal),
}

impl From<TooOften> for Refusal {
    fn from(too_often: TooOften) -> Self {
        Self::TooOften(too_often)
    }
}

impl From<OauthError> for Refusal {
    fn from(error: OauthError) -> Self {
        Self::Oauth(error)
    }
}

impl From<Internal> for Refusal {
    fn from(internal: Internal) -> Self {
        Self::Internal(internal)
    }
}

/// How the client tried to authenticate: decides about the challenge in a 401 (RFC 6749 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// By an `Authorization` header.
    Basic,
    /// Otherwise. Then there is no challenge: a browser would ask its user for a password.
    Otherwise,
}

/// A document that must not be kept (SEC-73).
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => no_store(headers::json(status, body)),
        Err(error) => {
            tracing::error!(%error, "answer could not be serialized");
            no_store(headers::bare(
                StatusCode::INTERNAL_SERVER_ERROR,
                String::new(),
            ))
        }
    }
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode) -> Response {
    no_store(headers::bare(status, String::new()))
}

/// The error body, with the status and challenge that belong to it. Of ours, an outage is `temporarily_unavailable`, which
/// clients wait out, and all else `server_error`.
pub(crate) fn refuse(cx: &Cx, refusal: &Refusal, tried: Tried) -> Response {
    let (error, retry_after) = match refusal {
        Refusal::Oauth(error) => (error.clone(), RETRY_FETCH),
        Refusal::TooOften(too_often) => return later(too_often),
        Refusal::Internal(internal) => (internal.told(), RETRY_OUTAGE),
    };
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = self::error(status, &error);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let after = HeaderValue::from_static(retry_after);
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    if status == StatusCode::UNAUTHORIZED && tried == Tried::Basic {
        challenge(
            &mut response,
            &Challenge::new("Basic").with("realm", cx.realm.config.issuer.as_str()),
        );
    }
    response
}

/// 429, and when to come back. The error is one that clients wait out: none of them is to forget its tokens for it.
fn later(too_often: &TooOften) -> Response {
    let told = OauthError::new(
        ErrorCode::TemporarilyUnavailable,
        "too many wrong client secrets came from this network; hint: wait as long as `Retry-After` says",
    );
    let mut response = error(StatusCode::TOO_MANY_REQUESTS, &told);
    headers::retry_after(&mut response, too_often.retry_after);
    response
}

/// An error body with a status of its own.
pub(crate) fn error(status: StatusCode, error: &OauthError) -> Response {
    no_store(headers::json(status, error.body()))
}

/// What a 503 asks for, in seconds, after a fetch that failed: as long as that is remembered.
const RETRY_FETCH: &str = "30";

/// The same while the store is away: it is looked at every second.
const RETRY_OUTAGE: &str = "2";

/// A page, or anything else for people, that says that the store is away.
pub(crate) fn unavailable(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let after = HeaderValue::from_static(RETRY_OUTAGE);
    response.headers_mut().insert(header::RETRY_AFTER, after);
    response
}

/// Adds a challenge.
pub(crate) fn challenge(response: &mut Response, challenge: &Challenge) {
    if let Ok(value) = HeaderValue::try_from(challenge.to_string()) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
}

fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
