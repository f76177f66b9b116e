//! The one stylesheet, served from here under a name that changes with its content.

use std::sync::LazyLock;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};

use crate::headers;

const TEXT: &str = include_str!("../templates/style.css");

/// The path below a realm's base path.
pub(crate) const ROUTE: &str = "/assets/{file}";

static PATH: LazyLock<String> = LazyLock::new(|| {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, TEXT.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..6).unwrap_or_default());
    format!("/assets/style-{tag}.css")
});

/// The path of the present content, below a realm's base path.
pub(crate) fn path() -> &'static str {
    &PATH
}

/// `GET /assets/style-….css`: any name is answered, so that a page of an older version keeps its looks.
pub(crate) async fn get_stylesheet() -> Response {
    let mut response = headers::bare(StatusCode::OK, TEXT.to_owned());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/css; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400, immutable"),
    );
    response
}
