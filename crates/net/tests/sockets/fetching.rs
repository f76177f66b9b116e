//! One-shot fetches: what is dialled, and what hostile origins can't do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use net::egress::client::{Client, FetchError, Limits};
use net::egress::connect::{ConnectError, Connector, ExtraRoots};
use net::egress::rules::{Refusal, Rules};
use tokio::time::Instant;

use crate::fake_http::{FakeHttp, Reply};
use crate::support::{Answers, connector_with, local_client, local_rules, url};

const LIMITS: Limits = Limits::CLIENT_METADATA;

async fn fetch_reply(reply: Reply) -> Result<Bytes, FetchError> {
    let origin = FakeHttp::start(move |_| reply.clone()).await.unwrap();
    local_client()
        .get(&url(&origin.url("/x")), LIMITS)
        .await
        .map(|fetched| fetched.body)
}

/// A client whose resolver gives these answers, and which may dial 127.0.0.1 only.
fn client_resolving(answers: Arc<Answers>) -> Client {
    let rules = Rules {
        allow_networks: vec!["127.0.0.1/32".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    Client::new(
        Arc::new(Connector::new(answers, ExtraRoots::default())),
        rules,
    )
}

#[tokio::test]
async fn a_fetch_says_what_it_wants_and_gets_it() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let fetched = local_client()
        .get(&url(&origin.url("/a?b=c")), LIMITS)
        .await
        .unwrap();
    assert_eq!(fetched.body, "{}");
    assert_eq!(fetched.remote, origin.address());
    let seen = origin.seen().remove(0);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("GET", "/a?b=c")
    );
    assert_eq!(
        seen.header("host"),
        Some(origin.address().to_string().as_str())
    );
    assert_eq!(seen.header("accept"), Some("application/json"));
    // SEC-25
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
}

// SEC-21, CI-15
#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_refused() {
    let client = client_resolving(Arc::new(Answers::new([&["10.0.0.7"]])));
    let error = client
        .get(&url("http://evil.example/"), LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        FetchError::Connect(ConnectError::Refused(Refusal::SpecialUse { .. }))
    ));
}

// SEC-21
#[tokio::test]
async fn one_private_address_among_public_ones_spoils_the_name() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    for answer in [&["127.0.0.1", "10.0.0.7"], &["fd00::1", "127.0.0.1"]] {
        let client = client_resolving(Arc::new(Answers::new([answer])));
        let target = url(&origin.url_at("evil.example", "/"));
        let error = client.get(&target, LIMITS).await.unwrap_err();
        assert!(matches!(
            error,
            FetchError::Connect(ConnectError::Refused(Refusal::SpecialUse { .. }))
        ));
    }
    assert_eq!(origin.connections(), 0);
}

// SEC-22, BP-8, CL-18
#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let answers = Arc::new(Answers::new([&["127.0.0.1"], &["127.0.0.2"]]));
    let client = client_resolving(Arc::clone(&answers));
    let target = url(&origin.url_at("rebinding.example", "/"));
    let fetched = client.get(&target, LIMITS).await.unwrap();
    assert_eq!(fetched.remote, origin.address());
    assert_eq!(answers.calls(), 1, "resolved once for one connection");
    let host = format!("rebinding.example:{}", origin.address().port());
    assert_eq!(origin.seen()[0].header("host"), Some(host.as_str()));
    // The next connection resolves anew, and the new answer is checked anew.
    let error = client.get(&target, LIMITS).await.unwrap_err();
    assert!(matches!(
        error,
        FetchError::Connect(ConnectError::Refused(_))
    ));
    assert_eq!(origin.connections(), 1);
}

// SEC-21
#[tokio::test]
async fn a_mapped_host_is_subject_to_the_rules() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let connector = connector_with(&[("Mapped.Example", origin.address())], None);
    let strict = Rules {
        allow_http: true,
        ..Rules::default()
    };
    let target = url("http://mapped.example/");
    let error = Client::new(Arc::clone(&connector), strict)
        .get(&target, LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        FetchError::Connect(ConnectError::Refused(_))
    ));
    let fetched = Client::new(connector, local_rules())
        .get(&target, LIMITS)
        .await
        .unwrap();
    assert_eq!(fetched.remote, origin.address());
    assert_eq!(origin.seen()[0].header("host"), Some("mapped.example"));
}

#[tokio::test]
async fn an_unknown_name_is_not_resolved() {
    let client = Client::new(connector_with(&[], None), local_rules());
    let error = client
        .get(&url("http://nowhere.example/"), LIMITS)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        FetchError::Connect(ConnectError::NotResolved(_))
    ));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_does_not_answer() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let answers = Arc::new(Answers::new([&["127.0.0.2", "127.0.0.1"]]));
    let connector = Arc::new(Connector::new(answers, ExtraRoots::default()));
    let client = Client::new(connector, local_rules());
    let fetched = client
        .get(&url(&origin.url_at("two.example", "/")), LIMITS)
        .await
        .unwrap();
    assert_eq!(fetched.remote, origin.address());
}

