//! Texts with a grammar: web addresses, socket addresses, networks, names.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use model::claims::mapper::ClaimName;
use model::client_policy::DomainPattern;
use model::gateway::GatewayName;
use model::listing::UriPrefix;
use model::mail::MailAddress;
use model::network::{BadNetwork, Network};
use model::realm::RealmName;
use model::span::{BadSpan, SomeTime, Span};
use model::target::TargetName;
use model::text::{ClientIdText, ScopeText, Text};
use model::traits::{AttributeName, Group};
use model::user::Username;
pub(crate) use model::web_url::WebUrl;
use model::web_url::{BadWebUrl, IssuerUrl, ResourceUrl};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is not what its key wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfit {
    /// What was expected, as "a duration such as …".
    pub(crate) expected: &'static str,
    /// What to do about it.
    pub(crate) hint: Option<&'static str>,
}

/// Checks `text` against the grammar that the schema calls `format`. A format that is not ours accepts everything.
pub(crate) fn check(format: &str, text: &str) -> Result<(), Unfit> {
    match format {
        Span::FORMAT => duration(text).map(drop),
        SomeTime::FORMAT => match duration(text)? {
            Span(Duration::ZERO) => Err(Unfit {
                expected: "a duration above zero",
                hint: Some("leave the key out for its default"),
            }),
            _ => Ok(()),
        },
        WebUrl::FORMAT => web_url(text),
        Address::FORMAT => Address::parse(text).map(drop),
        Network::FORMAT => network(text),
        GatewayName::FORMAT => fits::<GatewayName>(text),
        TargetName::FORMAT => fits::<TargetName>(text),
        UriPrefix::FORMAT => fits::<UriPrefix>(text),
        ScopeText::FORMAT => fits::<ScopeText>(text),
        ClientIdText::FORMAT => fits::<ClientIdText>(text),
        IssuerUrl::FORMAT => web_url(text).and_then(|()| fits::<IssuerUrl>(text)),
        ResourceUrl::FORMAT => web_url(text).and_then(|()| fits::<ResourceUrl>(text)),
        RealmName::FORMAT => fits::<RealmName>(text),
        Username::FORMAT => fits::<Username>(text),
        MailAddress::FORMAT => fits::<MailAddress>(text),
        Name::FORMAT => Name::parse(text).map(drop),
        HostPattern::FORMAT => HostPattern::parse(text).map(drop),
        DomainPattern::FORMAT => fits::<DomainPattern>(text).map_err(|unfit| Unfit {
            hint: HOST_HINT,
            ..unfit
        }),
        Group::FORMAT => fits::<Group>(text),
        AttributeName::FORMAT => fits::<AttributeName>(text),
        ClaimName::FORMAT => fits::<ClaimName>(text),
        _ => Ok(()),
    }
}

fn web_url(text: &str) -> Result<(), Unfit> {
    text.parse::<WebUrl>().map(drop).map_err(|bad| Unfit {
        expected: "an absolute http or https URL",
        hint: Some(match bad {
            BadWebUrl::NotOfTheWeb => "begin it with https://",
            BadWebUrl::UserInformation => "leave out the user name and password",
            BadWebUrl::Fragment => "leave out the fragment, `#` and what follows",
        }),
    })
}

fn network(text: &str) -> Result<(), Unfit> {
    text.parse::<Network>().map(drop).map_err(|bad| match bad {
        BadNetwork::Malformed => Unfit {
            expected: Network::EXPECTED,
            hint: Some("write the address, a slash and the prefix length"),
        },
        BadNetwork::BitsBehindPrefix => Unfit {
            expected: "a network: bits behind the prefix are set",
            hint: Some("set the bits behind the prefix to zero, or use a longer prefix"),
        },
    })
}

/// Whether a text is one of a kind that the model knows.
fn fits<T: Text>(text: &str) -> Result<(), Unfit> {
    let unfit = Unfit {
        expected: T::EXPECTED,
        hint: None,
    };
    text.parse::<T>().map(drop).map_err(|_| unfit)
}

