//! Outgoing requests: one connector for all, and a set of rules for each kind of use.

use std::sync::Arc;

use anyhow::Context as _;
use net::edge::places::Places;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, Resolver, SystemResolver};
use net::egress::rules::Destination;

use crate::config::Loaded;
use crate::files;

/// The connectors of one configuration. They differ in whose names wait for one another.
#[derive(Clone)]
pub(crate) struct Connectors {
    /// For what the operator named.
    pub(crate) operators: Arc<Connector>,
    /// For what strangers name: however many of their names hang, the operator's don't (SEC-89).
    pub(crate) strangers: Arc<Connector>,
}

/// What looks names up, for as long as the process lives: lookups that hang are counted over all configurations.
#[derive(Default)]
pub(crate) struct Resolvers {
    operators: SystemResolver,
    strangers: SystemResolver,
}

/// The connectors: the host map before DNS, and the roots that are trusted besides those of the system.
pub(crate) fn connectors(
    loaded: &Loaded,
    local_ca_pem: Option<&str>,
    resolvers: &Resolvers,
    places: &Arc<Places<Destination>>,
) -> anyhow::Result<Connectors> {
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
    let mapped = |resolver: &SystemResolver| -> Arc<dyn Resolver> {
        let names = loaded
            .config
            .egress
            .hosts
            .iter()
            .map(|(name, address)| (name.clone(), address.0));
        Arc::new(HostMap::new(names, Arc::new(resolver.clone())))
    };
    let operators = Connector::new(mapped(&resolvers.operators), roots).within(Arc::clone(places));
    let strangers = operators.resolving_with(mapped(&resolvers.strangers));
    Ok(Connectors {
        operators: Arc::new(operators),
        strangers: Arc::new(strangers),
    })
}

/// Everything that decides how outgoing requests are made, with the content of all files: where it is the same, they are
/// made alike.
pub(crate) fn declared(loaded: &Loaded, local_ca_pem: Option<&str>) -> anyhow::Result<String> {
    let egress = &loaded.config.egress;
    let mut declared =
        serde_json::to_string(egress).context("the configuration can't be written")?;
    for named in &egress.extra_ca_files {
        declared.push_str(&files::read_text(&loaded.path(named))?);
    }
    declared.push_str(local_ca_pem.unwrap_or_default());
    Ok(declared)
}
