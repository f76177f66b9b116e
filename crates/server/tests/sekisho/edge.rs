//! The edge of the whole program: who reaches what by which way, and what is left when somebody takes all they can.

use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;

use crate::program::{Folder, Program, free_port};

/// A connection from this address of loopback.
async fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let from: IpAddr = from.parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Sends this and reads until the connection is closed.
pub(crate) async fn exchange(from: &str, to: SocketAddr, request: &str) -> String {
    let mut stream = connect(from, to).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut answer).await {}
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n")
}

/// A server that answers every request with its name and the path that it was asked for.
async fn upstream(name: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap() == 0 {
                    break;
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let body = format!("{name} {path}");
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

const STRANGER: &str = "127.0.0.1";
const PROXY: &str = "127.0.0.2";

// SEC-84
#[tokio::test]
async fn a_listener_serves_what_is_bound_to_it_and_proxies_what_they_map() {
    let (public, internal) = (free_port(), free_port());
    let (secret, mapped, plain) = (
        upstream("secret").await,
        upstream("mapped").await,
        upstream("plain").await,
    );
    let _program = Program::serve(
        Folder::new(),
        &format!(
            "listeners:\n\
             \x20 - {{ name: public, address: \"127.0.0.1:{public}\", trusted_proxies: [ 127.0.0.2/32 ] }}\n\
             \x20 - {{ name: internal, address: \"127.0.0.1:{internal}\" }}\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             realms: [ {{ name: r, url: \"https://auth.test/realms/r\" }}, {{ name: i, url: \"http://auth.test:{internal}/realms/i\" }} ]\n\
             proxies:\n\
             \x20 - {{ url: \"http://internal.test:{internal}\", upstream: \"http://{secret}\" }}\n\
             \x20 - {{ url: \"https://app.test\", upstream: \"http://{mapped}\" }}\n\
             \x20 - {{ url: \"http://plain.test:{public}\", upstream: \"http://{plain}\" }}\n"
        ),
    );
    let discovery = |realm: &str| format!("/.well-known/openid-configuration/realms/{realm}");
    let (outer, inner) = (&*discovery("r"), &*discovery("i"));
    let (internal_app, internal_auth) = (
        &*format!("internal.test:{internal}"),
        &*format!("auth.test:{internal}"),
    );
    for (listener, from, host, proto, path, expected) in [
        (public, STRANGER, "internal.test", "", "/", "421"),
        (public, PROXY, "internal.test", "", "/", "421"),
        (public, STRANGER, internal_app, "", "/", "421"),
        (internal, STRANGER, "internal.test", "", "/x", "secret /x"),
        (internal, STRANGER, "app.test", "", "/", "421"),
        (public, STRANGER, "app.test", "https", "/x", "421"),
        (public, PROXY, "app.test", "https", "/x", "mapped /x"),
        (public, PROXY, "app.test", "", "/x", "mapped /x"),
        (public, PROXY, "app.test", "http", "/x", "421"),
        (public, STRANGER, "plain.test", "https", "/x", "plain /x"),
        (public, PROXY, "plain.test", "https", "/x", "plain /x"),
        (public, STRANGER, "auth.test", "https", outer, "421"),
        (public, PROXY, "auth.test", "http", outer, "421"),
        (
            public,
            PROXY,
            "auth.test",
            "https",
            outer,
            "https://auth.test/realms/r",
        ),
        (public, PROXY, "auth.test", "https", inner, "404"),
        // The port in `Host` is the client's word: it leads to no other listener's realm.
        (public, PROXY, internal_auth, "https", inner, "404"),
        (internal, STRANGER, "auth.test:443", "https", outer, "404"),
        (
            internal,
            STRANGER,
            "auth.test:443",
            "https",
            inner,
            "/realms/i",
        ),
    ] {
        let headers = format!("host: {host}\r\nx-forwarded-proto: {proto}\r\n");
        let answer = exchange(from, local(listener), &get(path, &headers)).await;
        let case = (listener == public, from, host, proto, path);
        match expected {
            "404" | "421" => assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected} ")),
                "{case:?}: {answer}"
            ),
            text => assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.contains(text),
                "{case:?}: {answer}"
            ),
        }
    }
}

// SEC-58
#[tokio::test]
async fn a_proxy_that_rewrites_the_host_says_the_name_in_a_header() {
    let port = free_port();
    let mapped = upstream("mapped").await;
    let _program = Program::serve(
        Folder::new(),
        &format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\", trusted_proxies: [ 127.0.0.0/8 ] }} ]\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             proxies: [ {{ url: \"https://gw.example.com\", upstream: \"http://{mapped}\" }} ]\n"
        ),
    );
    for told in [
        "x-forwarded-host: gw.example.com\r\nx-forwarded-proto: https\r\n",
        "forwarded: for=198.51.100.1;host=gw.example.com;proto=https\r\n",
    ] {
        let headers = format!("host: internal:8080\r\n{told}");
        let answer = exchange("127.0.0.1", local(port), &get("/x", &headers)).await;
        assert!(answer.ends_with("mapped /x"), "{told}: {answer}");
    }
}

