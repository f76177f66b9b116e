//! Remote documents, cached: client metadata, discovery, key sets.
//!
//! One fetch per URL at a time, whoever asks, and brought to its end even if they hang up; failures
//! are remembered for a while, never cached as documents; budgets bound what strangers can make us
//! fetch (SEC-27, SEC-28, SEC-44, CI-11).

mod slot;

use std::collections::HashMap;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Url;

use self::slot::{Demand, Ready, Slot};
use crate::egress::budget::{Account, BudgetRefusal, Budgets};
use crate::egress::client::{Client, FetchError, Fetched, Limits, json_request};
use crate::egress::connect::ConnectError;
use crate::egress::rules::Destination;

/// Tells the wall time, for HTTP dates only.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How documents of one kind are fetched and kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of one fetch.
    pub limits: Limits,
    /// A document is used at least this long, whatever its headers say.
    pub min_age: Duration,
    /// A document is used at most this long, whatever its headers say.
    pub max_age: Duration,
    /// How long a failure is remembered instead of being tried again; each further one in a row twice as long.
    pub negative: Duration,
    /// But no longer than this.
    pub longest_negative: Duration,
    /// The least time between two forced refreshes of one URL (SEC-44).
    pub refresh_interval: Duration,
    /// What to do when an expired document can't be fetched again.
    pub on_error: OnError,
    /// How many documents are kept.
    pub entries: usize,
}

impl Settings {
    /// For client metadata: 5 KiB, between a minute and a day, never used beyond its time.
    pub const CLIENT_METADATA: Self = Self {
        limits: Limits::CLIENT_METADATA,
        min_age: Duration::from_mins(1),
        max_age: Duration::from_hours(24),
        negative: Duration::from_secs(30),
        longest_negative: Duration::from_secs(30),
        refresh_interval: Duration::from_secs(30),
        on_error: OnError::Fail,
        entries: 1000,
    };
    /// For key sets and discovery: 64 KiB, between five minutes and a day, used a day longer when
    /// their origin is down.
    pub const SERVER_METADATA: Self = Self {
        limits: Limits::SERVER_METADATA,
        min_age: Duration::from_mins(5),
        max_age: Duration::from_hours(24),
        negative: Duration::from_secs(30),
        longest_negative: Duration::from_secs(30),
        refresh_interval: Duration::from_secs(30),
        on_error: OnError::ServeStale(Duration::from_hours(24)),
        entries: 1000,
    };
    /// For what the operator has named: the same, but an origin that was away is asked again at once (SEC-90).
    pub const CONFIGURED: Self = Self {
        negative: Duration::from_millis(500),
        longest_negative: Duration::from_secs(2),
        ..Self::SERVER_METADATA
    };
}

/// What to do when an expired document can't be fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The failure is the answer: client metadata (SEC-28).
    Fail,
    /// The old one is used up to this long after it expired: key sets.
    ServeStale(Duration),
}

/// A document, and how it came to be here.
#[derive(Debug)]
pub struct Document<T> {
    /// The parsed document.
    pub value: Arc<T>,
    /// Counts the different contents seen in this cache, from 1: what came later has a greater one, whatever its URL.
    pub revision: u64,
    /// Whether this very call replaced another content of this URL.
    pub changed: bool,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Out of the cache, still fresh; or fetched a moment ago for somebody else.
    Cache,
    /// Fetched just now.
    Fetched,
    /// Confirmed just now by a 304.
    Confirmed,
    /// Expired, and could not be fetched again.
    Stale,
}

/// Why there is no document. Cheap to clone: everybody who waited gets the same one.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError<E> {
    /// The fetch failed.
    #[error("fetch failed")]
    Fetch(#[source] Arc<FetchError>),
    /// The answer is not 200 (SEC-23, CI-5).
    #[error("answer has status {0}, not 200")]
    Status(StatusCode),
    /// The document was refused by its parser.
    #[error("document is not valid")]
    Invalid(Arc<E>),
    /// Too many fetches already (SEC-27).
    #[error(transparent)]
    Budget(BudgetRefusal),
}

