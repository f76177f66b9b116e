//! Picks the site by listener and host name.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;
use crate::edge::{Peer, Site};

/// Which site answers for which host on which listener.
#[derive(Clone, Default)]
pub struct Table {}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }
    /// Puts a site behind a host (a name or address without port) of a listener.
    pub fn insert(&mut self, listener: &str, host: &str, site: Arc<dyn Site>) {
        todo!()
    }
    /// Puts a site behind every other host of a listener: management, demonstrations.
    pub fn insert_any_host(&mut self, listener: &str, site: Arc<dyn Site>) {
        todo!()
    }
}

/// A site that hands requests to other sites by host.
pub struct Hosts {
    table: ArcSwap<Table>,
}

impl Hosts {
    /// Routes by this table.
    pub fn new(table: Table) -> Self {
        todo!()
    }
    /// Replaces the table; requests under way keep their site.
    pub fn replace(&self, table: Table) {
        todo!()
    }
}

impl Site for Hosts {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        todo!()
    }
}

/// The host (without port, lower case) that a request asks for, if it asks properly for one.
pub fn host_of<B>(request: &Request<B>) -> Result<String, HostError> {
    todo!()
}

/// Why a request's host is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No `Host` header and no authority.
    #[error("request names no host")]
    Missing,
    /// Several `Host` headers, or one that contradicts the authority.
    #[error("request names several hosts")]
    Several,
    /// Not a host and port.
    #[error("host is malformed")]
    Malformed,
}
