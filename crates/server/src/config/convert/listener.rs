//! `listeners` into what `net::edge` needs, and which host names they answer for.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::config::crosscheck::{arrives_at, served_urls};
use crate::config::listener::Listener;

/// The host names and addresses that `listener` answers for, in the order of the alphabet.
pub(crate) fn hosts(config: &Config, listener: &Listener) -> Vec<String> {
    let all: BTreeSet<String> = served_urls(config)
        .into_iter()
        .filter(|(_, url)| arrives_at(url, listener))
        .map(|(_, url)| url.host().trim_matches(['[', ']']).to_owned())
        .collect();
    all.into_iter().collect()
}
