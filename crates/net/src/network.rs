//! Who may be one and the same: what is bounded by address is bounded by network, as whoever has one IPv6 address has many.

use std::net::{IpAddr, Ipv6Addr};

/// One household: the address itself, or the /64 of an IPv6 address.
pub fn household(address: IpAddr) -> IpAddr {
    first(address, 4)
}

/// What one subscriber may get as a whole: the address itself, or the /48 of an IPv6 address. It holds many households.
pub fn site(address: IpAddr) -> IpAddr {
    first(address, 3)
}

/// The first segments of an IPv6 address, the others zero. An IPv4 address that is written as one of IPv6 is none.
fn first(address: IpAddr, segments: usize) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let mut kept = [0; 8];
            for (kept, segment) in kept.iter_mut().zip(address.segments()).take(segments) {
                *kept = segment;
            }
            IpAddr::V6(Ipv6Addr::from(kept))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-53
    #[test]
    fn neighbours_are_one_network_and_neighbouring_networks_one_site() {
        let [first, neighbour, next, other] = [
            "2001:db8:1:2::7",
            "2001:db8:1:2:ffff::1",
            "2001:db8:1:3::7",
            "2001:db8:2:2::7",
        ]
        .map(|text| text.parse().unwrap());
        assert_eq!(household(first).to_string(), "2001:db8:1:2::");
        assert_eq!(household(first), household(neighbour));
        assert_ne!(household(first), household(next));
        assert_eq!(site(first).to_string(), "2001:db8:1::");
        assert_eq!(site(first), site(next));
        assert_ne!(site(first), site(other));
    }

    // SEC-53
    #[test]
    fn an_ipv4_address_is_a_network_of_its_own_however_it_is_written() {
        for text in ["192.0.2.1", "::ffff:192.0.2.1"] {
            let address = text.parse().unwrap();
            assert_eq!(household(address).to_string(), "192.0.2.1");
            assert_eq!(site(address).to_string(), "192.0.2.1");
        }
    }
}
