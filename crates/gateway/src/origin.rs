//! Which web pages may call: the `Origin` check against DNS rebinding (TM-2, SEC-62).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderValue, header};

/// Whose pages may call.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Serialized origins, lower-case: the gateway's own and the configured ones.
    allowed: Vec<Box<str>>,
}

/// What the `Origin` of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none: not a web page.
    Absent,
    /// A page that may call.
    Allowed(HeaderValue),
    /// Any other page, or several origins, or `null`.
    Foreign,
}

impl Origins {
    pub(crate) fn new(own: &url::Url, configured: &[String]) -> Self {
        let own = own.origin().ascii_serialization();
        let configured = configured
            .iter()
            .map(|origin| origin.trim_end_matches('/').to_owned());
        let all = std::iter::once(own).chain(configured);
        Self {
            allowed: all
                .map(|origin| origin.to_ascii_lowercase().into())
                .collect(),
        }
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Verdict {
        let Some(first) = headers.get(header::ORIGIN) else {
            return Verdict::Absent;
        };
        let several = headers.get_all(header::ORIGIN).iter().nth(1).is_some();
        let Some(origin) = first.to_str().ok().filter(|_| !several) else {
            return Verdict::Foreign;
        };
        let listed = self
            .allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin));
        if listed || is_loopback(origin) {
            Verdict::Allowed(first.clone())
        } else {
            Verdict::Foreign
        }
    }
}

/// `http` or `https` on the caller's own machine, any port.
fn is_loopback(origin: &str) -> bool {
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    let Some(authority) = rest else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(origins: &[&str]) -> Verdict {
        let own = url::Url::parse("https://gateway.example:8443/mcp").unwrap();
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        Origins::new(&own, &["https://App.example/".to_owned()]).check(&headers)
    }

    // TM-2
    #[test]
    fn pages_of_this_machine_of_the_gateway_and_of_configured_origins_pass() {
        for origin in [
            "http://localhost:6274",
            "http://localhost",
            "https://127.0.0.1:1",
            "http://127.8.9.1",
            "http://[::1]:3000",
            "https://gateway.example:8443",
            "https://app.example",
        ] {
            assert!(
                matches!(verdict(&[origin]), Verdict::Allowed(_)),
                "{origin}"
            );
        }
        assert_eq!(verdict(&[]), Verdict::Absent);
    }

    // TM-2, SEC-62
    #[test]
    fn other_pages_are_foreign() {
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost:80:80",
            "http://evil.example@localhost",
            "https://gateway.example",
            "ftp://localhost",
            "http://[::2]",
            "http://localhost/",
        ] {
            assert_eq!(verdict(&[origin]), Verdict::Foreign, "{origin}");
        }
        assert_eq!(
            verdict(&["http://localhost", "http://localhost"]),
            Verdict::Foreign
        );
    }
}
