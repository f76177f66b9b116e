//! Which addresses may be dialled: the whole address space against an independent list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use net::egress::rules::{Refusal, Rules, SpecialUse, special_use};
use proptest::prelude::*;

use crate::support::{local_rules, url};

/// The IANA special-purpose registries, as networks.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

fn listed(address: IpAddr) -> bool {
    let global: IpNet = "2000::/3".parse().unwrap();
    SPECIAL
        .iter()
        .any(|network| network.parse::<IpNet>().unwrap().contains(&address))
        || (address.is_ipv6() && !global.contains(&address))
}

fn inside(network: &str) -> impl Strategy<Value = IpAddr> + use<> {
    let network: IpNet = network.parse().unwrap();
    any::<u128>().prop_map(move |random| match network {
        IpNet::V4(network) => {
            let host = u32::try_from(random >> 96).unwrap() & u32::from(network.hostmask());
            Ipv4Addr::from(u32::from(network.network()) | host).into()
        }
        IpNet::V6(network) => {
            let host = random & u128::from(network.hostmask());
            Ipv6Addr::from(u128::from(network.network()) | host).into()
        }
    })
}

fn special() -> impl Strategy<Value = IpAddr> {
    proptest::sample::select(SPECIAL).prop_flat_map(inside)
}

proptest! {
    // SEC-21, CI-15
    #[test]
    fn every_special_use_address_is_refused(address in special()) {
        let refused = matches!(
            Rules::default().check_address(address),
            Err(Refusal::SpecialUse { .. })
        );
        prop_assert!(refused, "{address}");
    }

    // SEC-21
    #[test]
    fn ipv4_addresses_are_refused_exactly_when_listed(bits in any::<u32>()) {
        let address = IpAddr::V4(Ipv4Addr::from(bits));
        prop_assert_eq!(special_use(address).is_some(), listed(address), "{}", address);
    }

    // SEC-21
    #[test]
    fn ipv6_addresses_are_refused_exactly_when_listed(bits in any::<u128>(), global in any::<bool>()) {
        let bits = if global { (bits >> 3) | (1 << 125) } else { bits };
        let address = IpAddr::V6(Ipv6Addr::from(bits));
        prop_assert_eq!(special_use(address).is_some(), listed(address), "{}", address);
    }

    // SEC-21
    #[test]
    fn no_private_ipv4_address_gets_through_inside_an_ipv6_one(bits in any::<u32>()) {
        let [a, b, c, d] = bits.to_be_bytes();
        let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        for address in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, low[0], low[1]),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, low[0], low[1]),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, low[0], low[1]),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, low[0], low[1]),
            Ipv6Addr::new(0x2002, low[0], low[1], 0, 0, 0, 0, 1),
        ] {
            prop_assert!(special_use(address.into()).is_some(), "{}", address);
        }
    }
}

// SEC-21
#[test]
fn the_edges_of_the_blocks_are_where_they_should_be() {
    for public in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::",
        "2003::",
        "2606:4700::1111",
        "3fff:1000::",
    ] {
        assert_eq!(special_use(public.parse().unwrap()), None, "{public}");
    }
}

// SEC-21, SEC-35
#[test]
fn a_refusal_names_the_block() {
    for (address, block) in [
        ("169.254.169.254", SpecialUse::LinkLocal),
        ("127.0.0.1", SpecialUse::Loopback),
        ("::1", SpecialUse::Loopback),
        ("10.1.2.3", SpecialUse::Private),
        ("100.100.100.200", SpecialUse::SharedAddressSpace),
        ("fd00:ec2::254", SpecialUse::UniqueLocal),
        ("::ffff:127.0.0.1", SpecialUse::Ipv4Mapped),
        ("64:ff9b::a9fe:a9fe", SpecialUse::Nat64),
        ("255.255.255.255", SpecialUse::Broadcast),
        ("4000::1", SpecialUse::NotGlobalUnicast),
    ] {
        assert_eq!(
            special_use(address.parse().unwrap()),
            Some(block),
            "{address}"
        );
    }
}

// SEC-35
#[test]
fn an_allowed_network_is_an_exception_for_itself_only() {
    let rules = Rules {
        allow_networks: vec!["10.1.0.0/16".parse().unwrap()],
        ..Rules::default()
    };
    assert!(rules.check_address("10.1.2.3".parse().unwrap()).is_ok());
    assert!(rules.check_address("10.2.2.3".parse().unwrap()).is_err());
    assert!(rules.check_address("127.0.0.1".parse().unwrap()).is_err());
}

// SEC-21
#[test]
fn plain_http_is_refused_where_it_is_not_allowed() {
    let refusal = Rules::default()
        .check_url(&url("http://example.com/"))
        .unwrap_err();
    assert_eq!(refusal, Refusal::PlainHttp);
    assert!(local_rules().check_url(&url("http://example.com/")).is_ok());
}

// SEC-21
#[test]
fn other_schemes_are_refused() {
    for text in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
    ] {
        let refusal = local_rules().check_url(&url(text)).unwrap_err();
        assert!(matches!(refusal, Refusal::Scheme { .. }), "{text}");
    }
}

// SEC-21
#[test]
fn only_listed_ports_are_allowed() {
    let rules = Rules {
        ports: Some(vec![443]),
        ..Rules::default()
    };
    assert!(rules.check_url(&url("https://example.com/")).is_ok());
    let refusal = rules
        .check_url(&url("https://example.com:8443/"))
        .unwrap_err();
    assert_eq!(refusal, Refusal::Port { port: 8443 });
}

// SEC-29
#[test]
fn user_information_is_refused() {
    let refusal = Rules::default()
        .check_url(&url("https://a:b@example.com/"))
        .unwrap_err();
    assert_eq!(refusal, Refusal::UserInformation);
}

// SEC-21, SEC-35
#[test]
fn an_address_in_the_url_is_checked_in_every_spelling() {
    for text in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        let refusal = Rules::default().check_url(&url(text)).unwrap_err();
        assert!(matches!(refusal, Refusal::SpecialUse { .. }), "{text}");
    }
}
