//! How the program ends: requests under way are answered, new ones are not taken, and the log says so.

use std::time::Duration;

use crate::program::{Folder, Program};
use http::StatusCode;
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
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
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
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let served = Program::serve(
        Folder::new(),
        &configuration(port, upstream.local_addr().unwrap().port()),
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
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let answer = tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.is_err());
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
