//! A range of addresses as operators write it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::text::setting;

/// A network in CIDR notation, `10.0.0.0/8`; a single address means itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(pub IpNet);

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is neither an address nor one with a prefix.
    #[error("expected a network such as `10.0.0.0/8`")]
    Malformed,
    /// It could be meant otherwise.
    #[error("expected a network: bits behind the prefix are set")]
    BitsBehindPrefix,
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| BadNetwork::Malformed)?;
        if network.addr() == network.network() {
            Ok(Self(network))
        } else {
            Err(BadNetwork::BitsBehindPrefix)
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

setting!(
    Network,
    "ip-network",
    "a network such as `10.0.0.0/8`",
    "10.0.0.0/8"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_bits_behind_its_prefix() {
        assert_eq!(
            "10.1.0.0/8".parse::<Network>(),
            Err(BadNetwork::BitsBehindPrefix)
        );
        assert_eq!("10/8".parse::<Network>(), Err(BadNetwork::Malformed));
        let one: Network = "192.0.2.1".parse().unwrap();
        assert_eq!(one.to_string(), "192.0.2.1/32");
    }
}