const HOST_HINT: Option<&str> =
    Some("leave out scheme, port and path; `*` can only stand before the first dot");

fn duration(text: &str) -> Result<Span, Unfit> {
    text.parse().map_err(|BadSpan| Unfit {
        expected: "a duration such as `60s`, `10m`, `12h` or `14d`",
        hint: Some("write a whole number directly followed by its unit: ms, s, m, h or d"),
    })
}

macro_rules! scalar {
    ($(#[$meta:meta])* $name:ident($inner:ty), $format:literal, $example:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub(crate) struct $name(pub(crate) $inner);

        impl $name {
            const FORMAT: &'static str = $format;
        }

        impl TryFrom<String> for $name {
            type Error = Unfit;

            fn try_from(text: String) -> Result<Self, Unfit> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

scalar!(
    /// An IP address and a port: `127.0.0.1:8480`, `[::]:443`.
    Address(SocketAddr), "socket-address", "127.0.0.1:8480"
);

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, Unfit> {
        let hint = if text.starts_with(':') {
            "write 0.0.0.0 before the colon to listen on all addresses"
        } else {
            "a host name can't be used here; 0.0.0.0 and [::] mean all addresses"
        };
        let unfit = Unfit {
            expected: "an IP address and a port such as `127.0.0.1:8480`",
            hint: Some(hint),
        };
        text.parse().map(Self).map_err(|_| unfit)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

scalar!(
    /// A name: letters, digits and hyphens.
    Name(String), "name", "my-mcp-server"
);

impl Name {
    pub(crate) fn parse(text: &str) -> Result<Self, Unfit> {
        let fits = !text.is_empty()
            && text.len() <= 64
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Unfit {
            expected: "a name of letters, digits and hyphens",
            hint: Some("use 1 to 64 of A-Z a-z 0-9 and -"),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

scalar!(
    /// A host name, or `*.` and a domain for every name below it.
    HostPattern(String), "host-pattern", "*.example.com"
);

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Unfit> {
        let unfit = Unfit {
            expected: "a host name such as `app.example.com` or `*.example.com`",
            hint: HOST_HINT,
        };
        let host = text.strip_prefix("*.").unwrap_or(text);
        match url::Host::parse(host) {
            Ok(url::Host::Domain(name)) if !name.contains('*') => {
                Ok(Self(if host.len() == text.len() {
                    name
                } else {
                    format!("*.{name}")
                }))
            }
            Ok(url::Host::Ipv4(_) | url::Host::Ipv6(_)) if host.len() == text.len() => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(unfit),
        }
    }

    /// Whether it stands for a host, which is in lower case; an address with or without brackets.
    pub(crate) fn fits(&self, host: &str) -> bool {
        match self.0.strip_prefix("*.") {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => self.0.trim_matches(['[', ']']) == host.trim_matches(['[', ']']),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_with_bits_behind_its_prefix_is_refused() {
        let refused = check(Network::FORMAT, "10.1.0.0/8").unwrap_err();
        assert!(refused.expected.contains("bits behind the prefix"));
        assert!(check(Network::FORMAT, "192.0.2.1").is_ok());
    }

    #[test]
    fn a_host_pattern_with_a_star_stands_for_every_name_below_its_domain() {
        let fits = |pattern: &str, host: &str| HostPattern::parse(pattern).unwrap().fits(host);
        assert!(fits("*.example.com", "a.example.com") && fits("*.example.com", "a.b.example.com"));
        assert!(fits("a.example.com", "a.example.com") && fits("[::1]", "::1"));
        for host in [
            "example.com",
            ".example.com",
            "aexample.com",
            "a.example.org",
        ] {
            assert!(!fits("*.example.com", host), "{host}");
        }
        assert!(!fits("a.example.com", "b.a.example.com"));
    }

    #[test]
    fn host_patterns_have_a_star_only_in_front() {
        assert!(HostPattern::parse("*.example.com").is_ok());
        assert!(HostPattern::parse("LOCALHOST").is_ok_and(|pattern| pattern.0 == "localhost"));
        for text in ["a.*.com", "https://a.example", "a.example:80", "*", "*.*.a"] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
