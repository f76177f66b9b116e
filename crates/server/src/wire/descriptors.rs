//! How many files the process may open, and who gets how many of them (SEC-86).
//!
//! Every connection is a file. Were clients to take all, nothing could be sent to targets, read from the store, or asked
//! by an operator; so each side has its share, and a rest is kept for everything else.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use net::edge::places::{PlaceLimits, Places};
use net::egress::rules::Destination;

use crate::config::Config;

/// More is not asked for: no limit below needs it.
const ENOUGH: u64 = 1 << 20;
/// What is assumed where the system does not say.
const USUAL: u64 = 1024;
/// Bounds beyond which memory is short before files are.
const MOST_INCOMING: u64 = 20_000;
const MOST_OUTGOING: u64 = 30_000;
/// Connections of operators.
const MANAGEMENT: usize = 32;

/// Who gets how many connections.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// Clients, by network, over all listeners.
    pub(crate) incoming: Arc<Places<IpAddr>>,
    /// Targets, upstreams and issuers.
    pub(crate) outgoing: Arc<Places<Destination>>,
    /// Operators.
    pub(crate) management: Arc<Places<IpAddr>>,
    /// The gateways of this process, as clients of its own demo MCP server.
    pub(crate) demo: Arc<Places<IpAddr>>,
}

/// Raises the soft limit of open files to the hard one: what it is then.
#[cfg(unix)]
pub(crate) fn raise_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let soft = limit.current.unwrap_or(ENOUGH);
    if soft >= wanted {
        return soft;
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, limit = soft, "the limit of open files can't be raised");
            soft
        }
    }
}

/// There is no such limit here.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> u64 {
    ENOUGH
}

impl Shares {
    /// Shares out so many files, as far as the configuration does not say.
    pub(crate) fn of(files: u64, config: &Config) -> Self {
        let files = files.max(USUAL / 8);
        let wanted = &config.connections;
        let given = |value: Option<NonZeroU32>, share: u64| {
            let count = value.map_or(share, |value| u64::from(value.get()));
            usize::try_from(count).unwrap_or(usize::MAX)
        };
        let incoming = given(wanted.incoming, (files / 2).min(MOST_INCOMING));
        let outgoing = given(wanted.outgoing, (files / 8 * 3).min(MOST_OUTGOING));
        let per_address = PlaceLimits::shared(incoming).of_one;
        let per_address = given(wanted.incoming_per_address, per_address as u64);
        if (incoming + outgoing) as u64 + files / 8 > files {
            tracing::warn!(
                files,
                incoming,
                outgoing,
                "the limit of open files is too low for `connections`; hint: raise it (`ulimit -n`, `LimitNOFILE=`), or lower them"
            );
        }
        tracing::debug!(
            files,
            incoming,
            outgoing,
            per_address,
            "files are shared out"
        );
        let to_one = outgoing - outgoing / 4;
        Self {
            incoming: Places::new(PlaceLimits::new(incoming, per_address)),
            outgoing: Places::new(PlaceLimits {
                all: outgoing,
                of_one: to_one,
                of_one_when_crowded: to_one,
            }),
            management: Places::new(PlaceLimits {
                all: MANAGEMENT,
                of_one: MANAGEMENT,
                of_one_when_crowded: MANAGEMENT,
            }),
            demo: Places::new(PlaceLimits {
                all: outgoing,
                of_one: outgoing,
                of_one_when_crowded: outgoing,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(connections: &str) -> Config {
        let text = format!("connections: {connections}\n");
        crate::config::Loaded::parse(&text, "f.yaml", std::path::PathBuf::new())
            .unwrap()
            .config
    }

    fn shares(files: u64, connections: &str) -> [usize; 3] {
        let shares = Shares::of(files, &config(connections));
        let incoming = shares.incoming.limits();
        [incoming.all, incoming.of_one, shares.outgoing.limits().all]
    }

    // SEC-86
    #[test]
    fn each_side_has_its_share_and_a_rest_is_kept() {
        for (files, expected) in [
            (1024, [512, 64, 384]),
            (20_000, [10_000, 1024, 7500]),
            (1 << 20, [20_000, 1024, 30_000]),
        ] {
            assert_eq!(shares(files, "{}"), expected, "{files}");
        }
        assert_eq!(
            shares(
                1024,
                "{ incoming: 100, incoming_per_address: 50, outgoing: 10 }"
            ),
            [100, 50, 10]
        );
    }

    #[cfg(unix)]
    #[test]
    fn the_soft_limit_is_the_hard_one_afterwards() {
        use rustix::process::{Resource, getrlimit};
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(ENOUGH), raised);
        assert!(raised >= limit.maximum.unwrap_or(ENOUGH).min(ENOUGH));
    }
}
