//! What a proxy of ours in front says about a request: who is asking, for which host, and over what (SEC-58).
//!
//! Each proxy adds to the right what it saw itself, so the right end is believed as far as trusted proxies
//! wrote it, and what stands to the left of that is whatever a client made up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Which headers the proxies set. What they don't set comes from anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `X-Forwarded-For`, `-Host` and `-Proto`; `Forwarded` only where there is none of them.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239) and nothing else.
    Forwarded,
}

/// The proxies that are believed. The default believes nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    dialect: Dialect,
}

/// What is known of a request that came through trusted proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client's address.
    pub address: IpAddr,
    /// The host that the client asked for, if that is said.
    pub host: Option<HeaderValue>,
    /// Whether the client came over TLS, if that is said.
    pub https: Option<bool>,
}

impl TrustedProxies {
    /// Believes these networks and nobody else.
    pub const fn new(networks: Vec<IpNet>, dialect: Dialect) -> Self {
        Self { networks, dialect }
    }

    /// Believes whoever is on this machine.
    pub fn on_loopback(dialect: Dialect) -> Self {
        const V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        const V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
        Self::new(vec![IpNet::V4(V4), IpNet::V6(V6)], dialect)
    }

    /// Whether this is the address of a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// What the proxy at `connected` says, which must be a trusted one: of the elements that trusted proxies
    /// wrote, the left-most, because that one saw the client itself.
    ///
    /// Where an element is not an address, whoever reported it is taken for the client.
    pub fn told(&self, connected: IpAddr, headers: &HeaderMap) -> Told {
        let speaks_standard = || {
            let of_the_other = [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO];
            headers.contains_key(header::FORWARDED)
                && !of_the_other.iter().any(|name| headers.contains_key(name))
        };
        match self.dialect {
            Dialect::XForwarded if !speaks_standard() => {
                self.told_by_x_forwarded(connected, headers)
            }
            Dialect::XForwarded | Dialect::Forwarded => self.told_by_forwarded(connected, headers),
        }
    }

    fn told_by_x_forwarded(&self, connected: IpAddr, headers: &HeaderMap) -> Told {
        let mut address = connected.to_canonical();
        let mut proxies = 0;
        for element in from_the_right(headers, &X_FORWARDED_FOR) {
            if !self.contains(address) {
                break;
            }
            proxies += 1;
            match parse_address(element) {
                Some(reported) => address = reported.to_canonical(),
                None => break,
            }
        }
        // Those headers have an element of each proxy, or only of the first.
        let of_the_first = |name| {
            from_the_right(headers, name)
                .take(proxies.max(1))
                .last()
                .filter(|element| !element.is_empty())
        };
        Told {
            address,
            host: of_the_first(&X_FORWARDED_HOST).and_then(|host| HeaderValue::from_str(host).ok()),
            https: of_the_first(&X_FORWARDED_PROTO).and_then(parse_scheme),
        }
    }

    fn told_by_forwarded(&self, connected: IpAddr, headers: &HeaderMap) -> Told {
        let mut told = Told {
            address: connected.to_canonical(),
            host: None,
            https: None,
        };
        for element in from_the_right(headers, &header::FORWARDED) {
            if !self.contains(told.address) {
                break;
            }
            let Some(pairs) = parse_pairs(element) else {
                break;
            };
            let value = |name: &str| {
                let mut values = pairs
                    .iter()
                    .filter(|(key, _)| key.eq_ignore_ascii_case(name));
                values.next().map(|(_, value)| value.as_str())
            };
            told.host = value("host").and_then(|host| HeaderValue::from_str(host).ok());
            told.https = value("proto").and_then(parse_scheme);
            match value("for").and_then(parse_address) {
                Some(reported) => told.address = reported.to_canonical(),
                None => break,
            }
        }
        told
    }
}

/// The elements of a header that is a list, the last one first.
fn from_the_right<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h str> + use<'h> {
    let mut lines: Vec<&str> = Vec::new();
    for line in headers.get_all(name) {
        // A line that is not text makes everything left of it worthless.
        match line.to_str() {
            Ok(line) => lines.push(line),
            Err(_) => lines.clear(),
        }
    }
    lines
        .into_iter()
        .rev()
        .flat_map(|line| unquoted(line, ',').into_iter().rev())
}

/// The parts of a text between separators that are not in quotes, without the blanks around them.
fn unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|character| {
        let skipped = std::mem::take(&mut escaped);
        match character {
            '\\' if quoted && !skipped => escaped = true,
            '"' if !skipped => quoted = !quoted,
            _ => {}
        }
        character == separator && !quoted
    });
    parts.map(str::trim).collect()
}

/// The pairs of one element of `Forwarded` (RFC 7239 §4).
fn parse_pairs(element: &str) -> Option<Vec<(&str, String)>> {
    let pairs = unquoted(element, ';').into_iter();
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name, unquote(value)?))
        })
        .collect()
}

