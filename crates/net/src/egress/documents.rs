//! Remote documents, cached: client metadata, discovery, key sets.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use url::Url;

use crate::egress::client::{Client, FetchError, Fetched, Limits};

pub use crate::egress::budget::{BudgetRefusal, BudgetSettings, Budgets};

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
    /// Counts the different contents seen under this URL.
    pub revision: u64,
    /// Whether this very call replaced another content of this URL.
    pub changed: bool,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a document came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Out of the cache, still fresh.
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

/// A cache of documents of one kind.
pub struct Documents<T, E> {
    phantom: std::marker::PhantomData<(T, E)>,
}

impl<T: Send + Sync + 'static, E: Send + Sync + 'static> Documents<T, E> {
    /// An empty cache. `budgets` may be shared by several.
    pub fn new(client: Client, settings: Settings, budgets: Arc<Budgets>, wall: WallClock) -> Self {
        todo!()
    }

    /// The document at `url`, from the cache or fetched now. `source` is who caused it.
    pub async fn get<F>(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send,
    {
        todo!()
    }

    /// Like `get`, but a fresh one is fetched again, unless that happened within `refresh_interval`.
    pub async fn refresh<F>(
        &self,
        url: &Url,
        source: Option<IpAddr>,
        parse: F,
    ) -> Result<Document<T>, DocumentError<E>>
    where
        F: FnOnce(&Fetched) -> Result<T, E> + Send,
    {
        todo!()
    }

    /// The fresh document at `url`, if it is here: no fetch, no waiting.
    pub fn cached(&self, url: &Url) -> Option<Arc<T>> {
        todo!()
    }

    /// Forgets a document.
    pub fn forget(&self, url: &Url) {
        todo!()
    }
}
