//! The management site by names that are ours only: a web page whose own name resolves to our address reads nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Version};
use net::body::Body;
use net::edge::hosts::{HostError, host_of, plain};
use net::edge::{Peer, Site};

use crate::browsers;
use crate::config::scalar::HostPattern;

/// A site that answers for `localhost`, for addresses that can only be its own, and for names that the operator gave.
pub(crate) struct ByName {
    inner: Arc<dyn Site>,
    address: IpAddr,
    names: Vec<HostPattern>,
}

impl ByName {
    /// `address` is where the site listens.
    pub(crate) fn new(inner: Arc<dyn Site>, address: SocketAddr, names: Vec<HostPattern>) -> Self {
        Self {
            inner,
            address: address.ip(),
            names,
        }
    }

    fn is_ours(&self, request: &Request<Body>) -> bool {
        let host = match host_of(request) {
            Ok(host) => host,
            // No browser speaks HTTP/1.0; health checks of load balancers do.
            Err(HostError::Missing) => return request.version() == Version::HTTP_10,
            Err(HostError::Several | HostError::Malformed) => return false,
        };
        match host.parse::<IpAddr>() {
            // An address has no name that could be made to mean another one.
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback() || self.address.is_unspecified() || address == self.address
            }
            Err(_name) => {
                host == "localhost"
                    || host.ends_with(".localhost")
                    || self.names.iter().any(|pattern| pattern.fits(&host))
            }
        }
    }
}

impl Site for ByName {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let answering = if self.is_ours(&request) {
            self.inner.call(request, peer)
        } else {
            std::future::ready(refusal()).boxed()
        };
        let tls = peer.tls;
        async move {
            let mut response = answering.await;
            browsers::tell(&mut response, tls);
            response
        }
        .boxed()
    }
}

fn refusal() -> Response<Body> {
    plain(
        StatusCode::MISDIRECTED_REQUEST,
        "this is not served under that name; hint: operators add it to `management.hosts`\n",
    )
}

#[cfg(test)]
mod tests {
    use net::edge::Arrival;

    use super::*;

    struct Metrics;

    impl Site for Metrics {
        fn call(&self, _: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
            std::future::ready(Response::new(Body::full("metrics"))).boxed()
        }
    }

    fn status(address: &str, names: &[&str], version: Version, host: Option<&str>) -> u16 {
        let names = names
            .iter()
            .map(|name| HostPattern::parse(name).unwrap())
            .collect();
        let site = ByName::new(Arc::new(Metrics), address.parse().unwrap(), names);
        let peer = Peer {
            address: [127, 0, 0, 1].into(),
            listener: "management".into(),
            arrival: Arrival::Direct,
            tls: false,
            client_certificate: false,
        };
        let mut request = Request::get("/metrics").version(version);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = site.call(request, &peer).now_or_never().unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        response.status().as_u16()
    }

    // SEC-62, SEC-75
    #[test]
    fn operators_are_served_by_names_that_are_ours_only() {
        for (address, host, expected) in [
            ("127.0.0.1:9480", "127.0.0.1:9480", 200),
            ("127.0.0.1:9480", "localhost:9480", 200),
            ("127.0.0.1:9480", "sekisho.localhost", 200),
            ("127.0.0.1:9480", "[::1]:9480", 200),
            ("127.0.0.1:9480", "evil.example", 421),
            ("127.0.0.1:9480", "localhost.evil.example", 421),
            ("127.0.0.1:9480", "10.1.2.3", 421),
            ("10.1.2.3:9480", "10.1.2.3:9480", 200),
            ("10.1.2.3:9480", "10.1.2.4:9480", 421),
            ("0.0.0.0:9480", "10.1.2.3:9480", 200),
            ("0.0.0.0:9480", "evil.example", 421),
            ("[::]:9480", "evil.example", 421),
        ] {
            let answered = status(address, &[], Version::HTTP_11, Some(host));
            assert_eq!(answered, expected, "{host} at {address}");
        }
    }

    // SEC-75
    #[test]
    fn operators_may_add_names() {
        let names = ["metrics.example", "*.monitoring.svc"];
        for (host, expected) in [
            ("metrics.example:9480", 200),
            ("sekisho.monitoring.svc", 200),
            ("monitoring.svc", 421),
        ] {
            let answered = status("0.0.0.0:9480", &names, Version::HTTP_11, Some(host));
            assert_eq!(answered, expected, "{host}");
        }
    }

    #[test]
    fn a_health_check_without_a_host_is_served() {
        assert_eq!(status("0.0.0.0:1", &[], Version::HTTP_10, None), 200);
        assert_eq!(status("0.0.0.0:1", &[], Version::HTTP_11, None), 421);
    }
}
