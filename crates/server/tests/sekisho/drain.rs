//! How the program ends: operators learn it first, streams end, requests under way are answered, and the exit code tells.

use std::time::Duration;

use crate::program::person::{Person, result, rpc};
use crate::program::{Folder, Program, free_port};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

/// A proxy to a server of the test, which answers when the test wants it to.
fn configuration(port: u16, upstream: u16) -> String {
    format!(
        "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\" }} ]\n\
         management: {{ address: \"127.0.0.1:0\" }}\n\
         store: {{ url: \"sqlite::memory:\" }}\n\
         egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
         proxies: [ {{ url: \"http://127.0.0.1:{port}\", upstream: \"http://127.0.0.1:{upstream}\" }} ]\n"
    )
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_program_ends() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port();
    let mut served = Program::serve(
        Folder::new(),
        &configuration(port, upstream.local_addr().unwrap().port()),
    );
    let mut browser = served.browser();
    let tasks = TaskTracker::new();
    let asking =
        tasks.spawn(async move { browser.get(&format!("http://127.0.0.1:{port}/slow")).await });
    let (mut connection, _) = upstream.accept().await.unwrap();
    let mut head = [0; 1024];
    assert!(connection.read(&mut head).await.unwrap() > 0);
    served.signal("TERM");
    served.until("the end of listening", |_| {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    assert!(!served.has_ended());
    let readiness = served.browser().get(&served.management("/readyz")).await;
    assert_eq!(readiness.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    connection
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .await
        .unwrap();
    let page = asking.await.unwrap().unwrap();
    assert_eq!(
        (page.status, page.text().as_str()),
        (StatusCode::OK, "done")
    );
    let ended = served.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

#[tokio::test]
async fn the_program_ends_although_a_request_never_does() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port();
    let configuration = configuration(port, upstream.local_addr().unwrap().port());
    let served = Program::serve(
        Folder::new(),
        &format!("{configuration}shutdown: {{ drain: 200ms }}\n"),
    );
    let mut browser = served.browser();
    let tasks = TaskTracker::new();
    let asking =
        tasks.spawn(async move { browser.get(&format!("http://127.0.0.1:{port}/never")).await });
    let (_connection, _) = upstream.accept().await.unwrap();
    served.signal("TERM");
    let ended = tokio::task::spawn_blocking(move || served.wait())
        .await
        .unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended}");
    assert!(
        ended.stderr.contains("on 1 connections were cut"),
        "{ended}"
    );
    let answer = tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.is_err());
}

#[tokio::test]
async fn a_lame_duck_sends_others_away_and_serves_on() {
    let port = free_port();
    let configuration = configuration(port, free_port());
    let mut served = Program::serve(
        Folder::new(),
        &format!("{configuration}shutdown: {{ lame_duck: 10m }}\n"),
    );
    let readiness = served.management("/readyz");
    served.signal("TERM");
    let mut browser = served.browser();
    loop {
        let page = browser.get(&readiness).await.unwrap();
        if page.status == StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        tokio::task::yield_now().await;
    }
    // There is nobody behind the proxy: the answer is its own.
    let page = browser.get(&format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(page.unwrap().status, StatusCode::BAD_GATEWAY);
    drop(browser);
    // Whoever insists is obeyed at once.
    served.until("its end", |served| {
        served.signal("TERM");
        served.has_ended()
    });
}

/// A stream as it comes, its head and first event read.
async fn open_stream(program: &Program, request: &str) -> tokio::net::TcpStream {
    let url = url::Url::parse(&program.place("mcp_endpoint")).unwrap();
    let port = url.port().unwrap();
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let request = request.replace("\r\n\r\n", &format!("\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begin = Vec::new();
    loop {
        assert!(stream.read_buf(&mut begin).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&begin);
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        if body.is_some_and(|body| !body.is_empty()) {
            return stream;
        }
    }
}

async fn rest_of(mut stream: tokio::net::TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn streams_that_wait_for_news_end_properly_and_hold_nothing_up() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    let token = alice.log_in().await.access;
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } },
    });
    let endpoint = demo.place("mcp_endpoint");
    let answer = alice
        .browser
        .send(rpc(&endpoint, Some(&token), &initialize))
        .await
        .unwrap();
    assert!(result(&answer)["result"].is_object());
    let session = answer.header("mcp-session-id").unwrap();
    let get = open_stream(
        &demo,
        &format!("GET /mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\nMcp-Protocol-Version: 2025-11-25\r\n\r\n"),
    )
    .await;
    let listen = json!({
        "jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen",
        "params": {
            "notifications": { "toolsListChanged": true },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
    .to_string();
    let listening = open_stream(
        &demo,
        &format!("POST /mcp HTTP/1.1\r\nAuthorization: Bearer {token}\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\nMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: {}\r\n\r\n{listen}", listen.len()),
    )
    .await;
    demo.signal("TERM");
    let (get, listening) = tokio::join!(rest_of(get), rest_of(listening));
    assert!(get.ends_with("0\r\n\r\n"), "no last chunk: {get:?}");
    assert!(listening.contains("\"id\":7"), "no answer: {listening:?}");
    assert!(
        listening.ends_with("0\r\n\r\n"),
        "no last chunk: {listening:?}"
    );
    drop(alice);
    let ended = tokio::task::spawn_blocking(move || demo.wait())
        .await
        .unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

// SEC-75
#[tokio::test]
async fn the_management_listener_tells_health_readiness_and_metrics() {
    let demo = Program::demo(&[]);
    let mut browser = demo.browser();
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let page = browser.get(&demo.management(path)).await.unwrap();
        assert_eq!((page.status, page.text().as_str()), (StatusCode::OK, text));
    }
    browser
        .get(&demo.place("client_metadata_document"))
        .await
        .unwrap();
    let metrics = browser
        .get(&demo.management("/metrics"))
        .await
        .unwrap()
        .text();
    assert!(
        metrics.contains("sekisho_http_requests_total{listener=\"main\",status=\"200\"}"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"));
}

// SEC-90
#[tokio::test]
async fn readiness_is_told_by_half_and_with_all_that_is_known() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = upstream.local_addr().unwrap().port();
    drop(upstream);
    let configuration = |needs: &str| {
        format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{away}\" }} ]\n\
             management: {{ address: \"127.0.0.1:0\", ready_needs: [ {needs} ] }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             gateways:\n  - name: g\n    url: \"http://127.0.0.1:{away}/mcp\"\n    \
             authorizer:\n      discovery_url: \"http://127.0.0.1:{away}/.well-known/openid-configuration\"\n      \
             allowed_audiences: [ a ]\n    \
             targets: [ {{ name: t, mcp: {{ url: \"http://127.0.0.1:{away}/t\" }} }} ]\n"
        )
    };
    for (needs, expected) in [
        ("", [200, 200, 200]),
        ("gateway_keys, targets", [503, 503, 200]),
    ] {
        let served = Program::serve(Folder::new(), &configuration(needs));
        let mut browser = served.browser();
        // Nothing speaks MCP there, so that the target fails as soon as it was asked.
        let verbose = served.management("/readyz/gateway?verbose");
        let mut text = String::new();
        while !text.contains("target `t`: ") {
            text = browser.get(&verbose).await.unwrap().text();
            tokio::task::yield_now().await;
        }
        assert!(
            text.contains("] gateway `g`, keys of http://127.0.0.1:"),
            "{text}"
        );
        assert!(!text.contains("store"), "{text}");
        let mut statuses = [0; 3];
        for (status, path) in
            statuses
                .iter_mut()
                .zip(["/readyz", "/readyz/gateway", "/readyz/auth"])
        {
            let page = browser.get(&served.management(path)).await.unwrap();
            *status = page.status.as_u16();
        }
        assert_eq!(statuses, expected, "{text}");
    }
}

// SEC-75
#[tokio::test]
async fn what_is_for_operators_is_not_served_to_everybody() {
    let demo = Program::demo(&[]);
    let origin = url::Url::parse(&demo.place("mcp_endpoint")).unwrap();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let page = demo
            .browser()
            .get(origin.join(path).unwrap().as_str())
            .await
            .unwrap();
        assert_eq!(page.status, StatusCode::NOT_FOUND);
    }
}
