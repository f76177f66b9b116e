//! Which URLs may be asked for and which addresses may be dialled.
//!
//! The answer to server-side request forgery: every address a name resolves to is checked against
//! the special-use blocks of RFC 6890 and its successors, and only a checked address is dialled
//! (SEC-21, SEC-35; MCP CI-15).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// What a kind of outgoing request may reach. The default allows public https on any port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Networks that may be dialled although they are special-use, for instance the operator's own.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http://` is allowed beside `https://`.
    pub allow_http: bool,
    /// The only ports allowed; `None` allows all.
    pub ports: Option<Vec<u16>>,
}

/// Why a URL or an address is not dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither `https` nor `http`.
    #[error("scheme `{scheme}` is not one of `https` and `http`")]
    Scheme {
        /// What the URL has.
        scheme: String,
    },
    /// Plain `http` where only `https` is allowed.
    #[error("plain http is not allowed here")]
    PlainHttp,
    /// The URL names no host.
    #[error("URL has no host")]
    NoHost,
    /// The URL carries a user name or password.
    #[error("URL carries user information")]
    UserInformation,
    /// The port is not one of those allowed.
    #[error("port {port} is not allowed")]
    Port {
        /// The URL's port, explicit or by scheme.
        port: u16,
    },
    /// The address, or one of the addresses of the name, belongs to a special-use block.
    #[error("address {address} is special-use ({block})")]
    SpecialUse {
        /// The address that may not be dialled.
        address: IpAddr,
        /// The block it belongs to.
        block: SpecialUse,
    },
}

