//! Cross-origin access for browsers' scripts: on metadata, keys, token, revocation,
//! registration and userinfo, and nowhere else.
//!
//! No credentials are ever allowed, so `*` is safe: these endpoints read no cookie (SEC-74). The pages and the
//! authorization endpoint are not under this layer.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::headers;

/// What a script may send when its preflight does not say.
const DEFAULT_HEADERS: &str = "authorization, content-type, accept, mcp-protocol-version, dpop";
/// What a script may read beside the safelisted headers.
const EXPOSED: &str = "WWW-Authenticate, DPoP-Nonce";

/// Answers preflights, and marks every other answer as readable.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight {
        let mut response = headers::bare(StatusCode::NO_CONTENT, String::new());
        let allowed = requested_headers(request.headers());
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS"),
        );
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        headers.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("7200"),
        );
        headers.insert(
            header::VARY,
            HeaderValue::from_static("access-control-request-headers"),
        );
        response
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    response
}

/// The requested list as it came, since a wildcard would not cover `Authorization` (Fetch §3.3.3).
fn requested_headers(headers: &HeaderMap) -> HeaderValue {
    headers
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|value| value.len() <= 1024)
        .filter(|value| {
            value
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_, ".contains(byte))
        })
        .cloned()
        .unwrap_or_else(|| HeaderValue::from_static(DEFAULT_HEADERS))
}
