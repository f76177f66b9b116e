//! Requests that two servers could read differently: refused, or the last of their connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use net::body::{Body, DEFAULT_IDLE, read_bounded};

use crate::support::{Served, SiteFn, serve};

/// A site that counts requests for the path that an attacker wants to reach.
async fn guarded() -> (Served, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let site = {
        let reached = Arc::clone(&reached);
        SiteFn(move |request: Request<Body>, _| {
            if request.uri().path() == "/smuggled" {
                reached.fetch_add(1, Ordering::SeqCst);
            }
            async move {
                let read = read_bounded(request.into_body(), 1000, DEFAULT_IDLE).await;
                Response::new(Body::from(format!(
                    "read {:?}",
                    read.map(|body| body.len())
                )))
            }
        })
    };
    (serve(Arc::new(site)).await, reached)
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

async fn is_refused(headers: &str) {
    let (served, reached) = guarded().await;
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}\r\n0\r\n\r\n{SMUGGLED}");
    let answer = served.exchange(&request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
    assert_eq!(
        answer.matches("HTTP/1.1 ").count(),
        1,
        "{headers:?}: {answer}"
    );
    assert_eq!(reached.load(Ordering::SeqCst), 0, "{headers:?}");
}

// SEC-59
#[tokio::test]
async fn a_length_beside_chunks_is_refused() {
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        is_refused(headers).await;
    }
}

// SEC-59
#[tokio::test]
async fn a_line_that_ends_in_a_bare_line_feed_is_refused() {
    for headers in [
        "x: a\n",
        "x: a\ny: b\r\n",
        "\n",
        "content-length: 5\ntransfer-encoding: chunked\r\n",
    ] {
        is_refused(headers).await;
    }
    for request in [
        "GET / HTTP/1.1\nhost: a\n\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let (served, reached) = guarded().await;
        let answer = served.exchange(&format!("{request}{SMUGGLED}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
        assert_eq!(reached.load(Ordering::SeqCst), 0, "{request:?}");
    }
}

// SEC-59
#[tokio::test]
async fn a_body_in_another_coding_is_refused() {
    for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked"] {
        let (served, reached) = guarded().await;
        let answer = served
            .exchange(&format!(
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 501 "), "{coding}: {answer}");
        assert!(
            answer.contains("connection: close\r\n"),
            "{coding}: {answer}"
        );
        assert_eq!(reached.load(Ordering::SeqCst), 0, "{coding}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_after_a_body_in_chunks() {
    let (served, reached) = guarded().await;
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\na\nb\r\n0\r\n\r\n";
    let last = "GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answers = served.exchange(&format!("{chunked}{chunked}{last}")).await;
    assert_eq!(answers.matches("read Ok(3)").count(), 2, "{answers}");
    assert_eq!(
        reached.load(Ordering::SeqCst),
        1,
        "no smuggling: it is the third request"
    );
}

// SEC-59
#[tokio::test]
async fn an_unknown_transfer_encoding_is_refused() {
    for headers in [
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n",
        "transfer-encoding: \"chunked\"\r\n",
    ] {
        is_refused(headers).await;
    }
}

// SEC-59
#[tokio::test]
async fn contradicting_and_malformed_lengths_are_refused() {
    for headers in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length: 5 5\r\n",
        "content-length: 99999999999999999999999\r\n",
    ] {
        is_refused(headers).await;
    }
}

// SEC-59
#[tokio::test]
async fn broken_header_lines_are_refused() {
    for headers in [
        "x: a\r\n folded\r\n",
        "x: a\r\n\tfolded\r\n",
        "content-length : 5\r\n",
        "x: a\rb\r\n",
        "x: a\0b\r\n",
        "x y: a\r\n",
        ": a\r\n",
        " x: a\r\n",
    ] {
        is_refused(headers).await;
    }
}

// SEC-59
#[tokio::test]
async fn chunks_in_http_1_0_are_refused() {
    let (served, reached) = guarded().await;
    let request =
        format!("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    let answer = served.exchange(&request).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.0 400 "),
        "{answer}"
    );
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

// SEC-59
#[tokio::test]
async fn broken_chunks_end_the_connection() {
    for chunks in [
        "zz\r\n",
        "-1\r\n",
        "5\r\nabcdeXX",
        "ffffffffffffffffff\r\n",
        "0x5\r\nabcde\r\n",
        "5\nabcde\r\n0\r\n\r\n",
        "5;x\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r\n0\n\n",
        "0\r\nx: y\n\r\n",
    ] {
        let (served, reached) = guarded().await;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{SMUGGLED}"
        );
        let answer = served.exchange(&request).await;
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1,
            "{chunks:?}: {answer}"
        );
        assert_eq!(reached.load(Ordering::SeqCst), 0, "{chunks:?}");
    }
}

// SEC-59, SEC-61
#[tokio::test]
async fn endless_request_headers_are_refused() {
    let (served, _) = guarded().await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(200_000)
    );
    let answer = served.exchange(&long).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    let many = "x: y\r\n".repeat(500);
    let answer = served
        .exchange(&format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"))
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
}

// SEC-59
#[tokio::test]
async fn connect_is_not_served() {
    let (served, _) = guarded().await;
    let request = "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n";
    let answer = served.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
