//! The listener for operators: `/healthz`, `/readyz`, `/metrics`. It is on an address of its own, loopback by default (SEC-75).
//!
//! `/readyz` speaks of the whole, `/readyz/gateway` and `/readyz/auth` of one half; with `?verbose` they say all they know.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use net::body::Body;
use net::edge::{Peer, Site};
use prometheus_client::registry::Registry;

use crate::readiness::{Half, Readiness};

/// The site of the management listener.
pub(crate) struct Management {
    registry: Registry,
    readiness: Arc<Readiness>,
}

impl Management {
    /// A listener's site.
    pub(crate) fn new(registry: Registry, readiness: Arc<Readiness>) -> Self {
        Self {
            registry,
            readiness,
        }
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is possible here\n".to_owned(),
            );
        }
        match uri.path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness(Half::Whole, uri),
            "/readyz/gateway" => self.readiness(Half::Gateway, uri),
            "/readyz/auth" => self.readiness(Half::Auth, uri),
            "/metrics" => self.metrics(),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz, /readyz/gateway, /readyz/auth and /metrics\n"
                    .to_owned(),
            ),
        }
    }

    fn readiness(&self, half: Half, uri: &Uri) -> Response<Body> {
        let verdict = self.readiness.of(half);
        let mut query = uri.query().unwrap_or_default().split('&');
        let verbose = query.any(|part| matches!(part, "verbose" | "verbose=" | "verbose=true"));
        let status = if verdict.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        text(status, verdict.text(verbose))
    }

    fn metrics(&self) -> Response<Body> {
        let mut out = String::new();
        if prometheus_client::encoding::text::encode(&mut out, &self.registry).is_err() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, String::new());
        }
        let mut response = text(StatusCode::OK, out);
        let kind =
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl Site for Management {
    fn call(&self, request: Request<Body>, _: &Peer) -> BoxFuture<'_, Response<Body>> {
        std::future::ready(self.answer(request.method(), request.uri())).boxed()
    }
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