impl<E> Clone for DocumentError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Fetch(cause) => Self::Fetch(Arc::clone(cause)),
            Self::Status(status) => Self::Status(*status),
            Self::Invalid(cause) => Self::Invalid(Arc::clone(cause)),
            Self::Budget(refusal) => Self::Budget(*refusal),
        }
    }
}

/// What is known of documents of one kind. It outlives whoever fetches them, and the configuration by which they do.
pub struct Memory<T, E> {
    settings: Settings,
    budgets: Arc<Budgets>,
    wall: WallClock,
    digests: RandomState,
    revisions: AtomicU64,
    slots: Mutex<Slots<T, E>>,
}

/// By URL, byte for byte.
type Slots<T, E> = HashMap<Box<str>, Arc<Slot<T, E>>>;

impl<T, E> std::fmt::Debug for Memory<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<T, E> Memory<T, E> {
    /// Nothing is known yet. `budgets` may be shared by several.
    pub fn new(settings: Settings, budgets: Arc<Budgets>, wall: WallClock) -> Self {
        Self {
            settings,
            budgets,
            wall,
            digests: RandomState::new(),
            revisions: AtomicU64::new(0),
            slots: Mutex::new(HashMap::new()),
        }
    }

    fn slot(&self, url: &Url) -> Arc<Slot<T, E>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(url.as_str()) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.settings.entries.max(1) {
            make_room(&mut slots);
        }
        let slot = Arc::new(Slot::new());
        slots.insert(url.as_str().into(), Arc::clone(&slot));
        slot
    }
}

/// A cache of documents of one kind: what is known of them, and a client that fetches them.
pub struct Documents<T, E> {
    client: Client,
    memory: Arc<Memory<T, E>>,
    /// Who caused a fetch may hang up: what it brings is for everybody.
    fetches: TaskTracker,
}

