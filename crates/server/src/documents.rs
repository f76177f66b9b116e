//! Serves client metadata documents: what a web server with one JSON file would do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use net::body::Body;
use net::edge::{Peer, Site};

/// How long others may keep a document without asking again.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// One document under one URL.
pub(crate) struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    /// A document with this content.
    pub(crate) fn new(
        content: &serde_json::Map<String, serde_json::Value>,
    ) -> anyhow::Result<Self> {
        let body = Bytes::from(serde_json::to_vec_pretty(content)?);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        let etag = HeaderValue::try_from(format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest)))?;
        Ok(Self { body, etag })
    }

    fn answer(&self, method: &Method, headers: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let out = response.headers_mut();
        // Anybody may read it, pages in browsers included.
        out.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        if !matches!(*method, Method::GET | Method::HEAD) {
            out.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
        out.insert(header::ETAG, self.etag.clone());
        out.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        if is_known(headers, &self.etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        out.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        out.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if method == Method::HEAD {
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        } else {
            *response.body_mut() = Body::full(self.body.clone());
        }
        response
    }
}

/// Whether the asker has it already (RFC 9110 §13.1.2: weak comparison).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
        })
}

impl Site for Document {
    fn call(&self, request: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
        std::future::ready(self.answer(request.method(), request.headers())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document::new(
            serde_json::json!({"client_id": "https://a.example/c.json"})
                .as_object()
                .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn a_document_is_json_with_an_etag_and_a_lifetime() {
        let response = document().answer(&Method::GET, &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "public, max-age=300"
        );
        assert!(response.headers().contains_key(header::ETAG));
    }

    #[test]
    fn who_has_it_already_gets_304() {
        let document = document();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(
            document.answer(&Method::GET, &headers).status(),
            StatusCode::OK
        );
        headers.append(header::IF_NONE_MATCH, document.etag.clone());
        assert_eq!(
            document.answer(&Method::GET, &headers).status(),
            StatusCode::NOT_MODIFIED
        );
    }

    #[test]
    fn a_document_can_only_be_read() {
        let response = document().answer(&Method::POST, &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
