//! A target that wants an API key gets it, also a new one after a reload, and nobody else sees it.

use serde_json::json;
use testkit::fake_mcp::{FakeMcp, Script};

use crate::edge::exchange;
use crate::program::{Folder, Program, free_port, run};

/// A call of a client that sends a credential of its own.
fn call() -> String {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "tools___echo", "arguments": {"word": "heard"}},
    })
    .to_string();
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: of-the-caller\r\nauthorization: Bearer of-the-caller\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

// SEC-36, SEC-70
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_operator_reaches_its_target_and_nobody_else() {
    let upstream = FakeMcp::start(Script::dual()).await.unwrap();
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
    targets:
      - name: tools
        mcp: {{ url: "{url}" }}
        headers:
          - {{ name: X-Api-Key, secret: {{ file: api.key }} }}
          - {{ name: X-Tenant, value: acme }}
"#
    );
    let folder = Folder::new();
    folder.write("api.key", "first-key\n");
    let shown = folder.write("shown.yaml", &configuration);
    let shown = run(&folder, &["config", "show", &shown.to_string_lossy()], "");
    assert!(shown.stdout.contains("api.key"), "{shown}");
    let start = move || Program::serve(folder, &configuration);
    let mut program = tokio::task::spawn_blocking(start).await.unwrap();
    let place = format!("127.0.0.1:{port}");
    for key in ["first-key", "second-key"] {
        if key == "second-key" {
            program.folder.write("api.key", key);
            program.signal("HUP");
            program.until("it has the new key", |program| {
                program.log().contains("configuration was replaced")
            });
        }
        upstream.forget_seen();
        let request = call().replace("host: 127.0.0.1", &format!("host: {place}"));
        let answer = exchange("127.0.0.1", place.parse().unwrap(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("heard") && !answer.contains(key),
            "{answer}"
        );
        let seen = upstream.seen_of("tools/call");
        assert_eq!(seen.len(), 1);
        for one in upstream.seen() {
            assert_eq!(one.header("x-api-key"), Some(key), "{one:?}");
            assert_eq!(one.header("x-tenant"), Some("acme"));
            assert_eq!(one.header("authorization"), None);
        }
    }
    let log = program.log();
    assert!(
        !log.contains("first-key") && !log.contains("second-key"),
        "{log}"
    );
}