// SEC-58, SEC-84
#[tokio::test]
async fn a_host_can_not_be_left_by_what_a_client_says_through_its_proxy() {
    let port = free_port();
    let [public, internal] = [upstream("public").await, upstream("internal").await];
    let _program = Program::serve(
        Folder::new(),
        &format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\", trusted_proxies: [ 127.0.0.0/8 ] }} ]\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             proxies:\n\
             \x20 - {{ url: \"https://public.example.com\", upstream: \"http://{public}\" }}\n\
             \x20 - {{ url: \"https://internal.example.com\", upstream: \"http://{internal}\" }}\n"
        ),
    );
    let headers = "host: public.example.com\r\nx-forwarded-proto: https\r\nx-forwarded-host: internal.example.com\r\n";
    let answer = exchange("127.0.0.1", local(port), &get("/x", headers)).await;
    assert!(answer.ends_with("public /x"), "{answer}");
}

// SEC-84
#[tokio::test]
async fn what_is_below_a_path_can_not_be_left_through_a_proxy() {
    let port = free_port();
    let app = upstream("app").await;
    let _program = Program::serve(
        Folder::new(),
        &format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\" }} ]\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             proxies: [ {{ url: \"http://127.0.0.1:{port}/app\", upstream: \"http://{app}\" }} ]\n"
        ),
    );
    let headers = format!("host: 127.0.0.1:{port}\r\n");
    for (path, expected) in [
        ("/app/x", "200"),
        ("/secret/flag.txt", "404"),
        ("/app/../secret/flag.txt", "400"),
        ("/app/%2e%2e/secret/flag.txt", "400"),
        ("/app/..%2fsecret/flag.txt", "400"),
        ("/app/..%5csecret/flag.txt", "400"),
        ("/app/%252e%252e/secret/flag.txt", "400"),
    ] {
        let answer = exchange("127.0.0.1", local(port), &get(path, &headers)).await;
        let status = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&status), "{path}: {answer}");
    }
}

// SEC-62, SEC-75
#[tokio::test]
async fn a_web_page_can_not_read_metrics_by_a_name_of_its_own() {
    let demo = Program::demo(&[]);
    let address: SocketAddr = demo.place("management").parse().unwrap();
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = exchange("127.0.0.1", address, &get(path, "host: evil.example\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{path}: {answer}");
        let answer = exchange("127.0.0.1", address, &get(path, "host: localhost\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(
            answer.contains("x-content-type-options: nosniff"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn every_answer_of_our_own_tells_browsers_what_to_keep_to() {
    for (arguments, over_tls) in [(&["--tls"][..], true), (&[], false)] {
        let demo = Program::demo(arguments);
        let mut browser = demo.browser();
        let issuer = demo.place("issuer");
        for url in [
            demo.place("mcp_endpoint"),
            demo.place("client_metadata_document"),
            format!("{issuer}/.well-known/openid-configuration"),
            format!("{issuer}/login"),
            format!("{issuer}/jwks"),
        ] {
            let page = browser.get(&url).await.unwrap();
            assert_eq!(
                page.header("x-content-type-options"),
                Some("nosniff"),
                "{url}"
            );
            assert_eq!(
                page.header("strict-transport-security"),
                over_tls.then_some("max-age=31536000"),
                "{url}"
            );
        }
    }
}

// SEC-61, SEC-86
#[tokio::test]
async fn a_few_addresses_that_hold_all_they_can_leave_room_for_everybody_else() {
    let port = free_port();
    let mut program = Program::serve_with_files(
        Folder::new(),
        &format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\" }} ]\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             worker_threads: 2\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             realms: [ {{ name: r, url: \"http://127.0.0.1:{port}/realms/r\" }} ]\n"
        ),
        256,
    );
    let slow = format!(
        "POST /realms/r/token HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\na"
    );
    let mut held = Vec::new();
    for address in 1..=20 {
        for _ in 0..20 {
            let mut stream = connect(&format!("127.0.66.{address}"), local(port)).await;
            stream.write_all(slow.as_bytes()).await.unwrap();
            held.push(stream);
        }
    }
    program.until("a word about it", |program| {
        program
            .log()
            .contains("too many connections from one address")
    });
    let jwks = get("/realms/r/jwks", &format!("host: 127.0.0.1:{port}\r\n"));
    for stranger in ["127.0.55.1", "127.0.55.2", "127.0.55.3"] {
        let answer = exchange(stranger, local(port), &jwks).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{stranger}: {answer}");
    }
    let refused = exchange("127.0.66.1", local(port), &jwks).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 429 "),
        "{refused}"
    );
    let mut operator = program.browser();
    let readiness = operator.get(&program.management("/readyz")).await.unwrap();
    assert_eq!(readiness.status, StatusCode::OK, "{}", readiness.text());
    let metrics = operator.get(&program.management("/metrics")).await.unwrap();
    let metrics = metrics.text();
    let refused = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix(
                "sekisho_connections_refused_total{side=\"incoming\",reason=\"share\"} ",
            )
        })
        .unwrap_or_else(|| panic!("{metrics}"));
    assert!(refused.parse::<u64>().unwrap() > 200, "{refused}");
    drop(held);
}
