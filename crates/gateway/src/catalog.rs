//! What all targets offer as one list for each feature: an immutable snapshot that requests read without waiting.

pub(crate) mod name;
pub(crate) mod page;
mod routes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mcp::feature::{Feature, PerFeature};
use mcp::param_header::ParamHeader;
use mcp::raw::OwnedRaw;
use mcp::result::{CacheHint, CacheScope};
use model::gateway::ToolNames;
use parking_lot::Mutex;
use targets::Target;
use targets::apart;
use targets::error::CallError;
use targets::listing::{List, Listed};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::page::{Page, Shown};
use self::routes::Routes;
use crate::metrics::Calls;

/// How it stands with a target, for who asks whether the gateway can work.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Its name.
    pub name: Arc<str>,
    /// Why its tools could not be listed when that was last tried.
    pub failure: Option<CallError>,
}

/// How long the first requests wait for targets that were not asked for their tools yet.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long clients may keep a list. With the age that a target's list may have it makes a minute.
const LIFE: Duration = Duration::from_secs(30);
/// A target is asked again for a tool that it did not list, unless it was asked so recently.
const ASKED_JUST_NOW: Duration = Duration::from_secs(1);

/// A tool, or what else is listed, as clients see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name that clients call it by.
    pub(crate) name: Arc<str>,
    /// Where it is.
    pub(crate) target: Target,
    /// What it is called there.
    pub(crate) listed_as: Arc<str>,
    /// Arguments that modern clients mirror into headers.
    pub(crate) param_headers: Vec<ParamHeader>,
    /// What is counted about calls to its target.
    pub(crate) calls: Arc<Calls>,
}

impl Entry {
    /// What stands where this does, by this name.
    fn at(&self, name: &str) -> Arc<Self> {
        Self::unlisted(name, &self.target, &self.calls)
    }

    fn unlisted(name: &str, target: &Target, calls: &Arc<Calls>) -> Arc<Self> {
        let name: Arc<str> = name.into();
        Arc::new(Self {
            listed_as: Arc::clone(&name),
            name,
            target: target.clone(),
            param_headers: Vec::new(),
            calls: Arc::clone(calls),
        })
    }
}

/// A list at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    by_name: HashMap<Arc<str>, Arc<Entry>>,
    /// Where URIs lead, in a list of templates.
    routes: Routes<Arc<Entry>>,
    /// At least one, even without tools.
    pages: Vec<Page>,
}

impl Snapshot {
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    /// The page that starts at a cursor; the first one without.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Option<&Page> {
        match cursor {
            None => self.pages.first(),
            Some(cursor) => self.pages.get(page::index(cursor)?),
        }
    }
}

/// A target, and what is counted about calls to it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) target: Target,
    pub(crate) calls: Arc<Calls>,
}

/// The lists of all features.
#[derive(Debug)]
pub(crate) struct Catalogs {
    all: PerFeature<Arc<Catalog>>,
    revisions: Arc<watch::Sender<Revisions>>,
}

/// Counts the different lists that there were of each feature.
pub(crate) type Revisions = PerFeature<u64>;

/// What a catalog is made for.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) gateway: &'a str,
    pub(crate) targets: Vec<Measured>,
    pub(crate) names: ToolNames,
    pub(crate) server_info: &'a str,
    pub(crate) page_size: usize,
}

