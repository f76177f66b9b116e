//! The key set of a realm (RFC 7517 §5): what verifies its tokens, now and soon and for a while.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::answer;
use crate::cx::Cx;
use crate::headers;
use crate::keys::Need;

/// How long verifiers may keep the set. A new key is published far longer than this before it signs (SEC-43).
const CACHE_CONTROL: &str = "public, max-age=300";

/// `GET /jwks`
pub(crate) async fn get_jwks(cx: Cx) -> Response {
    let keys = match cx.keys(Need::All).await {
        Ok(keys) => keys,
        Err(internal) => return answer::refuse(&cx, &internal.into(), answer::Tried::Otherwise),
    };
    let mut response = headers::json(StatusCode::OK, keys.published().to_value().to_string());
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(CACHE_CONTROL),
    );
    response
}
