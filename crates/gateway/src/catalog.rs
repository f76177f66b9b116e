//! What all targets offer as one list for each feature: an immutable snapshot that requests read without waiting.

pub(crate) mod entry;
pub(crate) mod name;
mod one;
mod owners;
pub(crate) mod page;
mod routes;

use std::sync::Arc;

use mcp::feature::{Feature, PerFeature};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::entry::{Entry, Measured};
pub use self::one::TargetState;
pub(crate) use self::one::{Catalog, Making, Revisions};

/// The lists of all features.
#[derive(Debug)]
pub(crate) struct Catalogs {
    all: PerFeature<Arc<Catalog>>,
    revisions: Arc<watch::Sender<Revisions>>,
}

impl Catalogs {
    pub(crate) fn new(making: &Making<'_>, targets: Vec<Measured>) -> Self {
        let revisions = Arc::new(watch::Sender::new(Revisions::default()));
        let targets = targets.into();
        Self {
            all: PerFeature::of(|feature| {
                let catalog = Catalog::new(feature, making, &targets, &revisions);
                Arc::new(catalog)
            }),
            revisions,
        }
    }

    /// That of one feature.
    pub(crate) const fn of(&self, feature: Feature) -> &Arc<Catalog> {
        self.all.get(feature)
    }

    /// Keeps all snapshots current until `stop`, if they are not kept so already.
    pub(crate) fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        for (_, catalog) in self.all.iter() {
            catalog.start(tasks, stop);
        }
    }

    /// Makes all snapshots anew.
    pub(crate) async fn rebuild(&self) {
        for (_, catalog) in self.all.iter() {
            catalog.rebuild().await;
        }
    }

    /// What a client asks for by this name, as far as is known: what is listed, or where a URI leads that no list has.
    pub(crate) fn find(&self, feature: Feature, name: &str) -> Option<Arc<Entry>> {
        let listed = self.of(feature).snapshot().find(name).cloned();
        listed.or_else(|| match feature {
            Feature::Tools | Feature::Prompts => self.of(feature).at_dynamic(name),
            Feature::Resources => self.of(feature).at_owner(name).or_else(|| {
                let templates = self.of(Feature::ResourceTemplates).snapshot();
                Some(templates.routes.find(name)?.at(name))
            }),
            // Who completes a template may refer to it by what became of it.
            Feature::ResourceTemplates => self.find(Feature::Resources, name),
        })
    }

    /// The same, after asking where it would be: it may be new. A resource that nobody lists is that of the first target that
    /// has resources at all, which says whether there is one.
    pub(crate) async fn found_anew(&self, feature: Feature, name: &str) -> Option<Arc<Entry>> {
        let listed = self.of(feature).found_anew(name);
        let Some(templates) = self.templates(feature) else {
            let listed = listed.await;
            return listed.or_else(|| self.of(feature).first_to_have(name));
        };
        let (listed, _) = futures_util::future::join(listed, templates.found_anew(name)).await;
        listed
            .or_else(|| self.find(feature, name))
            .or_else(|| self.of(feature).first_to_have(name))
    }

    /// The templates of what is asked for.
    fn templates(&self, feature: Feature) -> Option<&Arc<Catalog>> {
        (feature == Feature::Resources).then(|| self.of(Feature::ResourceTemplates))
    }

    /// How it stands with each target.
    pub(crate) fn states(&self) -> Vec<TargetState> {
        self.of(Feature::Tools).states()
    }

    /// Says when a list changes.
    pub(crate) fn changes(&self) -> watch::Receiver<Revisions> {
        self.revisions.subscribe()
    }

    /// Whether they show other entries than others, or show them otherwise; and of which revisions it was said.
    pub(crate) fn differ_from(&self, other: &Self) -> (PerFeature<bool>, Revisions) {
        let compared = PerFeature::of(|feature| self.of(feature).differs_from(other.of(feature)));
        let differ = PerFeature::of(|feature| compared.get(feature).0);
        (differ, PerFeature::of(|feature| compared.get(feature).1))
    }
}

#[cfg(test)]
mod tests {
    use model::gateway::ToolNames;
    use model::target::{Target as Declared, TargetKind};
    use net::egress::connect::{Connector, ExtraRoots};
    use net::egress::pool::{self, Pool};
    use net::egress::resolve::SystemResolver;
    use net::egress::rules::Rules;
    use targets::Target;
    use testkit::fake_mcp::{FakeMcp, Script};

    use super::*;
    use crate::metrics::Metrics;

    // UC-11: whoever asks before the snapshot is made anew in the background gets no empty list.
    #[tokio::test]
    async fn what_a_target_has_listed_by_now_is_shown() {
        let upstream = FakeMcp::start(Script::dual()).await.unwrap();
        let connector = Connector::new(Arc::new(SystemResolver::default()), ExtraRoots::default());
        let rules = Rules {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ports: None,
        };
        let pool = Pool::new(Arc::new(connector), rules, pool::Settings::default());
        let kind = TargetKind::mcp(upstream.url().parse().unwrap());
        let declared = Declared::new("t".parse().unwrap(), kind);
        let target = Target::new(declared, &pool, TaskTracker::new()).unwrap();
        let making = Making {
            gateway: "g",
            names: ToolNames::Prefixed,
            server_info: "{}",
            page_size: 10,
        };
        let measured = Measured {
            target: target.clone(),
            calls: Metrics::default().calls(&"g".into(), &"t".into()).into(),
        };
        let catalogs = Catalogs::new(&making, vec![measured]);
        target.list(Feature::Tools).await.unwrap();
        let shown = catalogs.of(Feature::Tools).settled().await;
        assert!(shown.find("t___echo").is_some());
    }
}
