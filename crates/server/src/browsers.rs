//! What every answer of our own says to browsers, whichever part of the program gave it.

use http::{HeaderValue, Response, header};
use net::body::Body;
use net::edge::proxy::PassedOn;

/// A year, as the preload lists want it. Subdomains are others' affair.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds what is missing: a media type is what it says, and where a client came over TLS it stays with that
/// (RFC 6797). What a proxy passes on stays as it is.
pub(crate) fn tell(response: &mut Response<Body>, tls: bool) {
    if response.extensions().get::<PassedOn>().is_some() {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_answers_are_protected_and_those_of_others_left_alone() {
        let mut own = Response::new(Body::empty());
        tell(&mut own, true);
        assert_eq!(own.headers()["x-content-type-options"], "nosniff");
        assert_eq!(
            own.headers()["strict-transport-security"],
            "max-age=31536000"
        );
        let mut plain = Response::new(Body::empty());
        tell(&mut plain, false);
        assert!(!plain.headers().contains_key("strict-transport-security"));
        let mut passed = Response::new(Body::empty());
        passed.extensions_mut().insert(PassedOn);
        tell(&mut passed, true);
        assert!(passed.headers().is_empty());
    }
}
