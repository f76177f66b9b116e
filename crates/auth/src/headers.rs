//! The security headers of every answer, and the policy under which a page runs.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use oauth::redirect_uri::RedirectUri;
use url::{Host, Url};

/// Where the forms of a page may lead.
///
/// Chromium applies `form-action` to every redirect that follows the submission of a form, also to those that the
/// client's callback answers with. So a page whose form may end at a client allows what that client's redirect can
/// reach: always `https:`, because callbacks pass on to other hosts, and beside it just what the redirect URI needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormAction {
    /// The page has no form.
    None,
    /// The form stays on this origin.
    Here,
    /// The form may end at a client: source expressions of CSP beside `'self'`.
    Client(String),
}

impl FormAction {
    /// The forms of a page in a flow that ends at this redirect URI.
    pub(crate) fn to_client(redirect: &RedirectUri) -> Self {
        let Ok(url) = Url::parse(redirect.as_str()) else {
            return Self::Here;
        };
        let beside = match (url.scheme(), url.host()) {
            ("https", _) => String::new(),
            // CSP has no notation for IPv6 literals (CSP3 §2.3.1, host-part).
            ("http", Some(Host::Ipv6(_))) => " http:".to_owned(),
            // A program may hand over to another port of its own.
            ("http", _) => " http://localhost:* http://127.0.0.1:*".to_owned(),
            (scheme, _) => format!(" {scheme}:"),
        };
        Self::Client(format!("https:{beside}"))
    }

    fn directive(&self) -> String {
        match self {
            Self::None => "'none'".to_owned(),
            Self::Here => "'self'".to_owned(),
            Self::Client(sources) => format!("'self' {sources}"),
        }
    }
}

/// An HTML page (SEC-12, SEC-16, SEC-17).
pub(crate) fn page(status: StatusCode, html: String, form_action: &FormAction) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src data:; form-action {}; frame-ancestors 'none'; base-uri 'none'",
        form_action.directive()
    );
    let mut response = bare(status, html);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::try_from(policy).unwrap_or_else(|_| {
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")
        }),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin-allow-popups"),
    );
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=()"),
    );
    response
}

/// A 303: the browser goes on with GET and does not send the form again (SEC-11).
pub(crate) fn see_other(location: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, location)
}

/// A 307: the browser sends the same form there. Never for one that a user has put a password into (SEC-11).
pub(crate) fn temporary_redirect(location: &str) -> Response {
    redirect(StatusCode::TEMPORARY_REDIRECT, location)
}

fn redirect(status: StatusCode, location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        tracing::error!("redirect target is not a header value");
        return bare(StatusCode::INTERNAL_SERVER_ERROR, String::new());
    };
    let mut response = bare(status, String::new());
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says when to come back, in whole seconds and never in none (RFC 9110 §10.2.3).
pub(crate) fn retry_after(response: &mut Response, after: Duration) {
    let seconds = u64::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
}

/// An answer with what every answer has and nothing else.
pub(crate) fn bare(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = bare(status, body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_come_back_is_rounded_up() {
        let stated = |millis| {
            let mut response = Response::default();
            retry_after(&mut response, Duration::from_millis(millis));
            response.headers()["retry-after"].clone()
        };
        assert_eq!(stated(0), "1");
        assert_eq!(stated(1000), "1");
        assert_eq!(stated(1001), "2");
        assert_eq!(stated(60_000), "60");
    }

    // SEC-16, SEC-17
    #[test]
    fn a_form_may_lead_to_what_the_redirect_uri_needs_and_no_further() {
        let cases = [
            ("https://chatgpt.com/connector/oauth/x", "'self' https:"),
            (
                "http://localhost:6274/oauth/callback",
                "'self' https: http://localhost:* http://127.0.0.1:*",
            ),
            (
                "http://127.0.0.1/callback",
                "'self' https: http://localhost:* http://127.0.0.1:*",
            ),
            ("http://[::1]:8080/callback", "'self' https: http:"),
            (
                "com.example.app:/callback",
                "'self' https: com.example.app:",
            ),
        ];
        for (redirect, directive) in cases {
            assert_eq!(
                FormAction::to_client(&redirect.parse().unwrap()).directive(),
                directive,
                "{redirect}"
            );
        }
    }

    // SEC-12, SEC-16, SEC-17
    #[test]
    fn pages_are_neither_framed_nor_cached_nor_named_to_others() {
        let page = page(
            StatusCode::OK,
            "<!doctype html>".to_owned(),
            &FormAction::Here,
        );
        let headers = page.headers();
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
    }

    // SEC-71
    #[test]
    fn a_location_with_control_characters_is_never_sent() {
        let response = see_other("https://a.example/\r\nset-cookie: a=b");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key("location"));
    }
}