/// A special-use address block: RFC 6890 with the additions of the IANA registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `0.0.0.0/8`, RFC 791 §3.2.
    ThisNetwork,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, RFC 1918.
    Private,
    /// `100.64.0.0/10`, RFC 6598.
    SharedAddressSpace,
    /// `127.0.0.0/8` and `::1`, RFC 1122, RFC 4291.
    Loopback,
    /// `169.254.0.0/16` and `fe80::/10`; cloud metadata services live here.
    LinkLocal,
    /// `192.0.0.0/24`, RFC 6890 §2.1.
    ProtocolAssignments,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32`, `3fff::/20`.
    Documentation,
    /// `192.31.196.0/24`, `192.175.48.0/24`, `2620:4f:8000::/48`, RFC 7534, RFC 7535.
    As112,
    /// `192.52.193.0/24` and `2001:3::/32`, RFC 7450.
    Amt,
    /// `192.88.99.0/24`, RFC 7526.
    SixToFourRelay,
    /// `198.18.0.0/15` and `2001:2::/48`, RFC 2544, RFC 5180.
    Benchmarking,
    /// `224.0.0.0/4` and `ff00::/8`.
    Multicast,
    /// `240.0.0.0/4`, RFC 1112 §4.
    Reserved,
    /// `255.255.255.255`.
    Broadcast,
    /// `::`, RFC 4291.
    Unspecified,
    /// `::/96`, RFC 4291 §2.5.5.1.
    Ipv4Compatible,
    /// `::ffff:0:0/96`, RFC 4291 §2.5.5.2.
    Ipv4Mapped,
    /// `::ffff:0:0:0/96`, RFC 2765.
    Ipv4Translated,
    /// `64:ff9b::/96` and `64:ff9b:1::/48`, RFC 6052, RFC 8215.
    Nat64,
    /// `100::/64` and `100:0:0:1::/64`, RFC 6666, RFC 9780.
    DiscardOnly,
    /// `2001::/23` without a more exact name: Teredo, ORCHID, benchmarking and the like.
    IetfProtocol,
    /// `2002::/16`, RFC 3056: may carry a private IPv4 address.
    SixToFour,
    /// `5f00::/16`, RFC 9602.
    SegmentRouting,
    /// `fc00::/7`, RFC 4193.
    UniqueLocal,
    /// `fec0::/10`, RFC 3879.
    SiteLocal,
    /// Outside `2000::/3`, the only unicast space that is handed out.
    NotGlobalUnicast,
}

impl std::fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ThisNetwork => "this network",
            Self::Private => "private",
            Self::SharedAddressSpace => "shared address space",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::ProtocolAssignments => "protocol assignments",
            Self::Documentation => "documentation",
            Self::As112 => "AS112",
            Self::Amt => "multicast tunnelling",
            Self::SixToFourRelay => "6to4 relay",
            Self::Benchmarking => "benchmarking",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Broadcast => "broadcast",
            Self::Unspecified => "unspecified",
            Self::Ipv4Compatible => "IPv4-compatible",
            Self::Ipv4Mapped => "IPv4-mapped",
            Self::Ipv4Translated => "IPv4-translated",
            Self::Nat64 => "NAT64",
            Self::DiscardOnly => "discard-only",
            Self::IetfProtocol => "IETF protocol",
            Self::SixToFour => "6to4",
            Self::SegmentRouting => "segment routing",
            Self::UniqueLocal => "unique local",
            Self::SiteLocal => "site-local",
            Self::NotGlobalUnicast => "not global unicast",
        })
    }
}

/// Where a URL leads: scheme, host and port, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A lower-case name without a final dot, or an address without brackets.
    pub host: Box<str>,
    /// The port, explicit or by scheme.
    pub port: u16,
}

impl Destination {
    /// Takes the destination out of a URL without asking any rules.
    pub fn of(url: &Url) -> Result<Self, Refusal> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => {
                return Err(Refusal::Scheme {
                    scheme: other.to_owned(),
                });
            }
        };
        let host = match url.host() {
            None => return Err(Refusal::NoHost),
            Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_lowercase(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
        };
        if host.is_empty() {
            return Err(Refusal::NoHost);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInformation);
        }
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self {
            tls,
            host: host.into(),
            port,
        })
    }

    /// `host` or `host:port` as a `Host` header has it: the scheme's own port is left out.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl Rules {
    /// Checks what can be checked without resolving the name.
    pub fn check_url(&self, url: &Url) -> Result<Destination, Refusal> {
        let destination = Destination::of(url)?;
        self.check_destination(&destination)?;
        Ok(destination)
    }

    /// Checks scheme and port, and the address when the host is one.
    pub fn check_destination(&self, destination: &Destination) -> Result<(), Refusal> {
        if !destination.tls && !self.allow_http {
            return Err(Refusal::PlainHttp);
        }
        if let Some(ports) = &self.ports
            && !ports.contains(&destination.port)
        {
            return Err(Refusal::Port {
                port: destination.port,
            });
        }
        match destination.host.parse() {
            Ok(address) => self.check_address(address),
            Err(_name) => Ok(()),
        }
    }

    /// Checks one address that is about to be dialled.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        match special_use(address) {
            None => Ok(()),
            Some(_)
                if self
                    .allow_networks
                    .iter()
                    .any(|network| network.contains(&address)) =>
            {
                Ok(())
            }
            Some(block) => Err(Refusal::SpecialUse { address, block }),
        }
    }
}

/// The special-use block of an address, or `None` for an ordinary public one.
pub fn special_use(address: IpAddr) -> Option<SpecialUse> {
    match address {
        IpAddr::V4(address) => special_use_v4(address),
        IpAddr::V6(address) => special_use_v6(address),
    }
}

fn special_use_v4(address: Ipv4Addr) -> Option<SpecialUse> {
    Some(match address.octets() {
        [0, ..] => SpecialUse::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => SpecialUse::Private,
        [100, 64..=127, ..] => SpecialUse::SharedAddressSpace,
        [127, ..] => SpecialUse::Loopback,
        [169, 254, ..] => SpecialUse::LinkLocal,
        [192, 0, 0, _] => SpecialUse::ProtocolAssignments,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => SpecialUse::Documentation,
        [192, 31, 196, _] | [192, 175, 48, _] => SpecialUse::As112,
        [192, 52, 193, _] => SpecialUse::Amt,
        [192, 88, 99, _] => SpecialUse::SixToFourRelay,
        [198, 18 | 19, ..] => SpecialUse::Benchmarking,
        [224..=239, ..] => SpecialUse::Multicast,
        [255, 255, 255, 255] => SpecialUse::Broadcast,
        [240..=255, ..] => SpecialUse::Reserved,
        _ => return None,
    })
}

fn special_use_v6(address: Ipv6Addr) -> Option<SpecialUse> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => SpecialUse::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => SpecialUse::Loopback,
        [0, 0, 0, 0, 0, 0, _, _] => SpecialUse::Ipv4Compatible,
        [0, 0, 0, 0, 0, 0xffff, _, _] => SpecialUse::Ipv4Mapped,
        [0, 0, 0, 0, 0xffff, 0, _, _] => SpecialUse::Ipv4Translated,
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, ..] => SpecialUse::Nat64,
        [0x100, 0, 0, 0 | 1, ..] => SpecialUse::DiscardOnly,
        [0x2001, 2, 0, ..] => SpecialUse::Benchmarking,
        [0x2001, 3, ..] => SpecialUse::Amt,
        [0x2001, 4, 0x112, ..] | [0x2620, 0x4f, 0x8000, ..] => SpecialUse::As112,
        [0x2001, 0..=0x1ff, ..] => SpecialUse::IetfProtocol,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => SpecialUse::Documentation,
        [0x2002, ..] => SpecialUse::SixToFour,
        [0x5f00, ..] => SpecialUse::SegmentRouting,
        [0xfc00..=0xfdff, ..] => SpecialUse::UniqueLocal,
        [0xfe80..=0xfebf, ..] => SpecialUse::LinkLocal,
        [0xfec0..=0xfeff, ..] => SpecialUse::SiteLocal,
        [0xff00..=0xffff, ..] => SpecialUse::Multicast,
        [0x2000..=0x3fff, ..] => return None,
        _ => SpecialUse::NotGlobalUnicast,
    })
}
