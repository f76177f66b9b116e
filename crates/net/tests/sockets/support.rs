//! What the tests of this folder share: connectors, resolvers, listeners, raw clients.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use net::body::Body;
use net::edge::listen::{Limits, Listener, Settings};
use net::edge::{Peer, Site};
use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, Resolver, SystemResolver};
use net::egress::rules::Rules;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// A request without anything special.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";

/// What follows the head of an answer.
pub(crate) fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer").1
}

pub(crate) fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// Rules that allow this machine over plain http, as an operator would for a test.
pub(crate) fn local_rules() -> Rules {
    Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    }
}

pub(crate) fn connector() -> Arc<Connector> {
    Arc::new(Connector::new(
        Arc::new(SystemResolver::default()),
        ExtraRoots::default(),
    ))
}

/// A connector that knows these names only, and trusts this CA beside the system's.
pub(crate) fn connector_with(names: &[(&str, SocketAddr)], ca: Option<&str>) -> Arc<Connector> {
    let names = names
        .iter()
        .map(|(name, address)| ((*name).to_owned(), *address));
    let map = HostMap::new(names, Arc::new(Answers::new([])));
    let mut roots = ExtraRoots::default();
    if let Some(ca) = ca {
        roots.add_pem(ca.as_bytes()).unwrap();
    }
    Arc::new(Connector::new(Arc::new(map), roots))
}

pub(crate) fn local_client() -> Client {
    Client::new(connector(), local_rules())
}

/// A resolver that gives one answer after the other, and the last one for ever.
pub(crate) struct Answers {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    calls: AtomicUsize,
}

impl Answers {
    pub(crate) fn new<const N: usize>(answers: [&[&str]; N]) -> Self {
        let answers = answers
            .iter()
            .map(|answer| {
                answer
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect()
            })
            .collect();
        Self {
            answers: Mutex::new(answers),
            calls: AtomicUsize::new(0),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Resolver for Answers {
    fn resolve<'a>(
        &'a self,
        _host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock();
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        let answer = answer.map(|answer| {
            answer
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect()
        });
        std::future::ready(answer.ok_or_else(|| io::ErrorKind::NotFound.into())).boxed()
    }
}

/// A site made of a closure.
pub(crate) struct SiteFn<F>(pub F);

impl<F, R> Site for SiteFn<F>
where
    F: Fn(Request<Body>, Peer) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    fn call(&self, request: Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        (self.0)(request, peer.clone()).boxed()
    }
}

/// A site that always says the same.
pub(crate) fn says(text: &'static str) -> Arc<dyn Site> {
    Arc::new(SiteFn(move |_, _| async move {
        Response::new(Body::from(text))
    }))
}

/// A listener that serves.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<usize>,
}

pub(crate) async fn serve(site: Arc<dyn Site>) -> Served {
    serve_limited(site, Limits::default()).await
}

pub(crate) async fn serve_limited(site: Arc<dyn Site>, limits: Limits) -> Served {
    let settings = Settings {
        limits,
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    serve_with(site, settings).await
}

pub(crate) async fn serve_with(site: Arc<dyn Site>, settings: Settings) -> Served {
    let listener = Listener::bind(settings).await.unwrap();
    let address = listener.address();
    let stop = CancellationToken::new();
    let ended = TaskTracker::new().spawn(listener.serve(site, stop.clone()));
    Served {
        address,
        stop,
        ended,
    }
}

impl Served {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a new connection and reads until it is closed.
    pub(crate) async fn exchange(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }
}

/// All that arrives until the connection is closed, by whatever means.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..count]);
        }
    };
    within(reading).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for something that must happen soon.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("took too long")
}

/// Polls until the condition holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
