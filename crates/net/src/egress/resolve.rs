//! Names to addresses: the system's resolver, and a configured map in front of it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

/// Turns a name into socket addresses. A trait so that tests can answer differently each time.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, with `port` unless the resolver knows a better one.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// `getaddrinfo`, with everything the system puts behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed()
    }
}

/// Configured names in front of another resolver. A mapped address is subject to the same rules.
pub struct HostMap {
    names: HashMap<Box<str>, SocketAddr>,
    next: Arc<dyn Resolver>,
}

impl HostMap {
    /// Maps names (any case; `name` or `name:port`) to the socket addresses to dial instead.
    pub fn new(
        names: impl IntoIterator<Item = (String, SocketAddr)>,
        next: Arc<dyn Resolver>,
    ) -> Self {
        let names = names
            .into_iter()
            .map(|(name, address)| (name.to_lowercase().into_boxed_str(), address))
            .collect();
        Self { names, next }
    }
}

impl std::fmt::Debug for HostMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostMap")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Resolver for HostMap {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        if !self.names.is_empty() {
            let exact = format!("{host}:{port}");
            if let Some(address) = self
                .names
                .get(exact.as_str())
                .or_else(|| self.names.get(host))
            {
                return std::future::ready(Ok(vec![*address])).boxed();
            }
        }
        self.next.resolve(host, port)
    }
}