impl Catalogs {
    pub(crate) fn new(making: Making<'_>) -> Self {
        let revisions = Arc::new(watch::Sender::new(Revisions::default()));
        let targets: Arc<[Measured]> = making.targets.into();
        Self {
            all: PerFeature::of(|feature| {
                let catalog = Catalog {
                    feature,
                    gateway: making.gateway.into(),
                    targets: Arc::clone(&targets),
                    // URIs are unique by themselves, and mean something to clients.
                    names: match feature {
                        Feature::Tools | Feature::Prompts => making.names,
                        Feature::Resources | Feature::ResourceTemplates => ToolNames::Bare,
                    },
                    server_info: making.server_info.into(),
                    page_size: making.page_size.max(1),
                    snapshot: ArcSwap::default(),
                    revisions: Arc::clone(&revisions),
                    shown: AtomicUsize::new(0),
                    building: Mutex::default(),
                    started: AtomicBool::new(false),
                };
                catalog.publish(&[]);
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
            Feature::Tools | Feature::Prompts => None,
            Feature::Resources => {
                let templates = self.of(Feature::ResourceTemplates).snapshot();
                Some(templates.routes.find(name)?.at(name))
            }
            // Who completes a template may refer to it by what became of it.
            Feature::ResourceTemplates => self.find(Feature::Resources, name),
        })
    }

    /// The same, after asking where it would be: it may be new. A resource that nobody lists is that of the first target that
    /// has resources at all, which says whether there is one.
    pub(crate) async fn found_anew(&self, feature: Feature, name: &str) -> Option<Arc<Entry>> {
        let listed = self.of(feature).found_anew(name);
        let Some(templates) = self.templates(feature) else {
            return listed.await;
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

/// Keeps the snapshot of one feature.
#[derive(Debug)]
pub(crate) struct Catalog {
    feature: Feature,
    gateway: Box<str>,
    targets: Arc<[Measured]>,
    names: ToolNames,
    server_info: Box<str>,
    page_size: usize,
    snapshot: ArcSwap<Snapshot>,
    revisions: Arc<watch::Sender<Revisions>>,
    /// How many targets' lists the snapshot is of.
    shown: AtomicUsize,
    building: Mutex<Building>,
    started: AtomicBool,
}

/// What the snapshot was made of.
#[derive(Debug, Default)]
struct Building {
    definitions: Definitions,
    /// The lists of the targets that have one.
    lists: Vec<Weak<List>>,
}

/// The same, to see whether anything changed.
#[derive(Debug, Default, PartialEq)]
struct Definitions {
    shown: Vec<Definition>,
    hidden: Vec<Hidden>,
}

/// A tool whose name another target's has already.
#[derive(Debug, PartialEq)]
struct Hidden {
    name: Arc<str>,
    target: Arc<str>,
    owner: Arc<str>,
}

/// How many of these are said.
const SAID: usize = 20;

#[derive(Clone, Debug, PartialEq)]
struct Definition {
    name: Arc<str>,
    /// A tool that moves to another target is another tool, even if it looks the same.
    target: Arc<str>,
    shown: Shown,
}

impl Catalog {
    /// Keeps the snapshot current until `stop`, if it is not kept so already.
    fn start(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        for Measured { target, .. } in &*self.targets {
            let (catalog, stopped, mut changes) =
                (Arc::clone(self), stop.clone(), target.changes(self.feature));
            tasks.spawn(stopped.run_until_cancelled_owned(async move {
                while changes.changed().await.is_ok() {
                    catalog.rebuild().await;
                }
            }));
        }
    }

    /// The tools as far as they are known.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The same, after waiting a while for targets that never were asked: one that is down keeps nobody longer. What a
    /// target has listed by now for the first time is there.
    pub(crate) async fn settled(self: &Arc<Self>) -> arc_swap::Guard<Arc<Snapshot>> {
        let mut unasked: Vec<&Target> = Vec::new();
        let mut listed = 0;
        for Measured { target, .. } in &*self.targets {
            let listing = target.listing(self.feature);
            match (&listing.list, &listing.failure) {
                (Some(_), _) => listed += 1,
                (None, None) => unasked.push(target),
                (None, Some(_)) => {}
            }
        }
        if !unasked.is_empty() {
            let asking = unasked.into_iter().map(|target| target.list(self.feature));
            let asking = futures_util::future::join_all(asking);
            // What became of it shows in the listings.
            let _ = tokio::time::timeout(PATIENCE, asking).await;
            self.rebuild().await;
        } else if listed > self.shown.load(Ordering::Acquire) {
            self.rebuild().await;
        }
        self.snapshot()
    }

    /// A tool that is not in the snapshot, after asking for it where it would be: it may be new. Targets are not asked
    /// more often than once a second, however many callers miss something.
    pub(crate) async fn found_anew(self: &Arc<Self>, name: &str) -> Option<Arc<Entry>> {
        if let Some(found) = self.settled().await.find(name) {
            return Some(Arc::clone(found));
        }
        let asking = self
            .targets
            .iter()
            .map(|one| &one.target)
            .filter(|target| self.may_have(target, name))
            .map(|target| target.look_again(self.feature, ASKED_JUST_NOW));
        let asking = futures_util::future::join_all(asking);
        let _ = tokio::time::timeout(PATIENCE, asking).await;
        self.rebuild().await;
        self.snapshot().find(name).cloned()
    }

    fn may_have(&self, target: &Target, name: &str) -> bool {
        match self.names {
            ToolNames::Bare => true,
            ToolNames::Prefixed => name
                .split_once(name::SEPARATOR)
                .is_some_and(|(prefix, _)| *prefix == **target.name()),
        }
    }

    /// What is not listed, at the first target that is known to have such things.
    fn first_to_have(&self, name: &str) -> Option<Arc<Entry>> {
        let mut targets = self.targets.iter();
        let has = |one: &&Measured| one.target.offers(self.feature) == Some(true);
        let Measured { target, calls } = targets.find(has)?;
        Some(Entry::unlisted(name, target, calls))
    }

    /// Why a name that would be known otherwise may not be: a target that may have it never listed its tools. Which, and how
    /// that failed.
    pub(crate) fn failure(&self, name: &str) -> Option<(&Measured, CallError)> {
        self.targets
            .iter()
            .filter(|one| self.may_have(&one.target, name))
            .find_map(|one| {
                let listing = one.target.listing(self.feature);
                let failure = listing.failure.as_ref();
                Some((one, failure.filter(|_| listing.list.is_none())?.clone()))
            })
    }

    /// How it stands with each target.
    fn states(&self) -> Vec<TargetState> {
        self.targets
            .iter()
            .map(|Measured { target, .. }| TargetState {
                name: Arc::clone(target.name()),
                failure: target.listing(self.feature).failure.clone(),
            })
            .collect()
    }

    fn differs_from(&self, other: &Self) -> (bool, u64) {
        let theirs = other.building.lock().definitions.shown.clone();
        // Nothing is published meanwhile.
        let ours = self.building.lock();
        let revision = *self.revisions.borrow().get(self.feature);
        (ours.definitions.shown != theirs, revision)
    }

    /// Makes a new snapshot of what the targets list now, apart from the threads that serve if there is much of it.
    pub(crate) async fn rebuild(self: &Arc<Self>) {
        let lists: Vec<_> = self.listed().map(|(_, list)| list).collect();
        // Whoever asks for what is not there comes here each time.
        if are_these(&self.building.lock().lists, &lists) {
            return;
        }
        let size = lists.iter().map(|list| list.bytes).sum();
        let catalog = Arc::clone(self);
        apart::run(size, move || catalog.rebuild_here()).await;
    }

    /// The targets that have a list, with it.
    fn listed(&self) -> impl Iterator<Item = (&Measured, Arc<List>)> {
        self.targets
            .iter()
            .filter_map(|one| Some((one, one.target.listing(self.feature).list.clone()?)))
    }

    /// A target without a list takes no other down with it, and one that fails keeps its last list.
    fn rebuild_here(&self) {
        let mut building = self.building.lock();
        let listings: Vec<_> = self.listed().collect();
        let mut tools: Vec<(Arc<Entry>, Shown)> = Vec::new();
        let mut owners: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        let mut hidden: Vec<Hidden> = Vec::new();
        for (Measured { target, calls }, list) in &listings {
            for tool in &list.entries {
                let (name, shown) = self.exposed(target, tool);
                if let Some(owner) = owners.get(&name) {
                    hidden.push(Hidden {
                        name,
                        target: Arc::clone(target.name()),
                        owner: Arc::clone(owner),
                    });
                    continue;
                }
                owners.insert(name.clone(), Arc::clone(target.name()));
                let entry = Entry {
                    name,
                    target: target.clone(),
                    listed_as: Arc::clone(&tool.name),
                    param_headers: tool.param_headers.clone(),
                    calls: Arc::clone(calls),
                };
                tools.push((Arc::new(entry), shown));
            }
        }
        let definitions = tools.iter().map(|(entry, shown)| Definition {
            name: Arc::clone(&entry.name),
            target: Arc::clone(entry.target.name()),
            shown: shown.clone(),
        });
        let definitions = Definitions {
            shown: definitions.collect(),
            hidden,
        };
        let lists = listings.iter().map(|(_, list)| Arc::downgrade(list));
        building.lists = lists.collect();
        if building.definitions != definitions {
            self.take(&mut building, definitions, &tools);
        }
        self.shown.store(listings.len(), Ordering::Release);
    }

    fn take(
        &self,
        building: &mut Building,
        definitions: Definitions,
        tools: &[(Arc<Entry>, Shown)],
    ) {
        if building.definitions.hidden != definitions.hidden {
            self.say_hidden(&definitions.hidden);
        }
        let changed = building.definitions.shown != definitions.shown;
        building.definitions = definitions;
        if changed {
            self.publish(tools);
            self.revisions
                .send_modify(|revisions| *revisions.get_mut(self.feature) += 1);
        }
    }

    fn say_hidden(&self, hidden: &[Hidden]) {
        for Hidden {
            name,
            target,
            owner,
        } in hidden.iter().take(SAID)
        {
            tracing::error!(
                gateway = %self.gateway, entry = %name, target.name = %target, owner = %owner,
                "{} `{name}` of target `{target}` is hidden: target `{owner}` has one of that {}; hint: {}",
                self.feature.one(),
                self.feature.key(),
                match self.feature {
                    Feature::Tools | Feature::Prompts => "`tool_names: prefixed`",
                    Feature::Resources | Feature::ResourceTemplates => "the target that is declared first has it",
                },
            );
        }
    }

    fn exposed(&self, target: &Target, tool: &Listed) -> (Arc<str>, Shown) {
        let name = match self.names {
            ToolNames::Bare => Arc::clone(&tool.name),
            ToolNames::Prefixed => name::prefixed(target.name(), &tool.name).into(),
        };
        let named = |definition: &OwnedRaw| match self.names {
            ToolNames::Bare => definition.bytes().clone(),
            ToolNames::Prefixed => name::renamed(definition.borrow(), &name),
        };
        let shown = Shown {
            modern: named(&tool.definition),
            legacy: tool.legacy.as_ref().map(named),
        };
        (name, shown)
    }

    fn publish(&self, tools: &[(Arc<Entry>, Shown)]) {
        let hint = CacheHint {
            ttl_ms: u64::try_from(LIFE.as_millis()).unwrap_or(0),
            scope: CacheScope::Private,
        };
        let definitions: Vec<&Shown> = tools.iter().map(|(_, shown)| shown).collect();
        let entries = tools.iter();
        let entries = entries.map(|(entry, _)| (&*entry.name, Arc::clone(entry)));
        let snapshot = Snapshot {
            routes: match self.feature {
                Feature::ResourceTemplates => Routes::of(entries),
                Feature::Tools | Feature::Prompts | Feature::Resources => Routes::default(),
            },
            by_name: tools
                .iter()
                .map(|(entry, _)| (entry.name.clone(), Arc::clone(entry)))
                .collect(),
            pages: page::build(
                self.feature,
                &definitions,
                self.page_size,
                hint,
                &self.server_info,
            ),
        };
        self.snapshot.store(Arc::new(snapshot));
    }
}

/// Whether these are the very things that are remembered.
fn are_these<T>(remembered: &[Weak<T>], these: &[Arc<T>]) -> bool {
    // The place of what is remembered is not given to another, even when it is gone.
    let remembered = remembered.iter().map(Weak::as_ptr);
    remembered.eq(these.iter().map(Arc::as_ptr))
}

#[cfg(test)]
mod tests {
    use model::target::{Target as Declared, TargetKind};
    use net::egress::connect::{Connector, ExtraRoots};
    use net::egress::pool::{self, Pool};
    use net::egress::resolve::SystemResolver;
    use net::egress::rules::Rules;
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
        let catalogs = Catalogs::new(Making {
            gateway: "g",
            targets: vec![Measured {
                target: target.clone(),
                calls: Metrics::default().calls(&"g".into(), &"t".into()).into(),
            }],
            names: ToolNames::Prefixed,
            server_info: "{}",
            page_size: 10,
        });
        target.list(Feature::Tools).await.unwrap();
        let shown = catalogs.of(Feature::Tools).settled().await;
        assert!(shown.find("t___echo").is_some());
    }

    // SEC-82: who asks for tools that do not exist makes nobody put the list together anew.
    #[test]
    fn lists_are_put_together_anew_only_where_one_is_another() {
        let (one, other) = (Arc::new("a"), Arc::new("a"));
        let remembered = [&one, &other].map(Arc::downgrade);
        assert!(are_these(
            &remembered,
            &[Arc::clone(&one), Arc::clone(&other)]
        ));
        assert!(are_these::<&str>(&[], &[]));
        assert!(!are_these(
            &remembered,
            &[Arc::clone(&other), Arc::clone(&one)]
        ));
        assert!(!are_these(&remembered, &[Arc::clone(&one)]));
        drop(other);
        assert!(!are_these(&remembered, &[one, Arc::new("a")]));
    }
}
