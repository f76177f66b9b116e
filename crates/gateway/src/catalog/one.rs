//! The catalog of one feature: the snapshot that is kept of what targets list of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mcp::feature::{Feature, PerFeature};
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

use super::entry::{Entry, Measured, Snapshot};
use super::name;
use super::owners::{Owners, owns};
use super::page::{self, Page, Shown};
use super::routes::Routes;

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
const HINT: CacheHint = CacheHint {
    ttl_ms: 30_000,
    scope: CacheScope::Private,
};
/// A target is asked again for a tool that it did not list, unless it was asked so recently.
const ASKED_JUST_NOW: Duration = Duration::from_secs(1);

/// Counts the different lists that there were of each feature.
pub(crate) type Revisions = PerFeature<u64>;

/// Keeps the snapshot of one feature.
#[derive(Debug)]
pub(crate) struct Catalog {
    feature: Feature,
    gateway: Box<str>,
    targets: Arc<[Measured]>,
    owners: Owners,
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

/// What a catalog is made for.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) gateway: &'a str,
    pub(crate) names: ToolNames,
    pub(crate) server_info: &'a str,
    pub(crate) page_size: usize,
}

impl Catalog {
    /// One that shows nothing yet.
    pub(super) fn new(
        feature: Feature,
        making: &Making<'_>,
        targets: &Arc<[Measured]>,
        revisions: &Arc<watch::Sender<Revisions>>,
    ) -> Self {
        let catalog = Self {
            feature,
            gateway: making.gateway.into(),
            targets: Arc::clone(targets),
            owners: Owners::of(feature, targets),
            // URIs are unique by themselves, and mean something to clients.
            names: match feature {
                Feature::Tools | Feature::Prompts => making.names,
                Feature::Resources | Feature::ResourceTemplates => ToolNames::Bare,
            },
            server_info: making.server_info.into(),
            page_size: making.page_size.max(1),
            snapshot: ArcSwap::default(),
            revisions: Arc::clone(revisions),
            shown: AtomicUsize::new(0),
            building: Mutex::default(),
            started: AtomicBool::new(false),
        };
        catalog.publish(&[]);
        catalog
    }

    /// Keeps the snapshot current until `stop`, if it is not kept so already.
    pub(super) fn start(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
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
        for Measured { target, .. } in self.targets.iter().filter(|one| !one.is_dynamic()) {
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

    /// What only callers know: at the target that is in its name.
    pub(super) fn at_dynamic(&self, name: &str) -> Option<Arc<Entry>> {
        let mut dynamic = self.targets.iter().filter(|one| one.is_dynamic());
        let (prefix, rest) = name.split_once(name::SEPARATOR)?;
        let is_named = |one: &&Measured| *prefix == **one.target.name();
        let one = dynamic
            .find(is_named)
            .filter(|_| self.names == ToolNames::Prefixed)?;
        Some(Arc::new(Entry {
            name: name.into(),
            target: one.target.clone(),
            listed_as: rest.into(),
            param_headers: Vec::new(),
            calls: Arc::clone(&one.calls),
        }))
    }

    /// What nobody lists: at the target whose URIs begin like this.
    pub(super) fn at_owner(&self, uri: &str) -> Option<Arc<Entry>> {
        let owner = self.owners.find(uri, &self.targets)?;
        Some(Entry::unlisted(uri, &owner.target, &owner.calls))
    }

    /// The targets that each caller asks.
    pub(crate) fn dynamic(&self) -> impl Iterator<Item = &Measured> {
        self.targets.iter().filter(|one| one.is_dynamic())
    }

    /// The page that starts at a cursor, of what is for everybody and of what these targets list for one caller.
    pub(crate) fn page_with(
        &self,
        mut lists: HashMap<Arc<str>, List>,
        cursor: Option<&str>,
    ) -> Option<Page> {
        let shared = self.building.lock().definitions.shown.clone();
        let mut shared = shared.into_iter().peekable();
        let mut names: HashSet<Arc<str>> = HashSet::new();
        let mut all: Vec<Shown> = Vec::new();
        for Measured { target, .. } in &*self.targets {
            while let Some(one) = shared.next_if(|one| one.target == *target.name()) {
                if names.insert(one.name) {
                    all.push(one.shown);
                }
            }
            let own = lists.remove(target.name());
            for tool in own.iter().flat_map(|list| &list.entries) {
                let (name, shown) = self.exposed(target, tool);
                if self.may_list(target, &name) && names.insert(name) {
                    all.push(shown);
                }
            }
        }
        let all: Vec<&Shown> = all.iter().collect();
        let mut pages = page::build(self.feature, &all, self.page_size, HINT, &self.server_info);
        let at = match cursor {
            None => 0,
            Some(cursor) => page::index(cursor)?,
        };
        (at < pages.len()).then(|| pages.swap_remove(at))
    }

    /// Whether a target may list this: it may be another's own.
    fn may_list(&self, target: &Target, name: &str) -> bool {
        let owner = self.owners.find(name, &self.targets);
        owner.is_none_or(|owner| owns(owner, target))
    }

    /// What is not listed, at the first target that is known to have such things.
    pub(super) fn first_to_have(&self, name: &str) -> Option<Arc<Entry>> {
        let mut targets = self.targets.iter();
        // Where names say nothing of their target, it is one that was not asked for them.
        let is_unlisted = |one: &&Measured| match self.feature {
            Feature::Tools | Feature::Prompts => one.is_dynamic() && self.names == ToolNames::Bare,
            Feature::ResourceTemplates => one.is_dynamic(),
            Feature::Resources => true,
        };
        let has =
            |one: &&Measured| one.target.offers(self.feature) == Some(true) && is_unlisted(one);
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
    pub(super) fn states(&self) -> Vec<TargetState> {
        self.targets
            .iter()
            .map(|Measured { target, .. }| TargetState {
                name: Arc::clone(target.name()),
                failure: target.listing(self.feature).failure.clone(),
            })
            .collect()
    }

    pub(super) fn differs_from(&self, other: &Self) -> (bool, u64) {
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
        let size = self.bytes();
        let catalog = Arc::clone(self);
        apart::run(size, move || catalog.rebuild_here()).await;
    }

    /// Of all lists that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.listed().map(|(_, list)| list.bytes).sum()
    }

    /// The targets that have a list, with it.
    fn listed(&self) -> impl Iterator<Item = (&Measured, Arc<List>)> {
        let kept = self.targets.iter().filter(|one| !one.is_dynamic());
        kept.filter_map(|one| Some((one, one.target.listing(self.feature).list.clone()?)))
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
                let owner = self.owners.find(&name, &self.targets);
                let owner = owner.filter(|owner| !owns(owner, target));
                let owner = owner.map(|owner| owner.target.name());
                if let Some(owner) = owner.or_else(|| owners.get(&name)) {
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
                    Feature::Resources | Feature::ResourceTemplates => {
                        "the target whose `uri_prefixes` it has has it, or else the one that is declared first"
                    }
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
                HINT,
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
    use super::*;

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
