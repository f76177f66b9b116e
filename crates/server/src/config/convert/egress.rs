//! `egress` into the rules for URLs that the operator wrote: discovery, keys, targets, upstreams.

use net::egress::rules::Rules;

use crate::config::file::Config;

/// The operator's URLs say themselves whether they are http; a stranger has no say in them.
pub(crate) fn convert(config: &Config) -> Rules {
    let networks = config.egress.allow_networks.iter();
    Rules {
        allow_networks: networks.map(|network| network.0).collect(),
        allow_http: true,
        ports: None,
    }
}
