//! Reads the body of a request: a form, and nothing else where a form is wanted (SEC-10); or JSON for a registration.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use net::body::{self, BodyError};
use oauth::error::{ErrorCode, OauthError};
use oauth::form::{self, Form};

/// Reads a form of bounded size; any other media type is refused without reading.
pub(crate) async fn read_form(headers: &HeaderMap, body: Body) -> Result<Form, OauthError> {
    let invalid =
        |description: &'static str| OauthError::new(ErrorCode::InvalidRequest, description);
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_form = types
        .next()
        .and_then(|value| value.to_str().ok())
        .is_some_and(form::is_form_media_type);
    if !is_form || types.next().is_some() {
        return Err(invalid(
            "the body must be `application/x-www-form-urlencoded`",
        ));
    }
    let bytes = read(body, form::MAX_BYTES).await?;
    Ok(Form::parse(&bytes)?)
}

/// Reads a body of bounded size that should be JSON.
pub(crate) async fn read_json(body: Body) -> Result<Bytes, OauthError> {
    // Whoever reads it says how much is allowed.
    read(body, form::MAX_BYTES).await
}

async fn read(body: Body, limit: usize) -> Result<Bytes, OauthError> {
    let invalid =
        |description: &'static str| OauthError::new(ErrorCode::InvalidRequest, description);
    body::read_bounded(body, limit, body::DEFAULT_IDLE)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { .. } => invalid("the body is too large"),
            BodyError::Stalled => invalid("the body did not arrive in time"),
            BodyError::Interrupted(_) => invalid("the body is not complete"),
        })
}
