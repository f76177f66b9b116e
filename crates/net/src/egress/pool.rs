//! The data path: streaming requests over kept connections.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use url::Url;

use crate::body::{Body, BoxError};
use crate::egress::connect::{ConnectError, Connector};
use crate::egress::rules::{Refusal, Rules};

/// Bounds of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For resolving, connecting and TLS together.
    pub connect_timeout: Duration,
    /// From sending the request to the last header of the answer.
    pub header_timeout: Duration,
    /// How long an unused connection is kept when its server does not say.
    pub idle_timeout: Duration,
    /// Unused connections kept per upstream.
    pub max_idle: usize,
}

/// Put into a request's extensions: sending it twice does no harm, whatever its method says.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection: nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection broke, or what came is not HTTP.
    #[error("no proper answer")]
    Protocol(#[source] BoxError),
}

/// Connections to upstreams under one set of rules.
#[derive(Clone)]
pub struct Pool {}

/// One upstream: a scheme, host and port, and the idle connections to it. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {}

impl Pool {
    /// An empty pool.
    pub fn new(connector: Arc<Connector>, rules: Rules, settings: Settings) -> Self {
        todo!()
    }

    /// The upstream of a URL; its path is ignored. The same handle for the same origin.
    pub fn upstream(&self, url: &Url) -> Result<Upstream, Refusal> {
        todo!()
    }

    /// Closes connections that were unused for too long; to be called every few seconds.
    pub fn sweep(&self) {
        todo!()
    }
}

impl Upstream {
    /// Sends a request; its URI's path and query are used, `Host` is set. The answer's body streams;
    /// dropping it before its end closes the connection.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        todo!()
    }

    /// Like `send`, with another bound on the time until the answer's headers.
    pub async fn send_within(
        &self,
        request: Request<Body>,
        header_timeout: Duration,
    ) -> Result<Response<Body>, SendError> {
        todo!()
    }
}
