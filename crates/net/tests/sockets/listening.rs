//! Listeners: protocols, limits, slow clients, draining, and who is asking.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::body::{Body, BoxError};
use net::edge::client_ip::TrustedProxies;
use net::edge::hosts::{Hosts, Table};
use net::edge::listen::{Limits, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::support::{
    Served, SiteFn, read_to_end, says, serve, serve_limited, serve_with, until, within,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";

fn impatient() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(150),
        idle_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("an answer").1
}

#[tokio::test]
async fn a_request_is_answered_over_http_1() {
    let served = serve(says("hello")).await;
    assert_ne!(served.address.port(), 0);
    let answer = served.exchange(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(body_of(&answer), "hello");
}

#[tokio::test]
async fn a_request_is_answered_over_http_2() {
    let served = serve(says("hello")).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    TaskTracker::new().spawn(connection);
    let request =
        Request::get(format!("http://{}/", served.address)).body(Full::<Bytes>::default());
    let response = within(sender.send_request(request.unwrap())).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
}

/// Sends headers, and only after the site has long answered the body and a second request.
async fn answers_to_a_late_body(extra: &str, body: &[u8]) -> String {
    let served = serve(says("refused")).await;
    let mut stream = served.connect().await;
    stream.set_nodelay(true).unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{extra}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Either may fail when the connection is gone.
    drop(stream.write_all(body).await);
    drop(stream.write_all(GET.as_bytes()).await);
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn a_body_that_nobody_reads_leaves_the_connection_usable() {
    let answers = answers_to_a_late_body("content-length: 5\r\n", b"hello").await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

// SEC-79
#[tokio::test]
async fn a_large_body_that_nobody_reads_ends_the_connection_and_the_answer_says_so() {
    let body = vec![b'x'; 100_000];
    let answers = answers_to_a_late_body("content-length: 100000\r\n", &body).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

// SEC-61
#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let served = serve(says("refused")).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
    let answer = served.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_refused_client_that_waits_for_continue_is_not_asked_for_its_body() {
    let headers = "content-length: 5\r\nexpect: 100-continue\r\n";
    let answers = answers_to_a_late_body(headers, b"").await;
    assert!(answers.starts_with("HTTP/1.1 200 OK"), "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

// SEC-60
#[tokio::test]
async fn http_2_is_capped() {
    let served = serve(says("hello")).await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS comes first");
    let mut settings = vec![0; usize::from(head[2])];
    within(stream.read_exact(&mut settings)).await.unwrap();
    let value_of = |id: u8| {
        let entry = settings
            .chunks(6)
            .find(|entry| entry[1] == id)
            .expect("setting is sent");
        u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]])
    };
    assert_eq!(value_of(3), 100, "concurrent streams");
    assert_eq!(value_of(6), 16 * 1024, "header list");
}

// SEC-61
#[tokio::test]
async fn a_client_that_never_ends_its_headers_is_cut_off() {
    let served = serve_limited(says("hello"), impatient()).await;
    for beginning in ["", "G", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a"] {
        let mut stream = served.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut stream).await, "", "{beginning:?}");
    }
}

// SEC-61
#[tokio::test]
async fn a_client_that_drips_its_headers_is_cut_off() {
    let served = serve_limited(says("hello"), impatient()).await;
    let mut stream = served.connect().await;
    let dripping = async {
        stream.write_all(b"GET / HTTP/1.1\r\n").await?;
        loop {
            stream.write_all(b"x: y\r\n").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended: Result<(), std::io::Error> = within(dripping).await;
    assert!(ended.is_err());
}

// SEC-61
#[tokio::test]
async fn the_second_request_of_a_connection_is_watched_too() {
    let served = serve_limited(says("hello"), impatient()).await;
    let mut stream = served.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhos")
        .await
        .unwrap();
    let answers = read_to_end(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 1, "{answers}");
}

#[tokio::test]
async fn a_connection_is_kept_between_requests() {
    let served = serve(says("hello")).await;
    let mut stream = served.connect().await;
    let mut buffer = [0; 1024];
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert!(buffer[..count].ends_with(b"hello"));
    }
}

/// Tells when it was dropped, and whatever holds it.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

// SEC-61
#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off() {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let site = SiteFn(move |_, _| {
        let flag = Flag(Arc::clone(&flag));
        let endless = stream::repeat_with(move || {
            let _held = &flag;
            Ok::<_, BoxError>(Bytes::from(vec![b'x'; 64 * 1024]))
        });
        async move { Response::new(Body::from_stream(endless)) }
    });
    let served = serve_limited(Arc::new(site), impatient()).await;
    let mut stream = served.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(|| dropped.load(Ordering::SeqCst)).await;
}

/// Two events, each after more time than a client has to take what waits for it.
fn quiet_events() -> Response<Body> {
    let events = stream::unfold(0, |number| async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let event = Ok::<_, BoxError>(Bytes::from(format!("data: {number}\n\n")));
        (number < 2).then_some((event, number + 1))
    });
    Response::new(Body::from_stream(events))
}

