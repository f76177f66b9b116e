//! A document that was fetched or kept, how documents are kept, and why there may be none.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::egress::budget::BudgetRefusal;
use crate::egress::client::{FetchError, Limits};

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
