//! The reverse proxy in front of somebody else's server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::edge::listen::Limits;
use net::edge::pace::Pace;
use net::edge::proxy::Proxy;
use net::egress::pool::{Pool, Settings};
use tokio_util::task::TaskTracker;

use crate::fake_http::{FakeHttp, Reply};
use crate::support::{Served, connector, local_rules, serve, serve_limited, url, within};

async fn proxy_to(base: &str) -> Served {
    proxy_within(base, Settings::default()).await
}

async fn proxy_within(base: &str, settings: Settings) -> Served {
    let pool = Pool::new(connector(), local_rules(), settings);
    serve(Arc::new(Proxy::new(pool.upstream(&url(base)).unwrap()))).await
}

#[tokio::test]
async fn a_request_goes_through_with_its_origin_told() {
    let origin = FakeHttp::start(|seen| {
        Reply::json(seen.body.clone())
            .header("x-answer", "1")
            .header("keep-alive", "timeout=9")
    })
    .await
    .unwrap();
    let served = proxy_to(&origin.url("/")).await;
    let request = "POST /realms/x?y=%20z HTTP/1.1\r\nhost: auth.example:8443\r\n\
        x-forwarded-for: 6.6.6.6\r\nx-forwarded-host: evil\r\nforwarded: for=6.6.6.6\r\n\
        connection: close, x-hop\r\nx-hop: 1\r\nte: trailers\r\ncookie: a=b\r\n\
        content-length: 4\r\n\r\nbody";
    let answer = served.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("x-answer: 1\r\n") && answer.ends_with("body"),
        "{answer}"
    );
    assert!(!answer.contains("keep-alive"), "{answer}");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.target, "/realms/x?y=%20z");
    assert_eq!(seen.body, "body");
    assert_eq!(
        seen.header("host"),
        Some(origin.address().to_string().as_str())
    );
    assert_eq!(seen.header("x-forwarded-host"), Some("auth.example:8443"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    // SEC-58
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("cookie"), Some("a=b"));
    // SEC-59
    for name in ["forwarded", "connection", "x-hop", "te"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

// SEC-58, SEC-85
#[tokio::test]
async fn what_only_a_proxy_says_is_not_passed_on_in_any_spelling() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let served = proxy_to(&origin.url("/")).await;
    let claims = [
        "X_Forwarded_For",
        "X-Forwarded_For",
        "x-forwarded-port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Client-Cert",
        "X-Forwarded",
        "Proxy",
        "X-Original-URL",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Envoy-External-Address",
        "SSL-Client-Verify",
        "Remote_User",
        "Content_Length",
    ];
    let lines = claims.map(|name| format!("{name}: evil\r\n")).concat();
    let request =
        format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}x-request-id: 7\r\nconnection: close\r\n\r\n");
    let answer = served.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = origin.seen().remove(0);
    for name in claims {
        assert_eq!(seen.header(&name.to_ascii_lowercase()), None, "{name}");
    }
    assert_eq!(seen.header("x-request-id"), Some("7"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
}

// SEC-85
#[tokio::test]
async fn crumbs_of_cookies_are_joined() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let served = proxy_to(&origin.url("/")).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    TaskTracker::new().spawn(connection);
    let request = Request::get("http://a.example/")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("cookie", "d=4")
        .body(Full::<Bytes>::default());
    let response = within(sender.send_request(request.unwrap())).await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("cookie"), Some("a=1; b=2; c=3; d=4"));
    assert_eq!(seen.header("x-forwarded-host"), Some("a.example"));
}

