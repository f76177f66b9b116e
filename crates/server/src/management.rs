//! The listener for operators: `/healthz`, `/readyz`, `/metrics`. It is on an address of its own, loopback by default (SEC-75).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use net::body::Body;
use net::edge::{Peer, Site};
use prometheus_client::registry::Registry;
use store::Store;

/// The site of the management listener.
pub(crate) struct Management {
    registry: Registry,
    store: Store,
    ready: Arc<AtomicBool>,
}

impl Management {
    /// `ready` says whether new requests are welcome: not before everything listens, and not while draining.
    pub(crate) fn new(registry: Registry, store: Store, ready: Arc<AtomicBool>) -> Self {
        Self {
            registry,
            store,
            ready,
        }
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is possible here\n".to_owned(),
            );
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness().await,
            "/metrics" => self.metrics(),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz and /metrics\n".to_owned(),
            ),
        }
    }

    async fn readiness(&self) -> Response<Body> {
        if !self.ready.load(Ordering::Relaxed) {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting or ending\n".to_owned(),
            );
        }
        match self.store.ping().await {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(error) => {
                tracing::warn!(%error, "the database does not answer");
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database does not answer\n".to_owned(),
                )
            }
        }
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
        async move { self.answer(request.method(), request.uri().path()).await }.boxed()
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
