//! A site in front of somebody else's server.

use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;
use crate::edge::{Peer, Site};
use crate::egress::pool::Upstream;

/// Forwards every request to one upstream.
pub struct Proxy {}

impl Proxy {
    /// A proxy to `upstream`; `base_path` ("" or "/x") is put before every path.
    pub fn new(upstream: Upstream) -> Self {
        todo!()
    }
}

impl Site for Proxy {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        todo!()
    }
}
