//! Around everything that is served: a number for each request, one line in the log about it, and the counting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use gateway::metrics::Latency;
use http::header::HeaderName;
use http::{HeaderValue, Method, Request, Response, Uri};
use model::clock::Clock;
use net::body::Body;
use net::boxed::in_place;
use net::edge::hosts::AskedHost;
use net::edge::remarks::Remarks;
use net::edge::{Arrival, Peer, Site};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::browsers;
use crate::telemetry::request_log::{Answered, RequestId, RequestLog, body_within, within};

/// The header in which an answer says which request it is for; lines of the log about that name it, too.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is counted about requests.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: Latency,
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
            seconds: Latency::default(),
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

/// A site around another one, on one listener.
pub(crate) struct Access {
    inner: Arc<dyn Site>,
    watch: Arc<Watch>,
    listener: Arc<str>,
    /// The counters of statuses that were answered, from [`LEAST_STATUS`] on: looking for them takes a lock.
    answered: Box<[OnceLock<Counter>]>,
}

const LEAST_STATUS: u16 = 100;

/// What all sites of a process share that are watched over.
pub(crate) struct Watch {
    metrics: Metrics,
    log: RequestLog,
    clock: Arc<dyn Clock>,
    /// Tells requests of this process from those of others.
    process: u32,
    count: AtomicU64,
}

impl Watch {
    /// `process` is a random number.
    pub(crate) fn new(
        metrics: Metrics,
        log: RequestLog,
        clock: Arc<dyn Clock>,
        process: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            log,
            clock,
            process,
            count: AtomicU64::new(0),
        })
    }
}

impl Access {
    /// Watches over `inner`, on the listener of this name.
    pub(crate) fn new(inner: Arc<dyn Site>, watch: Arc<Watch>, listener: Arc<str>) -> Self {
        // A `StatusCode` has three digits.
        let answered = (LEAST_STATUS..1000).map(|_| OnceLock::new()).collect();
        Self {
            inner,
            watch,
            listener,
            answered,
        }
    }

    fn count(&self, status: u16) {
        let place = status.saturating_sub(LEAST_STATUS);
        let Some(counter) = self.answered.get(usize::from(place)) else {
            return;
        };
        let made = || {
            let listener = Arc::clone(&self.listener);
            let labels = Labels { listener, status };
            self.watch.metrics.requests.get_or_create_owned(&labels)
        };
        counter.get_or_init(made).inc();
    }
}

impl Site for Access {
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let begun = Instant::now();
        let watch = &*self.watch;
        let number = watch.count.fetch_add(1, Ordering::Relaxed);
        let id = RequestId {
            process: watch.process,
            number,
        };
        let asked = RequestLog::is_wanted().then(|| Asked {
            method: request.method().clone(),
            host: host(&request),
            uri: request.uri().clone(),
        });
        let address = peer.address;
        let tls = peer.tls;
        let proxied = peer.arrival != Arrival::Direct;
        let under_way = UnderWay::new(&watch.metrics.under_way);
        let answering = within(id, self.inner.call(request, peer));
        in_place(|| async move {
            let mut response = answering.await;
            browsers::tell(&mut response, tls);
            let remarks = response.extensions_mut().remove::<Remarks>();
            let told = proxied.then(|| response.extensions_mut().remove::<AskedHost>());
            drop(under_way);
            let mut id_text = String::with_capacity(RequestId::LONGEST);
            id.push(&mut id_text);
            // Whoever asks the operator about a request names it by this.
            if let Ok(id) = HeaderValue::from_str(&id_text) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            let status = response.status().as_u16();
            let took = begun.elapsed();
            if let Some(asked) = asked {
                watch.log.write(&Answered {
                    at: watch.clock.now(),
                    id: &id_text,
                    method: asked.method.as_str(),
                    host: told
                        .flatten()
                        .map(|AskedHost(host)| host)
                        .or(asked.host)
                        .as_ref()
                        .and_then(|host| host.to_str().ok())
                        .unwrap_or_default(),
                    path: asked.uri.path(),
                    status,
                    micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    peer: address,
                    listener: &self.listener,
                    remarks: remarks.as_ref(),
                });
            }
            self.count(status);
            watch.metrics.seconds.observe(took);
            response.map(|body| body_within(id, body))
        })
    }
}

/// What the log says about a request; cheap to keep, because it shares the request's memory.
struct Asked {
    method: Method,
    host: Option<HeaderValue>,
    uri: Uri,
}

fn host(request: &Request<Body>) -> Option<HeaderValue> {
    match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(http::header::HOST).cloned(),
    }
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
