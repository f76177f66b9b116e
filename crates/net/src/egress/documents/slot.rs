//! All that is known about each URL, and what a caller gets of it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use url::Url;

use super::document::{Document, DocumentError, OnError, Origin, Settings, WallClock};
use crate::egress::budget::Budgets;
use crate::egress::client::{FetchError, Fetched};
use crate::egress::freshness::lifetime;

/// All that is known about one URL.
pub(super) struct Slot<T, E> {
    /// Held by the fetch under way; callers wait here.
    pub(super) flight: Arc<AsyncMutex<()>>,
    pub(super) state: Mutex<State<T, E>>,
}

pub(super) struct State<T, E> {
    pub(super) held: Option<Held<T>>,
    failure: Option<Failure<E>>,
    /// Digest of the valid content seen last, in use or not any more.
    digest: Option<u64>,
    revision: u64,
    refreshed: Option<Instant>,
    /// Fetches that came to an end.
    pub(super) attempts: u64,
    pub(super) used: Instant,
}

pub(super) struct Held<T> {
    value: Arc<T>,
    pub(super) fresh_until: Instant,
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

struct Failure<E> {
    error: DocumentError<E>,
    until: Instant,
    /// So many in a row, this one included.
    count: u32,
}

/// What a caller is content with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Fresh,
    Refreshed,
}

/// What can be said without waiting for a fetch.
pub(super) enum Ready<T, E> {
    /// All that is to be said.
    Answer(Result<Document<T>, DocumentError<E>>),
    /// The origin is away: the expired document, while somebody asks again. Nobody waits for an origin that may hang.
    Meanwhile(Document<T>),
    /// Nothing.
    Nothing,
}

impl<T, E> Slot<T, E> {
    pub(super) fn new() -> Self {
        Self {
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
        }
    }

    /// Whether this URL has ever given a valid document.
    pub(super) fn is_known(&self) -> bool {
        self.state.lock().digest.is_some()
    }
}

impl<T, E> State<T, E> {
    /// The answer without a fetch, if there is one.
    pub(super) fn answer(&self, demand: Demand, settings: &Settings, now: Instant) -> Ready<T, E> {
        let failed_lately = self
            .failure
            .as_ref()
            .is_some_and(|failure| failure.until > now);
        if let Some(held) = self.fresh(now) {
            let refreshed_lately = self
                .refreshed
                .is_some_and(|at| now < at + settings.refresh_interval);
            let content = demand == Demand::Fresh || refreshed_lately || failed_lately;
            return if content {
                Ready::Answer(Ok(self.document(held, Origin::Cache)))
            } else {
                Ready::Nothing
            };
        }
        let Some(failure) = &self.failure else {
            return Ready::Nothing;
        };
        match self.stale(settings, now) {
            Some(document) if failed_lately => Ready::Answer(Ok(document)),
            Some(document) => Ready::Meanwhile(document),
            None if failed_lately => Ready::Answer(Err(failure.error.clone())),
            None => Ready::Nothing,
        }
    }

    fn fresh(&self, now: Instant) -> Option<&Held<T>> {
        self.held.as_ref().filter(|held| held.fresh_until > now)
    }

    /// The fresh document.
    pub(super) fn fresh_value(&self, now: Instant) -> Option<Arc<T>> {
        self.fresh(now).map(|held| Arc::clone(&held.value))
    }

    /// The expired document, if it may still be used.
    pub(super) fn stale(&self, settings: &Settings, now: Instant) -> Option<Document<T>> {
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

    fn fail(&mut self, error: DocumentError<E>, settings: &Settings, now: Instant) {
        let count = self
            .failure
            .as_ref()
            .map_or(0, |failure| failure.count)
            .saturating_add(1);
        let doubled = settings
            .negative
            .saturating_mul(2_u32.saturating_pow(count.min(16) - 1));
        self.failure = Some(Failure {
            error,
            until: now + doubled.min(settings.longest_negative.max(settings.negative)),
            count,
        });
    }
}

impl<T> Held<T> {
    pub(super) fn make_conditional(&self, headers: &mut http::HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        }
        if let Some(last_modified) = &self.last_modified {
            headers.insert(header::IF_MODIFIED_SINCE, last_modified.clone());
        }
    }
}

/// What is known of documents of one kind. It outlives whoever fetches them, and the configuration by which they do.
pub struct Memory<T, E> {
    pub(super) settings: Settings,
    pub(super) budgets: Arc<Budgets>,
    wall: WallClock,
    digests: RandomState,
    revisions: AtomicU64,
    pub(super) slots: Mutex<Slots<T, E>>,
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

    pub(super) fn slot(&self, url: &Url) -> Arc<Slot<T, E>> {
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

impl<T, E> Memory<T, E> {
    /// Takes the outcome of a fetch into the state, and gives it to the caller.
    pub(super) fn settle<F>(
        &self,
        state: &mut State<T, E>,
        demand: Demand,
        outcome: Result<Fetched, FetchError>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send,
    {
        let now = Instant::now();
        state.attempts += 1;
        let outcome = match outcome {
            Err(cause) => Err(DocumentError::Fetch(Arc::new(cause))),
            Ok(fetched) if fetched.status == StatusCode::NOT_MODIFIED && state.held.is_some() => {
                self.confirm(state, &fetched, now)
            }
            Ok(fetched) if fetched.status != StatusCode::OK => {
                Err(DocumentError::Status(fetched.status))
            }
            Ok(fetched) => match parse(&fetched) {
                Ok(value) => Ok(self.hold(state, &fetched, value, now)),
                Err(cause) => {
                    // The origin has spoken: what it said before no longer holds (SEC-28).
                    if self.settings.on_error == OnError::Fail {
                        state.held = None;
                    }
                    Err(DocumentError::Invalid(Arc::new(cause)))
                }
            },
        };
        match outcome {
            Ok(document) => {
                state.failure = None;
                if demand == Demand::Refreshed {
                    state.refreshed = Some(now);
                }
                Ok(document)
            }
            Err(error) => {
                state.fail(error.clone(), &self.settings, now);
                // A refresh that failed takes nothing away from what is still fresh.
                match state.fresh(now) {
                    Some(held) => Ok(state.document(held, Origin::Cache)),
                    None => state.stale(&self.settings, now).ok_or(error),
                }
            }
        }
    }

    fn confirm(
        &self,
        state: &mut State<T, E>,
        fetched: &Fetched,
        now: Instant,
    ) -> Result<Document<T>, DocumentError<E>> {
        if let Some(held) = &mut state.held {
            held.fresh_until = now + self.lifetime(fetched);
        }
        match &state.held {
            Some(held) => Ok(state.document(held, Origin::Confirmed)),
            None => Err(DocumentError::Status(fetched.status)),
        }
    }

    fn hold(
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

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-27, SEC-90
    #[test]
    fn failures_in_a_row_are_remembered_twice_as_long_each_time_within_bounds() {
        let remembered = |settings: &Settings| {
            let slot = Slot::<(), ()>::new();
            let mut state = slot.state.lock();
            let now = Instant::now();
            [(); 5].map(|()| {
                let error = DocumentError::Status(StatusCode::BAD_GATEWAY);
                state.fail(error, settings, now);
                let failure = state.failure.as_ref().unwrap();
                failure.until.duration_since(now).as_millis()
            })
        };
        assert_eq!(
            remembered(&Settings::CONFIGURED),
            [500, 1000, 2000, 2000, 2000]
        );
        assert_eq!(remembered(&Settings::CLIENT_METADATA), [30_000; 5]);
    }
}