// SEC-61
#[tokio::test]
async fn a_quiet_event_stream_is_not_cut_off() {
    let served = serve_limited(
        Arc::new(SiteFn(|_, _| async { quiet_events() })),
        impatient(),
    )
    .await;
    let answer = served.exchange(GET).await;
    assert!(
        answer.contains("data: 0\n") && answer.contains("data: 1\n"),
        "{answer}"
    );
}

/// 64 KiB in memory.
struct Large {
    bytes: Vec<u8>,
    _flag: Flag,
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sends a GET over HTTP/2 and reads no further than the headers.
async fn get_http_2(
    sender: &mut SendRequest<Full<Bytes>>,
    served: &Served,
    path: &str,
) -> Response<Incoming> {
    let request = Request::get(format!("http://{}{path}", served.address));
    let request = request.body(Full::default()).unwrap();
    within(sender.send_request(request)).await.unwrap()
}

/// Fetches one large answer with this window and leaves it alone, beside a quiet stream of events.
async fn leaves_a_stream_alone(window: u32) {
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let site = SiteFn(move |request: Request<Body>, _| {
        let body = if request.uri().path() == "/events" {
            Body::from_stream(stream::pending::<Result<Bytes, BoxError>>())
        } else {
            Body::full(Bytes::from_owner(Large {
                bytes: vec![b'x'; 64 * 1024],
                _flag: Flag(Arc::clone(&flag)),
            }))
        };
        async move { Response::new(body) }
    });
    let served = serve_limited(Arc::new(site), impatient()).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .handshake(io)
        .await
        .unwrap();
    let connection = TaskTracker::new().spawn(connection);
    let _events = get_http_2(&mut sender, &served, "/events").await;
    let _unread = get_http_2(&mut sender, &served, "/").await;
    until(|| dropped.load(Ordering::SeqCst)).await;
    drop(within(connection).await.unwrap());
}

// SEC-61, SEC-79
#[tokio::test]
async fn a_client_that_opens_no_window_is_cut_off() {
    leaves_a_stream_alone(0).await;
}

// SEC-61, SEC-79
#[tokio::test]
async fn a_client_that_takes_one_byte_of_what_is_queued_is_cut_off() {
    leaves_a_stream_alone(1).await;
}

// SEC-61
#[tokio::test]
async fn a_quiet_event_stream_over_http_2_is_not_cut_off() {
    let served = serve_limited(
        Arc::new(SiteFn(|_, _| async { quiet_events() })),
        impatient(),
    )
    .await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    TaskTracker::new().spawn(connection);
    let response = get_http_2(&mut sender, &served, "/").await;
    let events = within(response.into_body().collect()).await.unwrap();
    assert_eq!(events.to_bytes(), "data: 0\n\ndata: 1\n\n");
}

// SEC-61
#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let limits = Limits {
        connections_per_address: 2,
        ..Limits::default()
    };
    let served = serve_limited(says("hello"), limits).await;
    let mut first = served.connect().await;
    let second = served.connect().await;
    let mut third = served.connect().await;
    assert_eq!(read_to_end(&mut third).await, "");
    drop(second);
    within(async {
        while !served.exchange(GET).await.contains("hello") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    first.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut first).await.ends_with("hello"));
}

// SEC-79
#[tokio::test]
async fn connections_over_the_total_wait_for_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let served = serve_limited(says("hello"), limits).await;
    let first = served.connect().await;
    let mut second = served.connect().await;
    second.write_all(GET.as_bytes()).await.unwrap();
    let mut byte = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err());
    drop(first);
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

