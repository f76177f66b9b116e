//! Remote documents, cached: client metadata, discovery, key sets.
//!
//! One fetch per URL at a time, whoever asks, and brought to its end even if they hang up; failures
//! are remembered for a while, never cached as documents; budgets bound what strangers can make us
//! fetch (SEC-27, SEC-28, SEC-44, CI-11).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::egress::budget::{Account, BudgetRefusal, Budgets};
use crate::egress::client::{Client, FetchError, Fetched, Limits, json_request};
use crate::egress::connect::ConnectError;
use crate::egress::freshness::lifetime;
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
    /// How long a failure is remembered instead of being tried again.
    pub negative: Duration,
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
        refresh_interval: Duration::from_secs(30),
        on_error: OnError::ServeStale(Duration::from_hours(24)),
        entries: 1000,
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

/// A cache of documents of one kind.
pub struct Documents<T, E> {
    shared: Arc<Shared>,
    slots: Mutex<Slots<T, E>>,
    /// Who caused a fetch may hang up: what it brings is for everybody.
    fetches: TaskTracker,
}

/// What every fetch needs.
struct Shared {
    client: Client,
    settings: Settings,
    budgets: Arc<Budgets>,
    wall: WallClock,
    digests: RandomState,
    revisions: AtomicU64,
}

impl<T, E> std::fmt::Debug for Documents<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

/// By URL, byte for byte.
type Slots<T, E> = HashMap<Box<str>, Arc<Slot<T, E>>>;

/// All that is known about one URL.
struct Slot<T, E> {
    /// Held by the fetch under way; callers wait here.
    flight: Arc<AsyncMutex<()>>,
    state: Mutex<State<T, E>>,
}

struct State<T, E> {
    held: Option<Held<T>>,
    failure: Option<Failure<E>>,
    /// Digest of the valid content seen last, in use or not any more.
    digest: Option<u64>,
    revision: u64,
    refreshed: Option<Instant>,
    /// Fetches that came to an end.
    attempts: u64,
    used: Instant,
}

struct Held<T> {
    value: Arc<T>,
    fresh_until: Instant,
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

struct Failure<E> {
    error: DocumentError<E>,
    until: Instant,
}

/// What a caller is content with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    Fresh,
    Refreshed,
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Documents<T, E> {
    /// An empty cache. `budgets` may be shared by several.
    pub fn new(client: Client, settings: Settings, budgets: Arc<Budgets>, wall: WallClock) -> Self {
        Self {
            shared: Arc::new(Shared {
                client,
                settings,
                budgets,
                wall,
                digests: RandomState::new(),
                revisions: AtomicU64::new(0),
            }),
            slots: Mutex::new(HashMap::new()),
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
        let slot = self.slots.lock().get(url.as_str()).map(Arc::clone)?;
        let now = Instant::now();
        let state = slot.state.lock();
        state
            .held
            .as_ref()
            .filter(|held| held.fresh_until > now)
            .map(|held| Arc::clone(&held.value))
    }

    /// Forgets what is known about `url`.
    pub fn forget(&self, url: &Url) {
        self.slots.lock().remove(url.as_str());
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
            .shared
            .client
            .rules()
            .check_url(url)
            .map_err(|refusal| fetch_error(refusal.into()))?;
        let slot = self.slot(url);
        let seen = {
            let mut state = slot.state.lock();
            let now = Instant::now();
            state.used = now;
            if let Some(answer) = state.answer(demand, &self.shared.settings, now) {
                return answer;
            }
            state.attempts
        };
        let flight = Arc::clone(&slot.flight).lock_owned().await;
        {
            let state = slot.state.lock();
            // Somebody else fetched while this caller waited: that is fresh enough for everybody.
            let demand = if state.attempts > seen {
                Demand::Fresh
            } else {
                demand
            };
            if let Some(answer) = state.answer(demand, &self.shared.settings, Instant::now()) {
                return answer;
            }
        }
        let fetch = Fetch {
            shared: Arc::clone(&self.shared),
            slot,
            url: url.clone(),
            destination,
            source,
            demand,
        };
        let fetching = self.fetches.spawn(async move {
            let outcome = fetch.run(parse).await;
            drop(flight);
            outcome
        });
        fetching
            .await
            .unwrap_or_else(|ended| Err(DocumentError::Fetch(Arc::new(ended.into()))))
    }

    fn slot(&self, url: &Url) -> Arc<Slot<T, E>> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(url.as_str()) {
            return Arc::clone(slot);
        }
        if slots.len() >= self.shared.settings.entries.max(1) {
            make_room(&mut slots);
        }
        let slot = Arc::new(Slot {
            flight: Arc::default(),
            state: Mutex::new(State {
                held: None,
                failure: None,
                digest: None,
                revision: 0,
                refreshed: None,
                attempts: 0,
                used: Instant::now(),
            }),
        });
        slots.insert(url.as_str().into(), Arc::clone(&slot));
        slot
    }
}

/// One fetch.
struct Fetch<T, E> {
    shared: Arc<Shared>,
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
        let Shared {
            client,
            settings,
            budgets,
            ..
        } = &*self.shared;
        let origin = format!("{}:{}", self.destination.host, self.destination.port);
        let account = self.account();
        let permit = match budgets.take(&origin, account, Instant::now()).await {
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
        let outcome = client.fetch(&self.url, request, settings.limits).await;
        drop(permit);
        let mut state = self.slot.state.lock();
        if self.demand == Demand::Refreshed {
            state.refreshed = Some(Instant::now());
        }
        self.shared.settle(&mut state, outcome, parse)
    }

