//! Who is asking, when a proxy of ours stands in between.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Its elements are added from left to right, so only the right end can be believed.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose `X-Forwarded-For` is believed (SEC-58). The default believes nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    /// Believes these networks and nobody else.
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// Whether this is the address of a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The client's address, given the address of the connection: the right-most element of
    /// `X-Forwarded-For` that is not a trusted proxy's.
    ///
    /// Where an element is not an address, whoever reported it is taken for the client.
    pub fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = connected.to_canonical();
        if self.networks.is_empty() {
            return client;
        }
        let mut lines: Vec<&str> = Vec::new();
        for line in headers.get_all(X_FORWARDED_FOR) {
            // A line that is not text makes everything left of it worthless.
            match line.to_str() {
                Ok(line) => lines.push(line),
                Err(_) => lines.clear(),
            }
        }
        for element in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.contains(client) {
                break;
            }
            match parse_element(element.trim()) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// An address, with or without port and brackets.
fn parse_element(element: &str) -> Option<IpAddr> {
    if let Ok(address) = element.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = element.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    element.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client_of(connected: &str, lines: &[&'static str]) -> String {
        let trusted = TrustedProxies::new(vec![
            "10.0.0.0/8".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        trusted
            .client(connected.parse().unwrap(), &headers)
            .to_string()
    }

    // SEC-58
    #[test]
    fn a_strangers_header_is_not_believed() {
        assert_eq!(client_of("203.0.113.5", &["198.51.100.1"]), "203.0.113.5");
    }

    // SEC-58
    #[test]
    fn a_trusted_proxys_header_is_believed() {
        assert_eq!(client_of("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client_of("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(
            client_of("::ffff:10.0.0.1", &["198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(client_of("10.0.0.1", &["[2001:db8::7]:80"]), "2001:db8::7");
    }

    // SEC-58
    #[test]
    fn what_the_client_itself_put_to_the_left_is_ignored() {
        let line = "1.1.1.1, 198.51.100.1, 10.0.0.9";
        assert_eq!(client_of("10.0.0.1", &[line]), "198.51.100.1");
        let lines = ["1.1.1.1", "198.51.100.1", "10.0.0.9, 10.0.0.8"];
        assert_eq!(client_of("10.0.0.1", &lines), "198.51.100.1");
    }

    // SEC-58
    #[test]
    fn garbage_stops_the_search() {
        assert_eq!(
            client_of("10.0.0.1", &["1.1.1.1, unknown, 10.0.0.9"]),
            "10.0.0.9"
        );
        assert_eq!(client_of("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client_of("10.0.0.1", &[""]), "10.0.0.1");
    }
}
