//! What browsers need to be told before their pages may read an answer (SEC-74).

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use net::body::Body;

use crate::origin::Verdict;

const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, DPoP-Nonce");
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE, OPTIONS");
const USUAL_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, Last-Event-ID, DPoP",
);
const ANY: HeaderValue = HeaderValue::from_static("*");
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
/// Longest list of requested headers that is echoed, in bytes.
const ECHO_LIMIT: usize = 4096;

/// Whether this is the question a browser asks before the real request.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to it, without authentication. `Mcp-Param-*` can't be listed and wildcards don't cover `Authorization`, so
/// the list of the question is echoed.
pub(crate) fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let requested = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|value| {
        value.len() <= ECHO_LIMIT && value.as_bytes().iter().all(|byte| is_list_byte(*byte))
    });
    let answer = response.headers_mut();
    answer.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        requested.cloned().unwrap_or(USUAL_HEADERS),
    );
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, A_DAY);
    response
}

fn is_list_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ')
}

/// Lets the page that asked read the answer, whatever it is. Foreign pages get nothing.
pub(crate) fn admit(origin: &Verdict, headers: &mut HeaderMap) {
    if let Verdict::Allowed(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(VARY, ORIGIN);
    }
}

/// Lets every page read the answer: public metadata.
pub(crate) fn admit_everybody(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-74
    #[test]
    fn the_requested_headers_are_echoed_if_they_are_a_list_of_names() {
        let answered = |requested: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                ACCESS_CONTROL_REQUEST_HEADERS,
                HeaderValue::from_static(requested),
            );
            preflight(&headers)
                .headers()
                .get(ACCESS_CONTROL_ALLOW_HEADERS)
                .unwrap()
                .clone()
        };
        assert_eq!(
            answered("authorization,mcp-param-region"),
            "authorization,mcp-param-region"
        );
        assert_eq!(answered("a: b"), USUAL_HEADERS);
    }
}
