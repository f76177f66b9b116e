//! Who is asking, for which host, and by which way: what a listener believes, and which site it picks.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use net::body::Body;
use net::edge::forwarded::{Dialect, TrustedProxies};
use net::edge::hosts::{Hosts, Reach, Table};
use net::edge::listen::Settings;
use tokio::io::AsyncWriteExt;
use tokio_util::task::TaskTracker;

use crate::support::{GET, Served, SiteFn, body_of, read_to_end, says, serve, serve_with, within};

/// A listener that trusts these proxies, and says what it believes of a request.
async fn believing(trusted: &[&str]) -> Served {
    let site = SiteFn(|request: Request<Body>, peer: net::edge::Peer| async move {
        let host = net::edge::hosts::host_of(&request).unwrap();
        let text = format!("{} {host} {:?} {}", peer.address, peer.arrival, peer.tls);
        Response::new(Body::from(text))
    });
    let networks = trusted
        .iter()
        .map(|network| network.parse().unwrap())
        .collect();
    let settings = Settings {
        trusted_proxies: TrustedProxies::new(networks, Dialect::XForwarded),
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    let mut table = Table::new();
    table.insert_any_host("main", Arc::new(site));
    serve_with(Arc::new(Hosts::new(table)), settings).await
}

const FORWARDED: &str = "GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\
    x-forwarded-for: 6.6.6.6, 198.51.100.1\r\nx-forwarded-host: gw.example\r\n\
    x-forwarded-proto: https\r\n\r\n";

// SEC-58
#[tokio::test]
async fn what_is_forwarded_counts_from_trusted_proxies_only() {
    let stranger = "127.0.0.1 a.example Direct false";
    for trusted in [&[][..], &["10.0.0.0/8"]] {
        let answer = believing(trusted).await.exchange(FORWARDED).await;
        assert_eq!(body_of(&answer), stranger);
    }
    let served = believing(&["127.0.0.0/8"]).await;
    assert_eq!(
        body_of(&served.exchange(FORWARDED).await),
        "198.51.100.1 gw.example Proxied { https: Some(true) } true"
    );
    assert_eq!(
        body_of(&served.exchange(GET).await),
        "127.0.0.1 a.example Proxied { https: None } false"
    );
    let standard = GET.replace(
        "\r\n\r\n",
        "\r\nforwarded: for=198.51.100.1;host=gw.example;proto=http\r\n\r\n",
    );
    assert_eq!(
        body_of(&served.exchange(&standard).await),
        "198.51.100.1 gw.example Proxied { https: Some(false) } false"
    );
}

// SEC-58
#[tokio::test]
async fn a_forwarded_host_takes_the_place_of_the_authority_in_http_2() {
    let served = believing(&["127.0.0.0/8"]).await;
    let io = TokioIo::new(served.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    TaskTracker::new().spawn(connection);
    let request = Request::get("http://inner.example/x")
        .header("x-forwarded-host", "gw.example")
        .body(Full::<Bytes>::default());
    let response = within(sender.send_request(request.unwrap())).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text, "127.0.0.1 gw.example Proxied { https: None } false");
}

// SEC-58, SEC-84
#[tokio::test]
async fn a_forwarded_host_is_no_way_out_of_a_host_that_proxies_are_served_for() {
    let mut table = Table::new();
    let proxies = Reach::Proxies { https: true };
    table.insert_for(proxies, "main", "a.example", says("site a"));
    table.insert_for(proxies, "main", "gw.example", says("site gw"));
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    let settings = Settings {
        trusted_proxies: TrustedProxies::new(networks, Dialect::XForwarded),
        ..Settings::plain("main", (Ipv4Addr::LOCALHOST, 0).into())
    };
    let served = serve_with(Arc::new(Hosts::new(table)), settings).await;
    assert_eq!(body_of(&served.exchange(FORWARDED).await), "site a");
    let inner = FORWARDED.replace("host: a.example", "host: inner:8080");
    assert_eq!(body_of(&served.exchange(&inner).await), "site gw");
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

// SEC-84
#[tokio::test]
async fn who_may_reach_a_site_depends_on_the_way_by_which_a_request_came() {
    let mut table = Table::new();
    let (https, http) = (
        Reach::Proxies { https: true },
        Reach::Proxies { https: false },
    );
    table.insert_for(https, "main", "gw.example", says("secure"));
    table.insert_for(http, "main", "both.example", says("plain"));
    table.insert_for(https, "main", "both.example", says("secure"));
    table.insert("main", "a.example", says("everybody"));
    let hosts: Arc<dyn net::edge::Site> = Arc::new(Hosts::new(table));
    let trusting = Settings {
        trusted_proxies: TrustedProxies::new(
            vec!["127.0.0.2/32".parse().unwrap()],
            Dialect::XForwarded,
        ),
        ..Settings::plain("main", (Ipv4Addr::UNSPECIFIED, 0).into())
    };
    let served = serve_with(hosts, trusting).await;
    for (from, host, proto, status, text) in [
        ("127.0.0.1", "gw.example", "https", 421, ""),
        ("127.0.0.2", "gw.example", "https", 200, "secure"),
        ("127.0.0.2", "gw.example", "http", 421, ""),
        ("127.0.0.2", "gw.example", "", 200, "secure"),
        ("127.0.0.1", "both.example", "http", 421, ""),
        ("127.0.0.2", "both.example", "http", 200, "plain"),
        ("127.0.0.2", "both.example", "https", 200, "secure"),
        ("127.0.0.1", "a.example", "https", 200, "everybody"),
        ("127.0.0.2", "a.example", "https", 200, "everybody"),
    ] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let local: std::net::IpAddr = from.parse().unwrap();
        socket.bind((local, 0).into()).unwrap();
        let port = served.address.port();
        let mut stream = socket
            .connect((Ipv4Addr::LOCALHOST, port).into())
            .await
            .unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nx-forwarded-proto: {proto}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        let seen = (from, host, proto);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{seen:?}: {answer}"
        );
        assert!(answer.ends_with(text), "{seen:?}: {answer}");
    }
}

// SEC-84
#[tokio::test]
async fn a_path_with_dot_segments_is_refused_before_a_site_is_looked_for() {
    let (served, _) = serve_hosts().await;
    for path in [
        "/app/../secret",
        "/app/%2e%2e/secret",
        "/app/..%2fsecret",
        "/app/%252e./x",
    ] {
        let request = GET.replace("GET / ", &format!("GET {path} "));
        for host in ["a.example", "unknown.example"] {
            let answer = served.exchange(&request.replace("a.example", host)).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        }
    }
    let query = GET.replace("GET / ", "GET /app?x=/../y ");
    assert_eq!(body_of(&served.exchange(&query).await), "site a");
}