/// A site that answers when told to.
async fn slow_site(limits: Limits) -> (Served, Arc<Notify>, Arc<AtomicUsize>) {
    let go = Arc::new(Notify::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let site = {
        let (go, begun) = (Arc::clone(&go), Arc::clone(&begun));
        SiteFn(move |_, _| {
            let go = Arc::clone(&go);
            begun.fetch_add(1, Ordering::SeqCst);
            async move {
                go.notified().await;
                Response::new(Body::from("done"))
            }
        })
    };
    (serve_limited(Arc::new(site), limits).await, go, begun)
}

#[tokio::test]
async fn a_request_under_way_is_finished_when_the_listener_ends() {
    let (served, go, begun) = slow_site(Limits::default()).await;
    let mut busy = served.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut idle = served.connect().await;
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    served.stop.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(!served.ended.is_finished());
    go.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("done"));
    assert_eq!(within(served.ended).await.unwrap(), 0);
    assert!(
        tokio::net::TcpStream::connect(served.address)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut() {
    let (served, _go, begun) = slow_site(impatient()).await;
    let mut busy = served.connect().await;
    busy.write_all(GET.as_bytes()).await.unwrap();
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    served.stop.cancel();
    assert_eq!(read_to_end(&mut busy).await, "");
    assert_eq!(within(served.ended).await.unwrap(), 1);
}

#[tokio::test]
async fn an_http_2_connection_is_drained() {
    let (served, go, begun) = slow_site(Limits::default()).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = TaskTracker::new().spawn(connection);
    let request =
        Request::get(format!("http://{}/", served.address)).body(Full::<Bytes>::default());
    let response = sender.send_request(request.unwrap());
    let response = TaskTracker::new().spawn(response);
    until(|| begun.load(Ordering::SeqCst) == 1).await;
    served.stop.cancel();
    go.notify_one();
    assert_eq!(
        within(response).await.unwrap().unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(within(served.ended).await.unwrap(), 0);
    within(connection).await.unwrap().unwrap();
}

// SEC-72
#[tokio::test]
async fn a_panic_is_a_500_without_body() {
    let site = SiteFn(|request: Request<Body>, _| async move {
        assert_ne!(request.uri().path(), "/panic", "on purpose");
        Response::new(Body::from("hello"))
    });
    let served = serve(Arc::new(site)).await;
    let answer = served.exchange(&GET.replace("GET / ", "GET /panic ")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert_eq!(body_of(&answer), "");
    assert!(served.exchange(GET).await.ends_with("hello"));
}

async fn address_seen(trusted: &[&str], forwarded: &str) -> String {
    let site = SiteFn(|_, peer: net::edge::Peer| async move {
        Response::new(Body::from(peer.address.to_string()))
    });
    let networks = trusted
        .iter()
        .map(|network| network.parse().unwrap())
        .collect();
    let settings = Settings {
        trusted_proxies: TrustedProxies::new(networks),
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    let served = serve_with(Arc::new(site), settings).await;
    let request = GET.replace(
        "\r\n\r\n",
        &format!("\r\nx-forwarded-for: {forwarded}\r\n\r\n"),
    );
    body_of(&served.exchange(&request).await).to_owned()
}

// SEC-58
#[tokio::test]
async fn the_forwarded_address_counts_from_trusted_proxies_only() {
    assert_eq!(address_seen(&[], "198.51.100.1").await, "127.0.0.1");
    assert_eq!(
        address_seen(&["10.0.0.0/8"], "198.51.100.1").await,
        "127.0.0.1"
    );
    assert_eq!(
        address_seen(&["127.0.0.0/8"], "6.6.6.6, 198.51.100.1").await,
        "198.51.100.1"
    );
}

async fn serve_hosts() -> (Served, Arc<Hosts>) {
    let mut table = Table::new();
    table.insert("main", "A.example", says("site a"));
    table.insert("main", "b.example", says("site b"));
    table.insert("main", "[::1]", says("site six"));
    table.insert("other", "c.example", says("site c"));
    let hosts = Arc::new(Hosts::new(table));
    (serve(Arc::clone(&hosts) as _).await, hosts)
}

#[tokio::test]
async fn the_host_picks_the_site() {
    let (served, _) = serve_hosts().await;
    for (host, text) in [
        ("a.example", "site a"),
        ("a.EXAMPLE:8443", "site a"),
        ("b.example.", "site b"),
        ("[::1]:80", "site six"),
    ] {
        let answer = served.exchange(&GET.replace("a.example", host)).await;
        assert_eq!(body_of(&answer), text, "{host}");
    }
    let absolute = GET
        .replace("GET / ", "GET http://b.example/ ")
        .replace("a.example", "b.example");
    assert_eq!(body_of(&served.exchange(&absolute).await), "site b");
}

// SEC-62
#[tokio::test]
async fn an_unknown_host_is_misdirected() {
    let (served, _) = serve_hosts().await;
    for host in ["evil.example", "c.example", "127.0.0.1"] {
        let answer = served.exchange(&GET.replace("a.example", host)).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
        assert!(!answer.contains(host));
    }
}

// SEC-62
#[tokio::test]
async fn a_request_without_a_proper_host_is_bad() {
    let (served, _) = serve_hosts().await;
    for headers in [
        "",
        "host: a.example\r\nhost: a.example\r\n",
        "host: a.example, b.example\r\n",
        "host:\r\n",
        "host: a.example/\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
        let answer = served.exchange(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers}: {answer}");
    }
    let contradiction = GET.replace("GET / ", "GET http://b.example/ ");
    assert!(
        served
            .exchange(&contradiction)
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn the_table_of_hosts_can_be_replaced_while_serving() {
    let (served, hosts) = serve_hosts().await;
    let mut table = Table::new();
    table.insert_any_host("main", says("any"));
    table.insert("main", "a.example", says("new a"));
    hosts.replace(table);
    assert_eq!(body_of(&served.exchange(GET).await), "new a");
    let other = GET.replace("a.example", "whatever");
    assert_eq!(body_of(&served.exchange(&other).await), "any");
}
