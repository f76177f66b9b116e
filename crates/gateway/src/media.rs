//! Media types of a request: what it carries, and what it takes back.

use http::{HeaderMap, header};

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
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self {
            json: false,
            events: false,
        };
        let mut stated = false;
        for value in headers.get_all(header::ACCEPT) {
            stated = true;
            for range in value.as_bytes().split(|byte| *byte == b',') {
                let essence = range
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or_default()
                    .trim_ascii();
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

/// Whether the body is declared as JSON: `application/json`, parameters aside, exactly once.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let essence = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
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
        assert_eq!(accepted(&["application/json"]), (true, false));
        assert_eq!(accepted(&["text/html"]), (false, false));
    }

    // SEC-10
    #[test]
    fn a_body_is_json_if_it_says_so_once() {
        let json = |values: &[&'static str]| is_json(&headers(&header::CONTENT_TYPE, values));
        assert!(json(&["application/json"]) && json(&["Application/JSON; charset=utf-8"]));
        assert!(!json(&[]) && !json(&["text/plain"]));
        assert!(!json(&["application/json", "application/json"]));
        assert!(!json(&["application/json, text/plain"]));
    }
}
