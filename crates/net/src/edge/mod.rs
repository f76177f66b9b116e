//! The edge: connections come in here, and leave as requests to a [`Site`].

pub(crate) mod arriving;
mod connection;
pub mod forwarded;
mod framing;
pub mod hosts;
pub(crate) mod leftover;
pub mod listen;
pub mod local_ca;
pub mod pace;
mod path;
pub mod places;
pub mod proxy;
pub mod remarks;
mod sending;
pub mod tls;
mod watch;
pub mod workers;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;

/// Something that answers requests. A site never fails: a failure is a response.
pub trait Site: Send + Sync + 'static {
    /// Answers one request of one peer.
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>>;

    /// The site that this one hands requests for a path to, if it does that: however long they take, they keep that one and
    /// none of the others.
    fn at(&self, path: &str) -> Option<&Arc<dyn Site>> {
        let _ = path;
        None
    }
}

/// Who sent a request, as far as the edge knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; behind trusted proxies, what they say about it (SEC-58).
    pub address: IpAddr,
    /// The name of the listener that took the connection.
    pub listener: Arc<str>,
    /// By which way it came there.
    pub arrival: Arrival,
    /// Whether the client used TLS: with that listener, or with a trusted proxy in front that says so.
    pub tls: bool,
    /// Whether the client showed a certificate that the listener's client CA signed.
    pub client_certificate: bool,
}

/// By which way a request came to a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrival {
    /// From the client itself, or from somebody whose word does not count.
    #[default]
    Direct,
    /// Through a trusted proxy.
    Proxied {
        /// Whether the client came to that over TLS; nothing if the proxy does not say.
        https: Option<bool>,
    },
}
