//! Outgoing requests: one connector for all, and a set of rules for each kind of use.

use std::sync::Arc;

use anyhow::Context as _;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, SystemResolver};
use net::egress::rules::Rules;

use crate::config::Loaded;
use crate::files;

/// The connector: the host map before DNS, and the roots that are trusted besides those of the system.
pub(crate) fn connector(
    loaded: &Loaded,
    local_ca_pem: Option<&str>,
) -> anyhow::Result<Arc<Connector>> {
    let mut roots = ExtraRoots::default();
    for named in &loaded.config.egress.extra_ca_files {
        let path = loaded.path(named);
        let pem = files::read_text(&path)?;
        roots
            .add_pem(pem.as_bytes())
            .with_context(|| format!("the file `{}` can't be used", path.display()))?;
    }
    if let Some(pem) = local_ca_pem {
        roots
            .add_pem(pem.as_bytes())
            .context("the local CA can't be used")?;
    }
    let names = loaded
        .config
        .egress
        .hosts
        .iter()
        .map(|(name, address)| (name.clone(), address.0));
    let resolver = HostMap::new(names, Arc::new(SystemResolver));
    Ok(Arc::new(Connector::new(Arc::new(resolver), roots)))
}

/// The rules for URLs that the operator wrote: discovery, keys, targets, upstreams.
pub(crate) fn operators_rules(loaded: &Loaded) -> Rules {
    let allow_networks = loaded
        .config
        .egress
        .allow_networks
        .iter()
        .map(|network| network.0)
        .collect();
    // The operator's URLs say themselves whether they are http; a stranger has no say in them.
    Rules {
        allow_networks,
        allow_http: true,
        ports: None,
    }
}