impl<T, E> std::fmt::Debug for Documents<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents")
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Documents<T, E> {
    /// An empty cache. `budgets` may be shared by several.
    pub fn new(client: Client, settings: Settings, budgets: Arc<Budgets>, wall: WallClock) -> Self {
        Self::over(Arc::new(Memory::new(settings, budgets, wall)), client)
    }

    /// A cache of what is known already; from now on this client fetches it, for whoever asks here.
    pub fn over(memory: Arc<Memory<T, E>>, client: Client) -> Self {
        Self {
            client,
            memory,
            fetches: TaskTracker::new(),
        }
    }

    /// The document at `url`, out of the cache or fetched now.
    ///
    /// `source` is whose request causes the fetch, for its budget, unless the URL has given a valid
    /// document before; `None` is ourselves. `parse` sees only answers with status 200; what it
    /// refuses is not cached as a document.
    pub async fn get<F>(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send + 'static,
    {
        self.obtain(url, source, Demand::Fresh, parse).await
    }

    /// Like [`Self::get`], but even a fresh document is fetched again, unless that was done within
    /// `refresh_interval` or a failure is remembered: for a key that a fresh set lacks (SEC-44).
    pub async fn refresh<F>(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send + 'static,
    {
        self.obtain(url, source, Demand::Refreshed, parse).await
    }

    /// The fresh document at `url`, if it is here: no fetch, no waiting.
    pub fn cached(&self, url: &Url) -> Option<Arc<T>> {
        let slot = self.memory.slots.lock().get(url.as_str()).map(Arc::clone)?;
        let state = slot.state.lock();
        state.fresh_value(Instant::now())
    }

    /// Forgets what is known about `url`.
    pub fn forget(&self, url: &Url) {
        self.memory.slots.lock().remove(url.as_str());
    }

    async fn obtain<F>(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        demand: Demand,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send + 'static,
    {
        let destination = self
            .client
            .rules()
            .check_url(url)
            .map_err(|refusal| fetch_error(refusal.into()))?;
        let settings = &self.memory.settings;
        let fetch = Fetch {
            client: self.client.clone(),
            memory: Arc::clone(&self.memory),
            slot: self.memory.slot(url),
            url: url.clone(),
            destination,
            source,
            demand,
        };
        let slot = Arc::clone(&fetch.slot);
        let (ready, seen) = {
            let mut state = slot.state.lock();
            let now = Instant::now();
            state.used = now;
            (state.answer(demand, settings, now), state.attempts)
        };
        match ready {
            Ready::Answer(answer) => return answer,
            Ready::Meanwhile(document) => {
                if let Ok(flight) = Arc::clone(&slot.flight).try_lock_owned() {
                    drop(self.start(fetch, flight, parse));
                }
                return Ok(document);
            }
            Ready::Nothing => {}
        }
        let flight = Arc::clone(&slot.flight).lock_owned().await;
        {
            let state = slot.state.lock();
            // Somebody else fetched while this caller waited: that is fresh enough for everybody.
            let demand = if state.attempts > seen {
                Demand::Fresh
            } else {
                demand
            };
            match state.answer(demand, settings, Instant::now()) {
                Ready::Answer(answer) => return answer,
                Ready::Meanwhile(document) if state.attempts > seen => return Ok(document),
                Ready::Meanwhile(_) | Ready::Nothing => {}
            }
        }
        self.start(fetch, flight, parse)
            .await
            .unwrap_or_else(|ended| Err(DocumentError::Fetch(Arc::new(ended.into()))))
    }

    fn start<F>(
        &self,
        fetch: Fetch<T, E>,
        flight: OwnedMutexGuard<()>,
        parse: F,
    ) -> JoinHandle<Result<Document<T>, DocumentError<E>>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send + 'static,
    {
        self.fetches.spawn(async move {
            let outcome = fetch.run(parse).await;
            drop(flight);
            outcome
        })
    }
}

/// One fetch.
struct Fetch<T, E> {
    client: Client,
    memory: Arc<Memory<T, E>>,
    slot: Arc<Slot<T, E>>,
    url: Url,
    destination: Destination,
    source: Option<IpAddr>,
    demand: Demand,
}

impl<T, E> Fetch<T, E> {
    async fn run<F>(self, parse: F) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send,
    {
        let Memory {
            settings, budgets, ..
        } = &*self.memory;
        let origin = format!("{}:{}", self.destination.host, self.destination.port);
        let permit = match budgets.take(&origin, self.account(), Instant::now()).await {
            Ok(permit) => permit,
            Err(refusal) => {
                let now = Instant::now();
                let state = self.slot.state.lock();
                return state
                    .stale(settings, now)
                    .ok_or(DocumentError::Budget(refusal));
            }
        };
        let mut request = json_request();
        if let Some(held) = &self.slot.state.lock().held {
            held.make_conditional(request.headers_mut());
        }
        let outcome = self.client.fetch(&self.url, request, settings.limits).await;
        drop(permit);
        let mut state = self.slot.state.lock();
        self.memory.settle(&mut state, self.demand, outcome, parse)
    }

    /// A document that others use must not expire because somebody invents URLs beside it.
    fn account(&self) -> Account {
        match self.source {
            None => Account::Configured,
            Some(_) if self.slot.is_known() => Account::Known,
            Some(source) => Account::Stranger(source),
        }
    }
}

/// Forgets one URL that nobody is fetching: one without a document rather than one with, then the
/// one that was not asked for the longest.
fn make_room<T, E>(slots: &mut Slots<T, E>) {
    let victim = slots
        .iter()
        .filter(|(_, slot)| Arc::strong_count(slot) == 1)
        .min_by_key(|(_, slot)| {
            let state = slot.state.lock();
            (state.held.is_some(), state.used)
        })
        .map(|(url, _)| url.clone());
    if let Some(url) = victim {
        slots.remove(&url);
    }
}

fn fetch_error<E>(cause: ConnectError) -> DocumentError<E> {
    DocumentError::Fetch(Arc::new(cause.into()))
}
