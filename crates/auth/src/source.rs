//! Who shares a counter: one IPv4 address, or one IPv6 /64, which is what a single customer gets; the larger ones get a /48.

use std::net::{IpAddr, Ipv6Addr};

/// The name of a visitor's network in counters.
pub(crate) fn name(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
    }
}

/// The name of the site that a visitor's network may belong to. An IPv4 address belongs to none.
pub(crate) fn site(address: IpAddr) -> Option<String> {
    match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Some(format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)))
        }
    }
}

/// The largest network that may be one customer's: the site, where there is one.
pub(crate) fn widest(address: IpAddr) -> String {
    site(address).unwrap_or_else(|| name(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-53
    #[test]
    fn neighbouring_networks_belong_to_one_site() {
        let site = |address: &str| site(address.parse().unwrap());
        assert_eq!(site("192.0.2.1"), None);
        assert_eq!(site("::ffff:192.0.2.1"), None);
        assert_eq!(site("2001:db8:1:2::7"), site("2001:db8:1:ffff::1"));
        assert_ne!(site("2001:db8:1:2::7"), site("2001:db8:2:2::7"));
    }

    // SEC-53
    #[test]
    fn neighbours_in_one_network_share_a_counter() {
        let named = |address: &str| name(address.parse().unwrap());
        assert_eq!(named("192.0.2.1"), "192.0.2.1");
        assert_eq!(named("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(named("2001:db8:1:2::7"), named("2001:db8:1:2:ffff::1"));
        assert_ne!(named("2001:db8:1:2::7"), named("2001:db8:1:3::7"));
    }
}
