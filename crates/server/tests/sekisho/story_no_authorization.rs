//! A gateway without authorization on loopback: it works, `verify` says what it is, and no web page gets in.

use serde_json::{Value, json};
use testkit::fake_mcp::{FakeMcp, Script};

use crate::edge::exchange;
use crate::program::{Folder, Program, free_port, run};

/// The program with such a gateway in front of a server, and its port.
async fn started(upstream: &FakeMcp) -> (Program, u16) {
    let port = free_port();
    let url = upstream.url();
    let configuration = format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:{port}" }} ]
management: {{ address: "127.0.0.1:0" }}
store: {{ url: "sqlite::memory:" }}
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
gateways:
  - name: open
    url: http://127.0.0.1:{port}/mcp
    danger_no_authorization: true
    targets: [ {{ name: tools, mcp: {{ url: "{url}" }} }} ]
"#
    );
    let start = move || Program::serve(Folder::new(), &configuration);
    let program = tokio::task::spawn_blocking(start).await.unwrap();
    (program, port)
}

/// A call of a tool, with these headers besides those that belong to it.
fn call(headers: &str) -> String {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "tools___echo", "arguments": {"word": "heard"}},
    })
    .to_string();
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\n{headers}content-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_passes_and_says_that_there_is_no_authorization() {
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
    let (mut program, port) = started(&upstream).await;
    program.until("what is said at the start", |program| {
        program
            .log()
            .contains("gateways[0].danger_no_authorization")
    });
    let walk = move || {
        let endpoint = format!("http://127.0.0.1:{port}/mcp");
        run(&Folder::new(), &["verify", &endpoint, "--json"], "")
    };
    let ended = tokio::task::spawn_blocking(walk).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let of = |id: &str| {
        let found = findings.iter().find(|one| one["id"] == id);
        found.unwrap_or_else(|| panic!("no `{id}` in {report}"))
    };
    let challenge = of("discovery.challenge");
    assert_eq!(challenge["outcome"], "warn", "{challenge}");
    let seen = challenge["seen"].as_str().unwrap();
    assert!(seen.contains("it has no authorization"), "{challenge}");
    assert!(
        findings.iter().any(|one| one["outcome"] == "ok"),
        "{report}"
    );
    for finding in findings {
        assert_ne!(finding["outcome"], "fail", "{finding}");
    }
}

// SEC-62, SEC-36
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_rebinds_its_name_to_this_machine_calls_nothing() {
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
    let (_program, port) = started(&upstream).await;
    let to = ([127, 0, 0, 1], port).into();
    let own = format!("host: 127.0.0.1:{port}\r\n");
    for (headers, status) in [
        // Its name leads here now; the page and the browser still call it by that name.
        (
            format!("host: evil.example:{port}\r\norigin: http://evil.example:{port}\r\n"),
            "421",
        ),
        (format!("host: evil.example:{port}\r\n"), "421"),
        (format!("host: localhost.evil.example:{port}\r\n"), "421"),
        (
            format!("{own}origin: http://evil.example:{port}\r\n"),
            "403",
        ),
        (format!("{own}origin: null\r\n"), "403"),
    ] {
        let answer = exchange("127.0.0.1", to, &call(&headers)).await;
        let begins = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begins), "{headers}{answer}");
        assert!(!answer.to_lowercase().contains("www-authenticate"));
    }
    assert!(upstream.seen_of("tools/call").is_empty());
    // No listener has trusted proxies: what is said about others is nobody's word, and the peer is who connects.
    let said = format!("{own}authorization: Bearer sent-anyway\r\nx-forwarded-for: 127.0.0.1\r\n");
    let answer = exchange("127.0.0.2", to, &call(&said)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("heard"), "{answer}");
    let seen = upstream.seen();
    assert_eq!(upstream.seen_of("tools/call").len(), 1);
    for one in seen {
        assert_eq!(one.header("authorization"), None);
    }
}
