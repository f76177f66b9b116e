//! The token of `Authorization: Bearer`, for the endpoints that are resources themselves.

use http::{HeaderMap, header};

/// Only in the header: tokens in queries and bodies are not looked for (RFC 6750 §2.1, RS-9).
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    oauth::bearer::token(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}
