//! What counters call the network of a visitor: one address of IPv4, or what one customer gets of IPv6.

use std::net::IpAddr;

use net::network;

/// The name of a visitor's network in counters.
pub(crate) fn name(address: IpAddr) -> String {
    network::household(address).to_string()
}

/// The name of the site that a visitor's network may belong to. An IPv4 address belongs to none.
pub(crate) fn site(address: IpAddr) -> Option<String> {
    match network::site(address) {
        IpAddr::V4(_) => None,
        site @ IpAddr::V6(_) => Some(format!("{site}/48")),
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
