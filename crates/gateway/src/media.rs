//! Media types of a request: what it carries, and what it takes back.

use http::{HeaderMap, header};
use net::media;

/// What a client takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// `application/json`
    pub(crate) json: bool,
    /// `text/event-stream`
    pub(crate) events: bool,
}

impl Accepted {
    /// Reads `Accept`. Clients must name both (TM-3); one that names nothing, or everything, gets both.
    /// An empty header names nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self {
            json: false,
            events: false,
        };
        let mut stated = false;
        for value in headers.get_all(header::ACCEPT) {
            stated |= !value.as_bytes().trim_ascii().is_empty();
            for range in value.as_bytes().split(|byte| *byte == b',') {
                let essence = media::essence(range);
                let is = |word: &[u8]| essence.eq_ignore_ascii_case(word);
                let any = is(b"*/*");
                accepted.json |= any || is(b"application/json") || is(b"application/*");
                accepted.events |= any || is(b"text/event-stream") || is(b"text/*");
            }
        }
        if stated {
            accepted
        } else {
            Self {
                json: true,
                events: true,
            }
        }
    }

    /// Whether nothing that we send would be taken.
    pub(crate) fn nothing(self) -> bool {
        !self.json && !self.events
    }
}

/// Whether the body is not declared as anything but JSON: `application/json` and other names for it, parameters aside.
///
/// What is declared as nothing is read as JSON, too: a page can send neither that nor a token without being asked first
/// (SEC-10), and its `Origin` was looked at before. A charset says nothing about JSON, which is UTF-8 (RFC 8259 §8.1).
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return true,
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return false,
    };
    let essence = media::essence(value);
    let suffixed = essence
        .len()
        .checked_sub(b"+json".len())
        .and_then(|at| essence.split_at_checked(at))
        .is_some_and(|(before, suffix)| {
            suffix.eq_ignore_ascii_case(b"+json")
                && before
                    .get(..b"application/".len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"application/"))
        });
    suffixed
        || [
            &b"application/json"[..],
            b"application/json-rpc",
            b"application/jsonrequest",
            b"application/x-json",
            b"text/json",
            b"",
        ]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

/// Whether the body is as it was before any coding.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &header::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    // TM-3
    #[test]
    fn accept_is_read_generously() {
        let accepted = |values: &[&'static str]| {
            let accepted = Accepted::of(&headers(&header::ACCEPT, values));
            (accepted.json, accepted.events)
        };
        assert_eq!(
            accepted(&["application/json, text/event-stream"]),
            (true, true)
        );
        assert_eq!(
            accepted(&["application/json", "Text/Event-Stream;q=0.5"]),
            (true, true)
        );
        assert_eq!(accepted(&["*/*"]), (true, true));
        assert_eq!(accepted(&[]), (true, true));
        assert_eq!(accepted(&[""]), (true, true));
        assert_eq!(accepted(&["application/json"]), (true, false));
        assert_eq!(accepted(&["text/html"]), (false, false));
    }

    // SEC-10
    #[test]
    fn a_body_is_json_if_it_is_called_that_in_any_way_or_not_at_all() {
        let json = |values: &[&'static str]| is_json(&headers(&header::CONTENT_TYPE, values));
        for called in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; charset=iso-8859-1",
            "application/json-rpc",
            "application/vnd.mcp+json",
            "text/json",
            "",
        ] {
            assert!(json(&[called]), "{called}");
        }
        assert!(json(&[]));
        for called in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/jsonp",
            "text/vnd.mcp+json",
            "+json",
            "application/json, text/plain",
        ] {
            assert!(!json(&[called]), "{called}");
        }
        assert!(!json(&["application/json", "application/json"]));
    }

    #[test]
    fn a_coded_body_is_not_plain() {
        let plain = |values: &[&'static str]| is_plain(&headers(&header::CONTENT_ENCODING, values));
        assert!(plain(&[]) && plain(&["identity"]) && plain(&["Identity, "]));
        assert!(!plain(&["gzip"]) && !plain(&["identity", "br"]) && !plain(&["identity, gzip"]));
    }
}