    /// A document that others use must not expire because somebody invents URLs beside it.
    fn account(&self) -> Account {
        match self.source {
            Some(source) if self.slot.state.lock().digest.is_none() => Account::Stranger(source),
            _ => Account::Ours,
        }
    }
}

impl Shared {
    /// Takes the outcome of a fetch into the state, and gives it to the caller.
    fn settle<T, E, F>(
        &self,
        state: &mut State<T, E>,
        outcome: Result<Fetched, FetchError>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send,
    {
        let now = Instant::now();
        state.attempts += 1;
        let error = match outcome {
            Err(cause) => DocumentError::Fetch(Arc::new(cause)),
            Ok(fetched) if fetched.status == StatusCode::NOT_MODIFIED && state.held.is_some() => {
                return self.confirm(state, &fetched, now);
            }
            Ok(fetched) if fetched.status != StatusCode::OK => {
                DocumentError::Status(fetched.status)
            }
            Ok(fetched) => match parse(&fetched) {
                Ok(value) => return Ok(self.hold(state, &fetched, value, now)),
                Err(cause) => {
                    // The origin has spoken: what it said before no longer holds (SEC-28).
                    if self.settings.on_error == OnError::Fail {
                        state.held = None;
                    }
                    DocumentError::Invalid(Arc::new(cause))
                }
            },
        };
        state.failure = Some(Failure {
            error: error.clone(),
            until: now + self.settings.negative,
        });
        // A refresh that failed takes nothing away from what is still fresh.
        match &state.held {
            Some(held) if held.fresh_until > now => Ok(state.document(held, Origin::Cache)),
            _ => state.stale(&self.settings, now).ok_or(error),
        }
    }

    fn confirm<T, E>(
        &self,
        state: &mut State<T, E>,
        fetched: &Fetched,
        now: Instant,
    ) -> Result<Document<T>, DocumentError<E>> {
        state.failure = None;
        if let Some(held) = &mut state.held {
            held.fresh_until = now + self.lifetime(fetched);
        }
        match &state.held {
            Some(held) => Ok(state.document(held, Origin::Confirmed)),
            None => Err(DocumentError::Status(fetched.status)),
        }
    }

    fn hold<T, E>(
        &self,
        state: &mut State<T, E>,
        fetched: &Fetched,
        value: T,
        now: Instant,
    ) -> Document<T> {
        let digest = self.digests.hash_one(&fetched.body);
        let changed = state.digest.is_some_and(|before| before != digest);
        if state.digest != Some(digest) {
            state.revision = self.revisions.fetch_add(1, Ordering::Relaxed) + 1;
        }
        state.digest = Some(digest);
        state.failure = None;
        let held = Held {
            value: Arc::new(value),
            fresh_until: now + self.lifetime(fetched),
            etag: fetched.headers.get(header::ETAG).cloned(),
            last_modified: fetched.headers.get(header::LAST_MODIFIED).cloned(),
        };
        let document = Document {
            changed,
            ..state.document(&held, Origin::Fetched)
        };
        state.held = Some(held);
        document
    }

    fn lifetime(&self, fetched: &Fetched) -> Duration {
        let Settings {
            min_age, max_age, ..
        } = self.settings;
        lifetime(&fetched.headers, min_age, max_age, (self.wall)())
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

impl<T, E> State<T, E> {
    /// The answer without a fetch, if there is one.
    fn answer(
        &self,
        demand: Demand,
        settings: &Settings,
        now: Instant,
    ) -> Option<Result<Document<T>, DocumentError<E>>> {
        let failure = self.failure.as_ref().filter(|failure| failure.until > now);
        if let Some(held) = self.held.as_ref().filter(|held| held.fresh_until > now) {
            let refreshed_lately = self
                .refreshed
                .is_some_and(|at| now < at + settings.refresh_interval);
            let content = demand == Demand::Fresh || refreshed_lately || failure.is_some();
            return content.then(|| Ok(self.document(held, Origin::Cache)));
        }
        let failure = failure?;
        Some(
            self.stale(settings, now)
                .ok_or_else(|| failure.error.clone()),
        )
    }

    /// The expired document, if it may still be used.
    fn stale(&self, settings: &Settings, now: Instant) -> Option<Document<T>> {
        let OnError::ServeStale(longer) = settings.on_error else {
            return None;
        };
        let held = self
            .held
            .as_ref()
            .filter(|held| held.fresh_until + longer > now)?;
        Some(self.document(held, Origin::Stale))
    }

    fn document(&self, held: &Held<T>, origin: Origin) -> Document<T> {
        Document {
            value: Arc::clone(&held.value),
            revision: self.revision,
            changed: false,
            origin,
        }
    }
}

impl<T> Held<T> {
    fn make_conditional(&self, headers: &mut http::HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(last_modified) = &self.last_modified {
            headers.insert(header::IF_MODIFIED_SINCE, last_modified.clone());
        }
    }
}
