//! Around everything that is served: a number for each request, one line in the log about it, and the counting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use net::body::Body;
use net::edge::{Peer, Site};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tracing::Instrument as _;

/// What is counted about requests.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    under_way: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: Arc<str>,
    status: u16,
}

impl Metrics {
    /// Registers what is counted.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ]),
            under_way: Gauge::default(),
        };
        registry.register(
            "http_requests",
            "Requests that were answered",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Time until the headers of an answer",
            metrics.seconds.clone(),
        );
        registry.register(
            "http_requests_under_way",
            "Requests that have no answer yet",
            metrics.under_way.clone(),
        );
        metrics
    }
}

/// A site around another one.
pub(crate) struct Access {
    inner: Arc<dyn Site>,
    metrics: Metrics,
    /// Tells requests of this process from those of others.
    process: u32,
    count: AtomicU64,
}

impl Access {
    /// Watches over `inner`. `process` is a random number.
    pub(crate) fn new(inner: Arc<dyn Site>, metrics: Metrics, process: u32) -> Self {
        Self {
            inner,
            metrics,
            process,
            count: AtomicU64::new(0),
        }
    }
}

impl Site for Access {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let begun = Instant::now();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!(
            "request",
            id = format_args!("{:08x}-{number}", self.process)
        );
        let line = tracing::enabled!(tracing::Level::INFO).then(|| Line {
            method: request.method().clone(),
            host: request
                .uri()
                .host()
                .map(str::to_owned)
                .or_else(|| host_header(&request)),
            path: request.uri().path().to_owned(),
        });
        let peer = peer.clone();
        let under_way = UnderWay::new(&self.metrics.under_way);
        async move {
            let response = self.inner.call(request, &peer).await;
            drop(under_way);
            let status = response.status().as_u16();
            let took = begun.elapsed();
            self.metrics
                .requests
                .get_or_create(&Labels {
                    listener: Arc::clone(&peer.listener),
                    status,
                })
                .inc();
            self.metrics.seconds.observe(took.as_secs_f64());
            if let Some(line) = line {
                line.write(status, took, &peer);
            }
            response
        }
        .instrument(span)
        .boxed()
    }
}

/// What the log says about a request. The query stays out of it: codes and tokens travel there.
struct Line {
    method: http::Method,
    host: Option<String>,
    path: String,
}

impl Line {
    fn write(&self, status: u16, took: Duration, peer: &Peer) {
        let ms = took.as_secs_f64() * 1000.0;
        tracing::info!(
            method = %self.method,
            host = self.host.as_deref().unwrap_or_default(),
            path = self.path,
            status,
            ms = format_args!("{ms:.1}"),
            peer = %peer.address,
            listener = &*peer.listener,
            "answered"
        );
    }
}

fn host_header(request: &Request<Body>) -> Option<String> {
    request
        .headers()
        .get(http::header::HOST)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// Counts a request as under way until it is answered or given up.
struct UnderWay(Gauge);

impl UnderWay {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}
