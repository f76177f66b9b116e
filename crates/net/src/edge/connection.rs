//! Serves one accepted connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::edge::arriving::{Arriving, Source};
use crate::edge::forwarded::TrustedProxies;
use crate::edge::hosts::ToldHost;
use crate::edge::hosts::plain;
use crate::edge::leftover::Leftover;
use crate::edge::sending::{Sending, UnderWay};
use crate::edge::tls::Tls;
use crate::edge::watch::{Command, Registered, Watch, Watched};
use crate::edge::{Arrival, Peer, Site};

/// Requests at the same time on one HTTP/2 connection (SEC-60).
const STREAMS: u32 = 100;
/// Bytes of request headers in HTTP/2 (SEC-60).
const HEADER_LIST: u32 = 16 * 1024;
/// Streams that a client opened and reset before they were accepted (SEC-60, CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Bytes of request line and headers in HTTP/1.1.
const HEAD_BUFFER: usize = 64 * 1024;

/// What all connections of a listener have in common.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) tls: Option<Tls>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) site: Arc<dyn Site>,
    pub(crate) tracker: TaskTracker,
}

/// Streams of HTTP/2 run as tasks that shutdown waits for.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.tracker.spawn(future);
    }
}

/// What all requests of a connection have in common.
struct Connection {
    shared: Arc<Shared>,
    peer: Peer,
    watch: Arc<Watch>,
    leftover: Arc<Leftover>,
}

/// Serves the connection until it ends, is told to, or took too long.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: IpAddr,
    registered: Registered<Watch>,
) {
    let watch = Arc::clone(&registered.entry);
    let mut peer = Peer {
        address,
        listener: Arc::clone(&shared.name),
        arrival: Arrival::Direct,
        tls: shared.tls.is_some(),
        client_certificate: false,
    };
    let Some(tls) = &shared.tls else {
        let connection = Connection {
            shared,
            peer,
            watch,
            leftover: Arc::default(),
        };
        return connection.run(stream).await;
    };
    let mut handshake = pin!(tls.accept(stream));
    let handshake = poll_fn(|cx| match watch.poll_command(cx) {
        Command::Run => handshake.as_mut().poll(cx).map(Some),
        Command::Drain | Command::Cut => Poll::Ready(None),
    });
    match handshake.await {
        Some(Ok(stream)) => {
            peer.client_certificate = stream.client_certificate();
            watch.begin();
            let connection = Connection {
                shared: Arc::clone(&shared),
                peer,
                watch,
                leftover: Arc::default(),
            };
            connection.run(stream).await;
        }
        Some(Err(error)) => {
            tracing::debug!(listener = %shared.name, %error, "TLS handshake failed");
        }
        None => {}
    }
    drop(registered);
}

impl Connection {
    async fn run<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::new(self);
        let mut builder = auto::Builder::new(Tasks {
            tracker: connection.shared.tracker.clone(),
        });
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // The watch does this.
            .max_buf_size(HEAD_BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADER_LIST)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&connection.watch)));
        let service = {
            let connection = Arc::clone(&connection);
            service_fn(move |request| answer(Arc::clone(&connection), request))
        };
        let mut serving = pin!(builder.serve_connection(io, service));
        let mut draining = false;
        let result = poll_fn(|cx| {
            match connection.watch.poll_command(cx) {
                Command::Run => {}
                Command::Drain if draining => {}
                Command::Drain => {
                    draining = true;
                    serving.as_mut().graceful_shutdown();
                }
                Command::Cut => return Poll::Ready(Ok(())),
            }
            serving.as_mut().poll(cx)
        })
        .await;
        if let Err(error) = result {
            tracing::debug!(listener = %connection.shared.name, %error, "connection ended badly");
        }
    }
}

async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Sending>, Infallible> {
    let under_way = UnderWay::begin(&connection.watch, request.version());
    // In HTTP/2 an unread body costs its stream only.
    let is_owed = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
    let waits_for_continue = request.headers().contains_key(header::EXPECT);
    let mut response = if request.method() == Method::CONNECT {
        plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "CONNECT is not served here.\n",
        )
    } else if has_strange_coding(request.headers()) {
        strange_coding()
    } else {
        let leftover = &connection.leftover;
        let request = request.map(|body| {
            let source = if is_owed {
                Source::Lent(leftover.lend(body))
            } else {
                Source::Incoming(body)
            };
            Body::arriving(Arriving::new(source, Arc::clone(&connection.watch)))
        });
        call(&connection, request).await
    };
    // Who waits for `100 Continue` has not sent the body, and is not asked for it after a refusal.
    let can_go_on = match (is_owed, waits_for_continue) {
        (false, _) => true,
        (true, false) => connection.leftover.read().await,
        (true, true) => !connection.leftover.is_unread(),
    };
    if !can_go_on {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Sending::new(body, under_way)))
}

/// Whether a body is coded in another way than just by chunks: those codings would reach the site as bytes
/// (SEC-59). In HTTP/2 hyper refuses the field.
fn has_strange_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = |coding: &HeaderValue| {
        coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    };
    let first = codings.next();
    first.is_some_and(|coding| !chunked(coding)) || codings.next().is_some()
}

/// RFC 9112 §6.1.
fn strange_coding() -> Response<Body> {
    let mut response = plain(
        StatusCode::NOT_IMPLEMENTED,
        "The only transfer coding that is understood here is `chunked`.\n",
    );
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// What a site may take for granted: one `Cookie` field, although HTTP/2 may send it in crumbs
/// (RFC 9113 §8.2.3, SEC-85).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Calls the site; its panic becomes a 500 without a body (SEC-72).
async fn call(connection: &Connection, mut request: Request<Body>) -> Response<Body> {
    let Shared {
        site,
        trusted_proxies,
        ..
    } = &*connection.shared;
    join_cookies(request.headers_mut());
    let calling = async {
        if trusted_proxies.contains(connection.peer.address) {
            let told = trusted_proxies.told(connection.peer.address, request.headers());
            let peer = Peer {
                address: told.address,
                arrival: Arrival::Proxied { https: told.https },
                tls: told.https.unwrap_or(connection.peer.tls),
                ..connection.peer.clone()
            };
            if let Some(host) = told.host {
                request.extensions_mut().insert(ToldHost(host));
            }
            site.call(request, &peer).await
        } else {
            site.call(request, &connection.peer).await
        }
    };
    match AssertUnwindSafe(calling).catch_unwind().await {
        Ok(response) => response,
        Err(_panic) => {
            tracing::error!(listener = %connection.shared.name, "a request made the program panic");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
