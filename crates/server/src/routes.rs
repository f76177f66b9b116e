//! Which service answers for a path, where one host has several.
//!
//! The order: an exact path before anything else, then the longest prefix that ends at a `/`, then the service that has
//! the whole host. A service says itself which paths it wants; two that want the same are a mistake in the configuration.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use net::body::Body;
use net::edge::hosts::plain;
use net::edge::{Peer, Site};

/// What a service wants of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// This path and no other.
    Exact(String),
    /// This path and everything below it.
    Below(String),
    /// Whatever nobody else wants.
    Rest,
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "the path `{path}`"),
            Self::Below(path) => write!(f, "the paths below `{path}`"),
            Self::Rest => f.write_str("all other paths"),
        }
    }
}

/// The services of one host.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    exact: HashMap<String, Arc<dyn Site>>,
    below: HashMap<String, Arc<dyn Site>>,
    rest: Option<Arc<dyn Site>>,
}

impl Routes {
    /// Gives a service what it wants, unless somebody has it already.
    pub(crate) fn claim(&mut self, claim: &Claim, site: Arc<dyn Site>) -> bool {
        let (paths, path) = match claim {
            Claim::Exact(path) => (&mut self.exact, path),
            Claim::Below(path) => (&mut self.below, path),
            Claim::Rest => {
                let free = self.rest.is_none();
                self.rest.get_or_insert(site);
                return free;
            }
        };
        match paths.entry(path.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(site);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Whether anybody answers for a path.
    pub(crate) fn answers(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// The service for a path.
    fn find(&self, path: &str) -> Option<&Arc<dyn Site>> {
        if let Some(site) = self.exact.get(path) {
            return Some(site);
        }
        let mut prefix = path;
        loop {
            if let Some(site) = self.below.get(prefix) {
                return Some(site);
            }
            match prefix.rsplit_once('/') {
                Some((shorter, _)) => prefix = shorter,
                None => return self.rest.as_ref(),
            }
        }
    }
}

impl Site for Routes {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        if let Some(site) = self.find(request.uri().path()) {
            return site.call(request, peer);
        }
        let answer = plain(StatusCode::NOT_FOUND, "Nothing is served here.\n");
        std::future::ready(answer).boxed()
    }

    fn at(&self, path: &str) -> Option<&Arc<dyn Site>> {
        self.find(path)
    }
}

#[cfg(test)]
mod tests {
    use net::edge::hosts::{Hosts, Table};

    use super::*;

    struct Named(&'static str);

    impl Site for Named {
        fn call(&self, _: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
            std::future::ready(Response::new(Body::full(self.0))).boxed()
        }
    }

    /// Answers nothing.
    struct Silent;

    impl Site for Silent {
        fn call(&self, _: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
            std::future::pending().boxed()
        }
    }

    fn peer() -> Peer {
        Peer {
            address: [127, 0, 0, 1].into(),
            listener: "main".into(),
            arrival: net::edge::Arrival::Direct,
            tls: false,
            client_certificate: false,
        }
    }

    fn answer(routes: &Routes, path: &str) -> String {
        let peer = peer();
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = routes.call(request, &peer).now_or_never().unwrap();
        String::from_utf8(response.into_body().as_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn an_exact_path_comes_before_a_prefix_and_a_prefix_before_the_rest() {
        let mut routes = Routes::default();
        assert!(routes.claim(
            &Claim::Below("/realms/a".to_owned()),
            Arc::new(Named("realm"))
        ));
        assert!(routes.claim(
            &Claim::Exact("/realms/a/c.json".to_owned()),
            Arc::new(Named("document"))
        ));
        assert!(routes.claim(&Claim::Rest, Arc::new(Named("proxy"))));
        assert_eq!(answer(&routes, "/realms/a"), "realm");
        assert_eq!(answer(&routes, "/realms/a/token?x=/y"), "realm");
        assert_eq!(answer(&routes, "/realms/a/c.json"), "document");
        assert_eq!(answer(&routes, "/realms/ab"), "proxy");
        assert_eq!(answer(&routes, "/"), "proxy");
    }

    #[test]
    fn what_nobody_wants_is_not_found() {
        assert_eq!(
            answer(&Routes::default(), "/x"),
            "Nothing is served here.\n"
        );
    }

    #[test]
    fn a_request_under_way_keeps_its_own_service_and_no_other() {
        let (silent, other): (Arc<dyn Site>, Arc<dyn Site>) =
            (Arc::new(Silent), Arc::new(Named("other")));
        let kept = Arc::downgrade(&silent);
        let gone = Arc::downgrade(&other);
        let mut routes = Routes::default();
        routes.claim(&Claim::Below("/silent".to_owned()), silent);
        routes.claim(&Claim::Rest, other);
        let mut table = Table::new();
        table.insert_any_host("main", Arc::new(routes));
        let hosts = Hosts::new(table);
        let request = Request::builder()
            .uri("/silent")
            .header("host", "a.example")
            .body(Body::empty())
            .unwrap();
        let peer = peer();
        let under_way = hosts.call(request, &peer);
        hosts.replace(Table::new());
        assert_eq!((kept.strong_count(), gone.strong_count()), (1, 0));
        drop(under_way);
        assert_eq!(kept.strong_count(), 0);
    }

    #[test]
    fn two_services_cannot_have_the_same_path() {
        let mut routes = Routes::default();
        assert!(routes.claim(&Claim::Exact("/mcp".to_owned()), Arc::new(Named("a"))));
        assert!(!routes.claim(&Claim::Exact("/mcp".to_owned()), Arc::new(Named("b"))));
    }
}