// SEC-23
#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/");
        let origin = FakeHttp::start(move |_| Reply::redirect(status, &location))
            .await
            .unwrap();
        let fetched = local_client()
            .get(&url(&origin.url("/")), LIMITS)
            .await
            .unwrap();
        assert_eq!(fetched.status.as_u16(), status);
    }
    assert_eq!(elsewhere.connections(), 0);
}

// SEC-24, CI-16
#[tokio::test]
async fn a_document_of_just_the_limit_is_read() {
    assert_eq!(
        fetch_reply(Reply::json(vec![b' '; 5120]))
            .await
            .unwrap()
            .len(),
        5120
    );
}

// SEC-24, CI-16
#[tokio::test]
async fn a_document_one_byte_over_the_limit_is_refused() {
    let error = fetch_reply(Reply::json(vec![b' '; 5121]))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 5120 }));
}

// SEC-24, CI-16
#[tokio::test]
async fn a_chunked_document_over_the_limit_is_refused() {
    let chunks = vec![vec![b' '; 1000]; 6];
    let error = fetch_reply(Reply::chunked(chunks)).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 5120 }));
}

#[tokio::test]
async fn a_chunked_document_within_the_limit_is_read() {
    let chunks = vec![vec![b'a'; 1000], vec![b'b'; 1000]];
    assert_eq!(
        fetch_reply(Reply::chunked(chunks)).await.unwrap().len(),
        2000
    );
}

// SEC-24
#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_at_once() {
    let error = fetch_reply(Reply::lying_length(1 << 40, "{}"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 5120 }));
}

// SEC-24
#[tokio::test]
async fn a_document_shorter_than_announced_is_an_error() {
    let error = fetch_reply(Reply::lying_length(100, "{}"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Protocol(_)));
}

// SEC-24
#[tokio::test]
async fn what_comes_after_the_announced_length_is_not_the_document() {
    let read = fetch_reply(Reply::lying_length(2, "{}<more>"))
        .await
        .unwrap();
    assert_eq!(read, "{}");
}

#[tokio::test]
async fn a_chunked_document_without_its_end_is_an_error() {
    let chunks = [(Duration::ZERO, Bytes::from_static(b"{}"))];
    let error = fetch_reply(Reply::broken_stream(chunks)).await.unwrap_err();
    assert!(matches!(error, FetchError::Protocol(_)));
}

// SEC-25
#[tokio::test]
async fn a_compressed_document_is_refused() {
    let bomb = Reply::gzip_bomb();
    assert!(matches!(
        fetch_reply(bomb).await.unwrap_err(),
        FetchError::Encoded
    ));
    for encoding in ["br", "zstd", "deflate", "identity, gzip"] {
        let reply = Reply::json("{}").header("content-encoding", encoding);
        assert!(matches!(
            fetch_reply(reply).await.unwrap_err(),
            FetchError::Encoded
        ));
    }
    let reply = Reply::json("{}").header("content-encoding", "identity");
    assert_eq!(fetch_reply(reply).await.unwrap(), "{}");
}

async fn ends_at_the_deadline(reply: Reply) {
    let origin = FakeHttp::start(move |_| reply.clone()).await.unwrap();
    let limits = Limits {
        deadline: Duration::from_millis(300),
        ..LIMITS
    };
    let started = Instant::now();
    let error = local_client()
        .get(&url(&origin.url("/")), limits)
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::TimedOut));
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

// SEC-26
#[tokio::test]
async fn a_dripping_origin_is_given_up_at_the_deadline() {
    ends_at_the_deadline(Reply::drip(vec![b' '; 1000], Duration::from_millis(20))).await;
}

// SEC-26
#[tokio::test]
async fn a_silent_origin_is_given_up_at_the_deadline() {
    ends_at_the_deadline(Reply::hang()).await;
}

#[tokio::test]
async fn an_origin_that_hangs_up_is_an_error() {
    assert!(matches!(
        fetch_reply(Reply::hang_up()).await.unwrap_err(),
        FetchError::Protocol(_)
    ));
}

#[tokio::test]
async fn garbage_is_an_error() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let error = fetch_reply(Reply::raw(garbage)).await.unwrap_err();
        assert!(matches!(error, FetchError::Protocol(_)), "{garbage}");
    }
}

#[tokio::test]
async fn endless_headers_are_an_error() {
    let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
    for number in 0..100_000 {
        bytes.extend_from_slice(format!("x-{number}: {number}\r\n").as_bytes());
    }
    assert!(matches!(
        fetch_reply(Reply::raw(bytes)).await.unwrap_err(),
        FetchError::Protocol(_)
    ));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let origin = FakeHttp::start(|_| Reply::json("{}")).await.unwrap();
    let target = url(&origin.url("/"));
    let address = origin.address();
    drop(origin);
    crate::support::within(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = local_client().get(&target, LIMITS).await.unwrap_err();
    assert!(matches!(
        error,
        FetchError::Connect(ConnectError::Unreachable(_))
    ));
}