// SEC-86
#[tokio::test]
async fn a_client_that_sends_too_slowly_is_told_so_and_not_the_upstream_blamed() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let limits = Limits {
        body: Pace {
            idle: Duration::from_millis(200),
            ..Pace::default()
        },
        ..Limits::default()
    };
    let pool = Pool::new(connector(), local_rules(), Settings::default());
    let upstream = pool.upstream(&url(&origin.url("/"))).unwrap();
    let served = serve_limited(Arc::new(Proxy::new(upstream)), limits).await;
    let answer = served
        .exchange("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn events_stream_through() {
    let events = [
        (Duration::ZERO, Bytes::from_static(b"data: 1\n\n")),
        (
            Duration::from_millis(100),
            Bytes::from_static(b"data: 2\n\n"),
        ),
    ];
    let origin = FakeHttp::start(move |_| Reply::stream(events.clone()))
        .await
        .unwrap();
    let served = proxy_to(&origin.url("/")).await;
    let answer = served
        .exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("data: 1\n\n") && answer.contains("data: 2\n\n"),
        "{answer}"
    );
}

async fn status_of(reply: Reply) -> String {
    let origin = FakeHttp::start(move |_| reply.clone()).await.unwrap();
    let served = proxy_to(&origin.url("/")).await;
    served
        .exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
}

#[tokio::test]
async fn an_upstream_that_hangs_up_is_a_bad_gateway() {
    assert!(
        status_of(Reply::hang_up())
            .await
            .starts_with("HTTP/1.1 502 ")
    );
}

#[tokio::test]
async fn an_upstream_that_talks_garbage_is_a_bad_gateway() {
    assert!(
        status_of(Reply::raw("nonsense\r\n\r\n"))
            .await
            .starts_with("HTTP/1.1 502 ")
    );
}

#[tokio::test]
async fn an_upstream_that_hangs_is_a_gateway_timeout() {
    let origin = FakeHttp::start(|_| Reply::hang()).await.unwrap();
    let settings = Settings {
        header_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let served = proxy_within(&origin.url("/"), settings).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(served.exchange(request).await.starts_with("HTTP/1.1 504 "));
}

#[tokio::test]
async fn redirects_and_errors_pass_unchanged() {
    let answer = status_of(Reply::redirect(302, "/login")).await;
    assert!(
        answer.starts_with("HTTP/1.1 302 ") && answer.contains("location: /login"),
        "{answer}"
    );
    assert!(
        status_of(Reply::status(500))
            .await
            .starts_with("HTTP/1.1 500 ")
    );
}

#[tokio::test]
async fn an_upstream_that_closes_in_mid_stream_does_not_look_complete() {
    let answer = status_of(Reply::lying_length(1000, "{\"half\":")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    assert!(body.len() < 1000, "{answer}");
    assert!(
        head.is_empty() || head.contains("content-length: 1000"),
        "{answer}"
    );
}

/// The body inside its chunks, which must have their end.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = rest.split_at(size);
        body.push_str(chunk);
        chunks = rest.strip_prefix("\r\n").unwrap();
        if size == 0 {
            return body;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_is_lost_or_mixed_up_between_threads() {
    let origin = FakeHttp::start(|seen| {
        let halves = seen.body.len() / 2;
        match seen.target.as_str() {
            "/whole" => Reply::json(seen.body.clone()),
            "/chunked" => Reply::chunked([seen.body.slice(..halves), seen.body.slice(halves..)]),
            _ => Reply::stream([
                (Duration::ZERO, seen.body.slice(..halves)),
                (Duration::from_millis(1), seen.body.slice(halves..)),
            ]),
        }
    })
    .await
    .unwrap();
    let served = Arc::new(proxy_to(&origin.url("/")).await);
    let tasks = TaskTracker::new();
    let clients = (0..32).map(|client| {
        let served = Arc::clone(&served);
        tasks.spawn(async move {
            for round in 0..30 {
                let path = ["whole", "chunked", "stream"][round % 3];
                let body = format!("[{client},{round}]").repeat(1 + 200 * (round % 5));
                let length = body.len();
                let request = format!(
                    "POST /{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                     content-length: {length}\r\n\r\n{body}"
                );
                let answer = served.exchange(&request).await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                let (_, answered) = answer.split_once("\r\n\r\n").unwrap();
                let whole = if path == "whole" {
                    answered.to_owned()
                } else {
                    joined(answered)
                };
                assert_eq!(whole, body);
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.unwrap();
    }
    assert_eq!(origin.count(), 32 * 30);
    assert!(origin.connections() < 32 * 30, "connections are kept");
}
