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
use net::body::{Body, BoxError, DEFAULT_IDLE, read_bounded};
use net::edge::listen::{Limits, Settings};
use net::edge::pace::Pace;
use net::edge::places::{NoPlace, PlaceLimits, Places};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::support::{
    GET, Served, SiteFn, body_of, read_to_end, says, serve, serve_limited, serve_with, until,
    within,
};

fn impatient() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(150),
        idle_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        drain_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
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

async fn serve_in(places: &Arc<Places<std::net::IpAddr>>) -> Served {
    let settings = Settings {
        places: Arc::clone(places),
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    serve_with(says("hello"), settings).await
}

// SEC-61, SEC-79
#[tokio::test]
async fn one_address_has_only_so_many_connections_and_is_told_so() {
    let places = Places::new(PlaceLimits::new(1000, 2));
    let served = serve_in(&places).await;
    let mut first = served.connect().await;
    let second = served.connect().await;
    until(|| places.taken() == 2).await;
    let refused = served.exchange(GET).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    for header in ["retry-after: 5\r\n", "connection: close\r\n"] {
        assert!(refused.contains(header), "{refused}");
    }
    assert_eq!(places.refused(NoPlace::Share), 1);
    drop(second);
    until(|| places.taken() == 1).await;
    assert!(served.exchange(GET).await.ends_with("hello"));
    first.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut first).await.ends_with("hello"));
}

// SEC-79, SEC-86
#[tokio::test]
async fn listeners_share_their_places_and_say_when_all_are_taken() {
    let places = Places::new(PlaceLimits::new(2, 2));
    let (one, other) = (serve_in(&places).await, serve_in(&places).await);
    let _held = one.connect().await;
    until(|| places.taken() == 1).await;
    let refused = other.exchange(GET).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "crowded: {refused}");
    let own = serve(says("management")).await;
    assert!(own.exchange(GET).await.ends_with("management"));
    let none = Places::new(PlaceLimits::new(0, 1));
    let refused = serve_in(&none).await.exchange(GET).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 5\r\n"), "{refused}");
    assert_eq!(none.refused(NoPlace::Full), 1);
}

// SEC-79
#[tokio::test]
async fn who_is_refused_over_http_2_is_told_so_too() {
    let served = serve_in(&Places::new(PlaceLimits::new(0, 1))).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = TaskTracker::new().spawn(connection);
    let response = get_http_2(&mut sender, &served, "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(response);
    within(connection).await.unwrap().ok();
}

/// A site that reads the body and says how that went.
fn reads() -> Arc<dyn net::edge::Site> {
    Arc::new(SiteFn(|request: Request<Body>, _| async move {
        let read = read_bounded(request.into_body(), 1 << 20, DEFAULT_IDLE).await;
        Response::new(Body::from(match read {
            Ok(body) => format!("{} bytes", body.len()),
            Err(error) => error.to_string(),
        }))
    }))
}

// SEC-61, SEC-86
#[tokio::test]
async fn a_body_that_drips_is_given_up_and_its_sender_told() {
    let limits = Limits {
        body: Pace {
            idle: Duration::from_secs(5),
            grace: Duration::from_millis(200),
            least_rate: 1000,
        },
        ..Limits::default()
    };
    let served = serve_limited(reads(), limits).await;
    let stream = served.connect().await;
    let (mut reading, mut writing) = stream.into_split();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
    writing.write_all(head.as_bytes()).await.unwrap();
    let dripping = TaskTracker::new().spawn(async move {
        while writing.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = String::new();
    drop(within(reading.read_to_string(&mut answer)).await);
    assert!(answer.ends_with("body stalled"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    within(dripping).await.unwrap();
}

// SEC-86
#[tokio::test]
async fn a_slow_body_that_keeps_the_pace_is_read_to_its_end() {
    let limits = Limits {
        body: Pace {
            idle: Duration::from_secs(5),
            grace: Duration::from_millis(100),
            least_rate: 1000,
        },
        ..Limits::default()
    };
    let served = serve_limited(reads(), limits).await;
    let mut stream = served.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&[b'x'; 1000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("10000 bytes"), "{answer}");
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
