//! Cookies: `__Host-` and `Secure` wherever the issuer is https, plain names on http loopback (SEC-55).

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

/// How the cookies of one realm are named and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The issuer is https.
    Https,
    /// The issuer is http, for development on loopback.
    PlainHttp,
}

impl Transport {
    /// The name as it is sent.
    pub(crate) fn name(self, name: &str) -> String {
        match self {
            Self::Https => format!("__Host-{name}"),
            Self::PlainHttp => name.to_owned(),
        }
    }

    /// Sets a cookie. `max_age` is in seconds; `None` makes it end with the browser.
    pub(crate) fn set(
        self,
        response: &mut Response,
        name: &str,
        value: &str,
        max_age: Option<i64>,
    ) {
        let max_age = max_age
            .map(|seconds| format!("; Max-Age={seconds}"))
            .unwrap_or_default();
        let secure = if self == Self::Https { "; Secure" } else { "" };
        let text = format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Lax{max_age}{secure}",
            self.name(name)
        );
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(header::SET_COOKIE, value);
        } else {
            tracing::error!(cookie.name = name, "cookie is not a header value");
        }
    }

    /// Removes a cookie.
    pub(crate) fn clear(self, response: &mut Response, name: &str) {
        self.set(response, name, "", Some(0));
    }

    /// The value of a cookie of the request.
    pub(crate) fn get<'h>(self, headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
        let name = self.name(name);
        pairs(headers)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The cookies of the request whose names start with `prefix`: the rest of the name, and the value.
    pub(crate) fn with_prefix<'h>(
        self,
        headers: &'h HeaderMap,
        prefix: &str,
    ) -> Vec<(&'h str, &'h str)> {
        let prefix = self.name(prefix);
        pairs(headers)
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix.as_str())?, value)))
            .collect()
    }
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_by_their_full_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; __Host-a=2; flow-x=3"),
        );
        headers.append(header::COOKIE, HeaderValue::from_static("flow-y=4"));
        assert_eq!(Transport::PlainHttp.get(&headers, "a"), Some("1"));
        assert_eq!(Transport::Https.get(&headers, "a"), Some("2"));
        assert_eq!(Transport::Https.get(&headers, "b"), None);
        assert_eq!(
            Transport::PlainHttp.with_prefix(&headers, "flow-"),
            [("x", "3"), ("y", "4")]
        );
    }

    // SEC-55
    #[test]
    fn https_cookies_are_bound_to_the_host_and_hidden_from_scripts() {
        let mut response = Response::default();
        Transport::Https.set(&mut response, "a", "1", Some(60));
        Transport::PlainHttp.set(&mut response, "a", "1", None);
        let sent: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(
            sent,
            [
                "__Host-a=1; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure",
                "a=1; Path=/; HttpOnly; SameSite=Lax"
            ]
        );
    }
}
