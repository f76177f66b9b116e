//! `listeners` into what `net::edge` needs, and which host names they answer for.

use std::collections::BTreeSet;

use crate::config::binding;
use crate::config::file::Config;
use crate::config::listener::Listener;

/// The host names and addresses that `listener` answers for, in the order of the alphabet.
pub(crate) fn hosts(config: &Config, listener: &Listener) -> Vec<String> {
    let all: BTreeSet<String> = binding::services(config)
        .into_iter()
        .filter(|service| binding::reach(config, listener, &service.url).is_some())
        .map(|service| service.url.host().trim_matches(['[', ']']).to_owned())
        .collect();
    all.into_iter().collect()
}
