//! The data path: kept connections, streaming, and what happens when they break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use net::body::{Body, BoxError, DEFAULT_IDLE, read_bounded};
use net::edge::places::{PlaceLimits, Places};
use net::egress::connect::{ConnectError, Connector, ExtraRoots};
use net::egress::outgoing::Outgoing;
use net::egress::pool::{Pool, SendError, Settings, Upstream};
use net::egress::resolve::SystemResolver;
use net::egress::rules::{Refusal, Rules};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::fake_http::{FakeHttp, Reply};
use crate::support::{connector, local_rules, until, url, within};

fn pool() -> Pool {
    Pool::new(connector(), local_rules(), Settings::default())
}

fn upstream(origin: &FakeHttp) -> Upstream {
    pool().upstream(&url(&origin.url("/"))).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(body: &'static str) -> Request<Body> {
    Request::post("/").body(Body::from(body)).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = read_bounded(response.into_body(), 1 << 20, DEFAULT_IDLE)
        .await
        .unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let origin = FakeHttp::start(|seen| Reply::json(seen.body.clone()))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    for body in ["a", "b", "c"] {
        assert_eq!(text(upstream.send(post(body)).await.unwrap()).await, body);
    }
    assert_eq!((origin.count(), origin.connections()), (3, 1));
    assert_eq!(upstream.idle_connections(), 1);
}

#[tokio::test]
async fn what_each_request_says_stands_beside_what_this_one_says() {
    let origin = FakeHttp::start(|_| Reply::status(204)).await.unwrap();
    let mut always = http::HeaderMap::new();
    always.insert("x-always", "a".parse().unwrap());
    always.append("x-always", "b".parse().unwrap());
    let upstream = upstream(&origin);
    let saying = upstream.clone().with_headers(&always);
    for (upstream, of_each) in [(&saying, 2), (&upstream, 0), (&saying, 2)] {
        let mut request = post("x");
        request.headers_mut().insert("x-own", "c".parse().unwrap());
        upstream.send(request).await.unwrap();
        let seen = origin.seen().pop().unwrap();
        let count = |name: &str| {
            let names = seen.headers.iter().map(|(name, _)| name.as_str());
            names.filter(|seen| *seen == name).count()
        };
        let counts = ["x-always", "x-own", "host", "content-length"].map(count);
        assert_eq!(counts, [of_each, 1, 1, 1]);
    }
    assert_eq!(origin.connections(), 1, "they share connections");
}

#[tokio::test]
async fn the_upstream_sees_its_own_name_and_the_path() {
    let origin = FakeHttp::start(|_| Reply::status(204)).await.unwrap();
    let mut request = get("http://public.example/x/y?z=%2e");
    request
        .headers_mut()
        .insert("host", "public.example".parse().unwrap());
    *request.version_mut() = http::Version::HTTP_2;
    upstream(&origin).send(request).await.unwrap();
    let seen = origin.seen().remove(0);
    assert_eq!(seen.target, "/x/y?z=%2e");
    assert_eq!(
        seen.header("host"),
        Some(origin.address().to_string().as_str())
    );
}

#[tokio::test]
async fn answers_without_body_leave_the_connection_usable() {
    for status in [204, 304] {
        let origin = FakeHttp::start(move |_| Reply::status(status))
            .await
            .unwrap();
        let upstream = upstream(&origin);
        for _ in 0..3 {
            let mut request = get("/");
            *request.method_mut() = Method::HEAD;
            upstream.send(request).await.unwrap();
            upstream.send(get("/")).await.unwrap();
        }
        assert_eq!(origin.connections(), 1);
    }
}

#[tokio::test]
async fn many_requests_at_once_get_their_own_answers() {
    let origin = FakeHttp::start(|seen| Reply::json(seen.target.clone()))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    for _ in 0..3 {
        let all = (0..100).map(|number| {
            let upstream = upstream.clone();
            async move {
                let path = format!("/{number}");
                assert_eq!(text(upstream.send(get(&path)).await.unwrap()).await, path);
            }
        });
        within(futures_util::future::join_all(all)).await;
    }
    assert!(origin.connections() <= 100, "{}", origin.connections());
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    let origin = FakeHttp::start(|seen| Reply::json(seen.body.clone()))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    let piece = Bytes::from(vec![b'x'; 100_000]);
    for _ in 0..2 {
        let pieces = std::iter::repeat_with(|| Ok::<_, BoxError>(piece.clone())).take(30);
        let pieces: Vec<_> = pieces.collect();
        let request = Request::post("/")
            .body(Body::from_stream(stream::iter(pieces)))
            .unwrap();
        let response = within(upstream.send(request)).await.unwrap();
        let read = within(read_bounded(response.into_body(), 4 << 20, DEFAULT_IDLE))
            .await
            .unwrap();
        assert_eq!(read.len(), 3_000_000);
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn events_arrive_before_the_stream_ends() {
    let events = [
        (Duration::ZERO, Bytes::from_static(b"data: 1\n\n")),
        (
            Duration::from_millis(300),
            Bytes::from_static(b"data: 2\n\n"),
        ),
    ];
    let origin = FakeHttp::start(move |_| Reply::stream(events.clone()))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    let mut body = upstream.send(get("/")).await.unwrap().into_body();
    let first = within(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(first, "data: 1\n\n");
    let early = tokio::time::timeout(Duration::from_millis(50), body.frame()).await;
    assert!(early.is_err(), "the second event must come later");
    let second = within(body.frame())
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(second, "data: 2\n\n");
    assert!(within(body.frame()).await.is_none());
    assert_eq!(upstream.idle_connections(), 1);
}

#[tokio::test]
async fn a_body_dropped_early_takes_its_connection_along() {
    let events = [
        (Duration::ZERO, Bytes::from_static(b"data: 1\n\n")),
        (Duration::from_mins(1), Bytes::from_static(b"data: 2\n\n")),
    ];
    let origin = FakeHttp::start(move |_| Reply::stream(events.clone()))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    let mut body = upstream.send(get("/")).await.unwrap().into_body();
    within(body.frame()).await.unwrap().unwrap();
    drop(body);
    assert_eq!(upstream.idle_connections(), 0);
}

#[tokio::test]
async fn a_request_given_up_closes_its_connection() {
    let origin = FakeHttp::start(|_| Reply::hang()).await.unwrap();
    let upstream = upstream(&origin);
    let given_up = tokio::time::timeout(Duration::from_millis(50), upstream.send(get("/"))).await;
    assert!(given_up.is_err());
    assert_eq!(upstream.idle_connections(), 0);
}

#[tokio::test]
async fn an_upstream_that_hangs_is_given_up() {
    let origin = FakeHttp::start(|_| Reply::hang()).await.unwrap();
    let error = upstream(&origin)
        .send_within(post("x"), Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(matches!(error, SendError::TimedOut));
}

#[tokio::test]
async fn an_upstream_that_is_down_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let upstream = pool()
        .upstream(&url(&format!("http://{address}/")))
        .unwrap();
    let error = upstream.send(get("/")).await.unwrap_err();
    assert!(matches!(
        error,
        SendError::Connect(ConnectError::Unreachable(_))
    ));
}

#[tokio::test]
async fn garbage_is_not_an_answer() {
    let origin = FakeHttp::start(|_| Reply::raw("SSH-2.0-OpenSSH\r\n\r\n"))
        .await
        .unwrap();
    let error = upstream(&origin).send(post("x")).await.unwrap_err();
    assert!(matches!(error, SendError::Protocol(_)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_of_its_body() {
    for reply in [
        Reply::lying_length(1000, "{\"half\":"),
        Reply::broken_stream([(Duration::ZERO, Bytes::from_static(b"data: 1\n\n"))]),
    ] {
        let origin = FakeHttp::start(move |_| reply.clone()).await.unwrap();
        let upstream = upstream(&origin);
        let response = upstream.send(post("x")).await.unwrap();
        let read = within(read_bounded(response.into_body(), 5000, DEFAULT_IDLE)).await;
        assert!(read.is_err());
        assert_eq!(upstream.idle_connections(), 0);
    }
}

/// A server that hears the head of one request a connection and writes these pieces, each by itself. It counts the connections
/// on which everything was written.
async fn writes(pieces: Vec<&'static [u8]>) -> (Upstream, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (pieces, counted) = (pieces.clone(), Arc::clone(&counted));
            tasks.spawn(async move {
                stream.set_nodelay(true).unwrap();
                let mut heard = Vec::new();
                while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
                    if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                for piece in pieces {
                    stream.write_all(piece).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                // Open until the client closes it.
                let _ = stream.read_to_end(&mut heard).await;
            });
        }
    });
    let upstream = pool()
        .upstream(&url(&format!("http://{address}/")))
        .unwrap();
    (upstream, connections)
}

#[tokio::test]
async fn an_answer_is_understood_wherever_its_bytes_are_cut() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
    for answer in [chunked.as_slice(), sized.as_slice()] {
        let (upstream, _) = writes(answer.chunks(1).collect()).await;
        let response = within(upstream.send(post("x"))).await.unwrap();
        assert_eq!(within(text(response)).await, "abcde");
        assert_eq!(upstream.idle_connections(), 1);
    }
}

// SEC-59
#[tokio::test]
async fn what_nobody_asked_for_is_nobodys_answer() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
    let extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    // Together with the answer, and behind it, when the connection is kept already.
    let together: &'static [u8] = Vec::leak([answer.as_slice(), extra].concat());
    for pieces in [vec![together], vec![answer.as_slice(), extra.as_slice()]] {
        let (upstream, connections) = writes(pieces).await;
        for round in 1..=3 {
            let response = within(upstream.send(post("x"))).await.unwrap();
            assert_eq!(within(text(response)).await, "good");
            // What is extra was sent, and was heard of.
            until(|| {
                connections.load(Ordering::SeqCst) == round && upstream.idle_connections() == 0
            })
            .await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_request_may_be_answered_before_all_of_it_was_sent() {
    let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
    let (upstream, _) = writes(vec![answer.as_slice()]).await;
    let endless =
        stream::iter(vec![Ok::<_, BoxError>(Bytes::from_static(b"some"))]).chain(stream::pending());
    let request = Request::post("/").body(Body::from_stream(endless)).unwrap();
    let response = within(upstream.send(request)).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(within(text(response)).await, "no");
    assert_eq!(upstream.idle_connections(), 0);
}

#[tokio::test]
async fn a_body_that_fails_fails_the_request() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let pieces = [Ok(Bytes::from_static(b"some")), Err(BoxError::from("gone"))];
    let request = Request::post("/")
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    let error = within(upstream(&origin).send(request)).await.unwrap_err();
    assert!(matches!(error, SendError::Protocol(_)));
    assert_eq!(origin.count(), 0);
}

/// An origin that answers the first request of each connection and hangs up on the second.
async fn forgetful() -> FakeHttp {
    let last = AtomicUsize::new(usize::MAX);
    FakeHttp::start(move |seen| {
        let before = last.swap(seen.connection, Ordering::SeqCst);
        if before == seen.connection {
            Reply::hang_up()
        } else {
            Reply::json("{}")
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_get_on_a_dying_connection_is_sent_again() {
    let origin = forgetful().await;
    let upstream = upstream(&origin);
    for _ in 0..3 {
        assert_eq!(text(upstream.send(get("/")).await.unwrap()).await, "{}");
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn a_post_that_went_out_is_never_sent_twice() {
    let origin = forgetful().await;
    let upstream = upstream(&origin);
    upstream.send(post("1")).await.unwrap();
    let error = upstream.send(post("2")).await.unwrap_err();
    assert!(matches!(error, SendError::Protocol(_)));
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_post_marked_repeatable_is_sent_again_with_its_body() {
    let origin = forgetful().await;
    let upstream = upstream(&origin);
    upstream.send(post("1")).await.unwrap();
    let mut request = Outgoing::from(post("2"));
    request.repeatable = true;
    assert_eq!(text(upstream.send(request).await.unwrap()).await, "{}");
    assert_eq!(origin.seen()[2].body, "2");
}

#[tokio::test]
async fn a_fresh_connection_that_fails_is_not_tried_again() {
    let origin = FakeHttp::start(|_| Reply::hang_up()).await.unwrap();
    let error = upstream(&origin).send(get("/")).await.unwrap_err();
    assert!(matches!(error, SendError::Protocol(_)));
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn connections_closed_by_their_server_are_swept_away() {
    let origin = FakeHttp::start(|_| Reply::json("{}").then_close())
        .await
        .unwrap();
    let pool = pool();
    let upstream = pool.upstream(&url(&origin.url("/"))).unwrap();
    upstream.send(post("x")).await.unwrap();
    until(|| {
        pool.sweep();
        upstream.idle_connections() == 0
    })
    .await;
    // A post is no harm to send then: it goes out on a fresh connection.
    assert_eq!(text(upstream.send(post("y")).await.unwrap()).await, "{}");
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let pool = pool();
    let upstream = pool.upstream(&url(&origin.url("/"))).unwrap();
    upstream.send(get("/")).await.unwrap();
    pool.sweep();
    assert_eq!(upstream.idle_connections(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    pool.sweep();
    assert_eq!(upstream.idle_connections(), 0);
}

#[tokio::test]
async fn a_server_that_keeps_connections_shortly_is_believed() {
    let origin = FakeHttp::start(|_| Reply::json("{}").header("keep-alive", "timeout=1"))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    for _ in 0..2 {
        upstream.send(post("x")).await.unwrap();
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_server_that_says_close_is_believed() {
    let origin = FakeHttp::start(|_| Reply::json("{}").header("connection", "close"))
        .await
        .unwrap();
    let upstream = upstream(&origin);
    for _ in 0..2 {
        upstream.send(post("x")).await.unwrap();
    }
    assert_eq!(origin.connections(), 2);
}

// SEC-35
#[tokio::test]
async fn an_upstream_on_a_special_use_address_is_refused() {
    let refusal = pool()
        .upstream(&url("http://169.254.169.254/mcp"))
        .unwrap_err();
    assert!(matches!(refusal, Refusal::SpecialUse { .. }));
    let strict = Pool::new(connector(), Rules::default(), Settings::default());
    assert_eq!(
        strict.upstream(&url("http://mcp.example/")).unwrap_err(),
        Refusal::PlainHttp
    );
}

#[tokio::test]
async fn urls_of_one_origin_share_their_connections() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let pool = pool();
    let one = pool.upstream(&url(&origin.url("/one"))).unwrap();
    let other = pool.upstream(&url(&origin.url("/other"))).unwrap();
    one.send(get("/")).await.unwrap();
    other.send(get("/")).await.unwrap();
    assert_eq!(origin.connections(), 1);
}

// SEC-86
#[tokio::test]
async fn one_server_leaves_places_for_connections_to_others() {
    let slow = FakeHttp::start(|_| Reply::hang()).await.unwrap();
    let other = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let places = Places::new(PlaceLimits {
        all: 2,
        of_one: 1,
        of_one_when_crowded: 1,
    });
    let resolver = Arc::new(SystemResolver::default());
    let connector = Connector::new(resolver, ExtraRoots::default()).within(Arc::clone(&places));
    let pool = Pool::new(Arc::new(connector), local_rules(), Settings::default());
    let upstream = pool.upstream(&url(&slow.url("/"))).unwrap();
    let hanging = {
        let upstream = upstream.clone();
        TaskTracker::new().spawn(async move { upstream.send(get("/")).await.map(drop) })
    };
    until(|| places.taken() == 1).await;
    let refused = upstream.send(get("/")).await.unwrap_err();
    assert!(
        matches!(refused, SendError::Connect(ConnectError::NoPlace)),
        "{refused:?}"
    );
    let answer = pool
        .upstream(&url(&other.url("/")))
        .unwrap()
        .send(get("/"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    hanging.abort();
    until(|| places.taken() == 1).await;
}
