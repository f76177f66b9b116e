//! One request, one bounded answer: no redirects, no compression, one deadline for everything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use url::Url;

use crate::egress::connect::{ConnectError, Connector};
use crate::egress::rules::Rules;

/// Bounds of one fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For everything together: resolve, connect, headers, body (SEC-26).
    pub deadline: Duration,
    /// Bytes of body at most (SEC-24).
    pub max_bytes: usize,
}

/// An answer, read to its end. Its status may be anything: redirects are not followed (SEC-23).
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What was asked for.
    pub url: Url,
    /// The status as it came.
    pub status: StatusCode,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who answered.
    pub remote: SocketAddr,
}

/// Why a fetch gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The deadline passed.
    #[error("no complete answer in time")]
    TimedOut,
    /// The body is larger than allowed.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is compressed although that was not asked for (SEC-25).
    #[error("answer has a content encoding")]
    Encoded,
    /// The origin broke the protocol or closed early.
    #[error("answer is not proper HTTP or breaks off")]
    Protocol(#[source] crate::body::BoxError),
}

/// Fetches small things under one set of rules.
#[derive(Clone)]
pub struct Client {}

impl Client {
    /// A client for one kind of use.
    pub fn new(connector: Arc<Connector>, rules: Rules) -> Self {
        todo!()
    }

    /// The rules it obeys.
    pub fn rules(&self) -> &Rules {
        todo!()
    }

    /// Sends `request` to `url` (its URI is ignored) and reads the answer.
    pub async fn fetch(
        &self,
        url: &Url,
        request: Request<Bytes>,
        limits: Limits,
    ) -> Result<Fetched, FetchError> {
        todo!()
    }

    /// A GET for JSON.
    pub async fn get(&self, url: &Url, limits: Limits) -> Result<Fetched, FetchError> {
        todo!()
    }
}

/// Whether a `Content-Type` says JSON: `application/json` or `application/<something>+json` (CI-6).
pub fn is_json(headers: &HeaderMap) -> bool {
    todo!()
}
