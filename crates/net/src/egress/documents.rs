//! Remote documents, cached: client metadata, discovery, key sets.
//!
//! One fetch per URL at a time, whoever asks, and brought to its end even if they hang up; failures
//! are remembered for a while, never cached as documents; budgets bound what strangers can make us
//! fetch (SEC-27, SEC-28, SEC-44, CI-11).

mod document;
mod slot;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Url;

pub use self::document::{Document, DocumentError, OnError, Origin, Settings, WallClock};
pub use self::slot::Memory;
use self::slot::{Demand, Ready, Slot};
use crate::egress::budget::{Account, Budgets};
use crate::egress::client::{Client, Fetched, json_request};
use crate::egress::connect::ConnectError;
use crate::egress::rules::Destination;

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

fn fetch_error<E>(cause: ConnectError) -> DocumentError<E> {
    DocumentError::Fetch(Arc::new(cause.into()))
}
