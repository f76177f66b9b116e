//! The tools of all targets as one list: an immutable snapshot that requests read without waiting.

pub(crate) mod name;
pub(crate) mod page;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use mcp::param_header::ParamHeader;
use mcp::result::{CacheHint, CacheScope};
use model::gateway::ToolNames;
use parking_lot::Mutex;
use targets::Target;
use targets::error::CallError;
use targets::mcp::list::ListedTool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::page::Page;

/// How long the first requests wait for targets that were not asked for their tools yet.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long clients may keep a list.
const LIFE: Duration = Duration::from_mins(1);

/// A tool as clients see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name that clients call it by.
    pub(crate) name: Arc<str>,
    /// Where it is.
    pub(crate) target: Target,
    /// Its name there.
    pub(crate) tool: Arc<str>,
    /// Arguments that modern clients mirror into headers.
    pub(crate) param_headers: Vec<ParamHeader>,
}

/// All tools at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    by_name: HashMap<Arc<str>, Arc<Entry>>,
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

/// Keeps the snapshot.
#[derive(Debug)]
pub(crate) struct Catalog {
    gateway: Box<str>,
    targets: Vec<Target>,
    names: ToolNames,
    server_info: Box<str>,
    page_size: usize,
    snapshot: ArcSwap<Snapshot>,
    /// Counts the different lists there were.
    revision: watch::Sender<u64>,
    building: Mutex<Definitions>,
}

/// What the snapshot was made of, to see whether anything changed.
#[derive(Debug, Default, PartialEq)]
struct Definitions(Vec<Definition>);

#[derive(Debug, PartialEq)]
struct Definition {
    name: Arc<str>,
    /// A tool that moves to another target is another tool, even if it looks the same.
    target: Arc<str>,
    bytes: Bytes,
}

impl Catalog {
    pub(crate) fn new(
        gateway: &str,
        targets: Vec<Target>,
        names: ToolNames,
        server_info: &str,
        page_size: usize,
    ) -> Self {
        let catalog = Self {
            gateway: gateway.into(),
            targets,
            names,
            server_info: server_info.into(),
            page_size: page_size.max(1),
            snapshot: ArcSwap::default(),
            revision: watch::Sender::new(0),
            building: Mutex::default(),
        };
        catalog.publish(&[]);
        catalog
    }

    /// Keeps everything current until `stop`.
    pub(crate) fn start(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        for target in &self.targets {
            let (running, stopped) = (target.clone(), stop.clone());
            tasks.spawn(async move { running.run(stopped).await });
            let (catalog, stopped, mut changes) =
                (Arc::clone(self), stop.clone(), target.changes());
            tasks.spawn(stopped.run_until_cancelled_owned(async move {
                while changes.changed().await.is_ok() {
                    catalog.rebuild();
                }
            }));
        }
    }

    /// The tools as far as they are known.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The same, after waiting a while for targets that never were asked: one that is down keeps nobody longer.
    pub(crate) async fn settled(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        let unasked: Vec<&Target> = self
            .targets
            .iter()
            .filter(|target| {
                let listing = target.listing();
                listing.tools.is_none() && listing.failure.is_none()
            })
            .collect();
        if !unasked.is_empty() {
            let asking = futures_util::future::join_all(unasked.into_iter().map(Target::tools));
            // What became of it shows in the listings.
            let _ = tokio::time::timeout(PATIENCE, asking).await;
            self.rebuild();
        }
        self.snapshot()
    }

    /// Why a name that would be known otherwise is not: its target never listed its tools.
    pub(crate) fn failure(&self, name: &str) -> Option<CallError> {
        let (prefix, _) = name.split_once(name::SEPARATOR)?;
        let target = self
            .targets
            .iter()
            .find(|target| **target.name() == *prefix)?;
        let listing = target.listing();
        listing.failure.clone().filter(|_| listing.tools.is_none())
    }

    /// Says when the list of tools changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Makes a new snapshot of what the targets list now. A target without a list takes no other down with it, and one
    /// that fails keeps its last list.
    pub(crate) fn rebuild(&self) {
        let mut building = self.building.lock();
        let listings: Vec<_> = self
            .targets
            .iter()
            .filter_map(|target| Some((target, target.listing().tools.clone()?)))
            .collect();
        let mut tools: Vec<(Arc<Entry>, Bytes)> = Vec::new();
        let mut owners: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for (target, list) in &listings {
            for tool in &list.tools {
                let (name, definition) = self.exposed(target, tool);
                if let Some(owner) = owners.get(&name) {
                    tracing::error!(
                        gateway = %self.gateway, tool = %name, target = %target.name(), owner = %owner,
                        "tool `{name}` of target `{}` is hidden: target `{owner}` has one of that name; \
                         hint: `tool_names: prefixed`",
                        target.name(),
                    );
                    continue;
                }
                owners.insert(name.clone(), Arc::clone(target.name()));
                let entry = Entry {
                    name,
                    target: (*target).clone(),
                    tool: Arc::clone(&tool.name),
                    param_headers: tool.param_headers.clone(),
                };
                tools.push((Arc::new(entry), definition));
            }
        }
        let definitions = tools.iter().map(|(entry, bytes)| Definition {
            name: Arc::clone(&entry.name),
            target: Arc::clone(entry.target.name()),
            bytes: bytes.clone(),
        });
        let definitions = Definitions(definitions.collect());
        let changed = *building != definitions;
        *building = definitions;
        if changed {
            self.publish(&tools);
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    fn exposed(&self, target: &Target, tool: &ListedTool) -> (Arc<str>, Bytes) {
        match self.names {
            ToolNames::Bare => (Arc::clone(&tool.name), tool.definition.bytes().clone()),
            ToolNames::Prefixed => {
                let name = name::prefixed(target.name(), &tool.name);
                let definition = name::renamed(tool.definition.borrow(), &name);
                (name.into(), definition)
            }
        }
    }

    fn publish(&self, tools: &[(Arc<Entry>, Bytes)]) {
        let hint = CacheHint {
            ttl_ms: u64::try_from(LIFE.as_millis()).unwrap_or(0),
            scope: CacheScope::Private,
        };
        let definitions: Vec<&[u8]> = tools
            .iter()
            .map(|(_, definition)| definition.as_ref())
            .collect();
        let snapshot = Snapshot {
            by_name: tools
                .iter()
                .map(|(entry, _)| (entry.name.clone(), Arc::clone(entry)))
                .collect(),
            pages: page::build(&definitions, self.page_size, hint, &self.server_info),
        };
        self.snapshot.store(Arc::new(snapshot));
    }
}