fn unquote(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let inner = rest.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters.next()?,
            other => other,
        });
    }
    Some(text)
}

/// An address, with or without port and brackets.
fn parse_address(element: &str) -> Option<IpAddr> {
    if let Ok(address) = element.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = element.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    element.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Whether it is a secure one; nothing if it is none of ours.
fn parse_scheme(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(dialect: Dialect, connected: &str, lines: &[(&'static str, &'static str)]) -> Told {
        let trusted = TrustedProxies::new(
            vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            dialect,
        );
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        trusted.told(connected.parse().unwrap(), &headers)
    }

    fn client_of(connected: &str, lines: &[&'static str]) -> String {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        told(Dialect::XForwarded, connected, &lines)
            .address
            .to_string()
    }

    /// Address, host and scheme.
    fn all_of(told: &Told) -> (String, &str, Option<bool>) {
        let host = told.host.as_ref().map_or("", |host| host.to_str().unwrap());
        (told.address.to_string(), host, told.https)
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

    // SEC-58
    #[test]
    fn host_and_scheme_are_those_that_the_first_trusted_proxy_saw() {
        for (client, host, proto, expected) in [
            (
                "198.51.100.1",
                "gw.example",
                "https",
                ("gw.example", Some(true)),
            ),
            // The proxy added to what the client made up.
            (
                "1.1.1.1, 198.51.100.1",
                "evil.example, gw.example",
                "http, https",
                ("gw.example", Some(true)),
            ),
            // Two proxies, each with its element, or the second with that of the first.
            (
                "198.51.100.1, 10.0.0.9",
                "evil.example, gw.example:8443, inner",
                "https, http",
                ("gw.example:8443", Some(true)),
            ),
            (
                "198.51.100.1, 10.0.0.9",
                "gw.example",
                "HTTPS",
                ("gw.example", Some(true)),
            ),
            ("198.51.100.1", "", "gopher", ("", None)),
        ] {
            let told = told(
                Dialect::XForwarded,
                "10.0.0.1",
                &[
                    ("x-forwarded-for", client),
                    ("x-forwarded-host", host),
                    ("x-forwarded-proto", proto),
                ],
            );
            let (host, https) = expected;
            assert_eq!(
                all_of(&told),
                ("198.51.100.1".to_owned(), host, https),
                "{client}"
            );
        }
        // A balancer that tells no address.
        let alone = told(
            Dialect::XForwarded,
            "10.0.0.1",
            &[("x-forwarded-host", "gw.example")],
        );
        assert_eq!(all_of(&alone), ("10.0.0.1".to_owned(), "gw.example", None));
    }

    // SEC-58
    #[test]
    fn the_standard_header_is_read_by_the_same_rules() {
        let lines = [
            ("forwarded", "for=1.1.1.1;host=evil.example"),
            (
                "forwarded",
                r#"For="[2001:db8::7]:4711"; Host="gw.example" ;proto=https, for=10.0.0.9;host=inner;proto=http"#,
            ),
        ];
        for dialect in [Dialect::XForwarded, Dialect::Forwarded] {
            assert_eq!(
                all_of(&told(dialect, "10.0.0.1", &lines)),
                ("2001:db8::7".to_owned(), "gw.example", Some(true))
            );
        }
        let hidden = [("forwarded", r#"for=_secret;proto=https;host="a\"b""#)];
        assert_eq!(
            all_of(&told(Dialect::Forwarded, "10.0.0.1", &hidden)),
            ("10.0.0.1".to_owned(), "a\"b", Some(true))
        );
        let broken = [("forwarded", r#"for="198.51.100.1"#)];
        assert_eq!(
            all_of(&told(Dialect::Forwarded, "10.0.0.1", &broken)),
            ("10.0.0.1".to_owned(), "", None)
        );
    }

    // SEC-58
    #[test]
    fn a_header_that_the_proxies_do_not_set_is_not_believed() {
        let both = [
            ("forwarded", "for=198.51.100.1;host=std.example;proto=https"),
            ("x-forwarded-for", "198.51.100.2"),
            ("x-forwarded-host", "x.example"),
        ];
        assert_eq!(
            all_of(&told(Dialect::XForwarded, "10.0.0.1", &both)),
            ("198.51.100.2".to_owned(), "x.example", None)
        );
        assert_eq!(
            all_of(&told(Dialect::Forwarded, "10.0.0.1", &both)),
            ("198.51.100.1".to_owned(), "std.example", Some(true))
        );
        // A proxy that tells the scheme and nothing else lets a client's header through.
        for (name, value) in [
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "x.example"),
        ] {
            let lines = [
                ("forwarded", "for=198.51.100.1;host=std.example;proto=https"),
                (name, value),
            ];
            let told = told(Dialect::XForwarded, "10.0.0.1", &lines);
            let (address, host, https) = all_of(&told);
            assert_eq!(address, "10.0.0.1");
            assert!(host != "std.example" && https != Some(true), "{name}");
        }
    }
}
