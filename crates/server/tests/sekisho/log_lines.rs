//! What the log tells operators of requests: who asked, by which client and host, why it was refused, where it failed.

use http::{Request, StatusCode};
use model::clock::{Clock as _, SystemClock};
use oauth::metadata::display_name::is_hidden;
use serde_json::{Value, json};
use testkit::browser::Page;
use testkit::fake_idp::FakeIdp;
use testkit::fake_mcp::{Act, FakeMcp, Script, tool};

use crate::edge::exchange;
use crate::program::person::{Person, rpc};
use crate::program::{Folder, Program, free_port};

/// The first line of the log that has all of these words.
fn line_with<'a>(log: &'a str, words: &[&str]) -> &'a str {
    log.lines()
        .find(|line| words.iter().all(|word| line.contains(word)))
        .unwrap_or_else(|| panic!("no line with {words:?} in\n{log}"))
}

/// The log when it has the line about the request with this id, and that line.
fn access_line(program: &mut Program, id: &str) -> (String, String) {
    let is_it = |line: &&str| line.contains("sekisho::access") && line.contains(id);
    let mut found = String::new();
    program.until("the line about a request", |program| {
        let log = program.log();
        let line = log.lines().find(is_it).map(ToOwned::to_owned);
        found = line.unwrap_or_default();
        !found.is_empty()
    });
    (program.log(), found)
}

fn id_of(page: &Page) -> String {
    // With what ends it, so that it is not the beginning of another one.
    let id = page.header("x-request-id").expect("a request id");
    format!("request={id}")
}

// SEC-76
#[tokio::test]
async fn the_log_says_who_did_what_and_how_it_ended() {
    let mut demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    alice.password = "wrong".to_owned();
    let metadata = alice.discover().await;
    let url = alice.authorization_url(&metadata);
    let page = alice.browser.open(&url).await.unwrap();
    let fill = [("username", "alice"), ("password", "wrong")];
    alice.browser.submit(&page, &fill, "login").await.unwrap();
    alice.password = "alice".to_owned();
    let tokens = alice.log_in().await;
    let called = alice
        .call(
            Some(&tokens.access),
            "my-mcp-server___add_numbers",
            json!({"a": 2, "b": 3}),
        )
        .await;
    let request = called.header("x-request-id").unwrap().to_owned();
    let refused = alice.call(Some("no-token"), "x", json!({})).await;
    let refused_request = refused.header("x-request-id").unwrap().to_owned();
    let client = alice.client_id.clone();
    drop(alice);
    demo.until("the line of the last request", |demo| {
        demo.log().contains(&refused_request)
    });
    let log = demo.log();
    line_with(&log, &["login failed", "alice", &client]);
    line_with(&log, &["user signed in", "alice", &client]);
    line_with(&log, &["redeemed a code", "alice", &client]);
    let line = line_with(&log, &[&request, "my-mcp-server___add_numbers"]);
    assert!(
        line.contains(&client) && line.contains("status=200"),
        "{line}"
    );
}

/// What is in front of these gateways, on a free port.
async fn served(port: u16, gateways: String) -> Program {
    let configuration = format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:{port}" }} ]
management: {{ address: "127.0.0.1:0" }}
store: {{ url: "sqlite::memory:" }}
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
gateways:
{gateways}"#
    );
    let start = move || Program::serve(Folder::new(), &configuration);
    tokio::task::spawn_blocking(start).await.unwrap()
}

fn call(name: &str) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": name, "arguments": {} },
    })
}

// SEC-72, SEC-76
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_to_the_operator_which_claim_it_was_and_of_which_request() {
    let idp = FakeIdp::start().await.unwrap();
    let impostor = FakeIdp::start().await.unwrap();
    let port = free_port();
    let gateway = format!(
        r"
  - name: g
    url: http://127.0.0.1:{port}/mcp
    authorizer:
      discovery_url: {}
      allowed_audiences: [ gateway ]
      allowed_scopes: [ mcp:tools ]
      allowed_clients: [ client ]
      custom_claims: [ {{ claim: team, is: {{ equals: blue }} }} ]
",
        idp.discovery_url()
    );
    let mut program = served(port, gateway).await;
    let now = SystemClock.now().seconds();
    let with = |name: &str, value: Value| {
        let mut claims = idp.claims("gateway", now);
        claims["team"] = json!("blue");
        claims[name] = value;
        claims
    };
    let token = |claims: &Value| idp.token(claims).unwrap();
    let id_token = |claims: &Value| idp.token_of_type("JWT", claims).unwrap();
    let endpoint = format!("http://127.0.0.1:{port}/mcp");
    let trusted = idp.issuer();
    for (token, words) in [
        (
            token(&with("iss", json!("https://other.example/\u{202e}x"))),
            vec!["claim=\"iss\"", "https://other.example/", trusted],
        ),
        (
            token(&with("aud", json!("elsewhere"))),
            vec!["claim=\"aud\"", "elsewhere", "gateway"],
        ),
        (
            token(&with("client_id", json!("stranger"))),
            vec!["client=\"stranger\"", "allowed=\"client\""],
        ),
        (
            token(&with("team", json!("red"))),
            vec!["claim=\"team\"", "blue"],
        ),
        (
            token(&with("scope", json!("openid"))),
            vec!["granted=\"openid\"", "needed=\"mcp:tools\""],
        ),
        (
            token(&with("exp", json!(now - 60))),
            vec!["the token has expired"],
        ),
        (
            token(&with("sub", Value::Null)),
            vec!["the claim `sub` is missing"],
        ),
        (
            id_token(&with("at_hash", json!("x"))),
            vec!["claim=\"at_hash\""],
        ),
        (
            idp.token_of_type("logout+jwt", &with("sub", json!("alice")))
                .unwrap(),
            vec!["claim=\"typ\"", "logout+jwt"],
        ),
        (
            impostor.token(&with("sub", json!("alice"))).unwrap(),
            vec!["publishes no key", trusted],
        ),
    ] {
        let mut request = rpc(&endpoint, Some(&token), &call("t___echo"));
        let version = "2025-11-25".parse().unwrap();
        request
            .headers_mut()
            .insert("mcp-protocol-version", version);
        let refused = program.browser().send(request).await.unwrap();
        assert!(
            refused.status.is_client_error(),
            "{words:?}: {}",
            refused.text()
        );
        let id = id_of(&refused);
        let (log, access) = access_line(&mut program, &id);
        line_with(&log, &[&[id.as_str()], words.as_slice()].concat());
        line_with(&log, &[&id, "refused a request", "gateway=g"]);
        assert!(access.contains("gateway=\"g\" refused="), "{access}");
        assert!(!log.contains(&token), "a token in the log");
        for line in log.lines() {
            assert!(!line.contains(is_hidden), "{line:?}");
        }
    }
}

/// A server with a tool for each way to fail.
async fn failing() -> FakeMcp {
    let answer = |text: &str| Act::json(format!(r#"{{"jsonrpc":"2.0","id":$ID,{text}}}"#));
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#;
    let failed = r#""result":{"content":[],"isError":true}"#;
    let stream = format!("data: {note}\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":$ID,{failed}}}\n\n");
    let tools = ["echo", "broken", "unhappy", "wrong", "silent", "late"];
    let script = Script::dual()
        .with_tools(tools.map(tool).to_vec())
        .on("tools/call broken", Act::status(500, "boom"))
        .on("tools/call unhappy", answer(failed))
        .on(
            "tools/call wrong",
            answer(r#""error":{"code":-32000,"message":"no"}"#),
        )
        .on("tools/call silent", Act::Close)
        .on("tools/call late", Act::Events(stream));
    FakeMcp::start(script).await.unwrap()
}

// SEC-76
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_at_its_target_looks_like_a_failure_and_says_where_and_how() {
    let (upstream, leaving) = (
        failing().await,
        FakeMcp::start(Script::dual()).await.unwrap(),
    );
    let (port, nobody) = (free_port(), free_port());
    let gateway = format!(
        r#"
  - name: g
    url: http://127.0.0.1:{port}/mcp
    danger_no_authorization: true
    targets:
      - {{ name: t, mcp: {{ url: "{}" }} }}
      - {{ name: gone, mcp: {{ url: "{}" }} }}
      - {{ name: down, mcp: {{ url: "http://127.0.0.1:{nobody}/mcp" }} }}
  - name: bare
    url: http://127.0.0.1:{port}/bare
    danger_no_authorization: true
    tool_names: bare
    targets: [ {{ name: away, mcp: {{ url: "http://127.0.0.1:{nobody}/mcp" }} }} ]
"#,
        upstream.url(),
        leaving.url()
    );
    let mut program = served(port, gateway).await;
    let ask = async |program: &Program, path: &str, tool: &str, takes: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let mut request = rpc(&url, None, &call(tool));
        let headers = request.headers_mut();
        headers.insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
        headers.insert("accept", takes.parse().unwrap());
        program.browser().send(request).await.unwrap()
    };
    let any = "application/json, text/event-stream";
    for good in ["t___echo", "gone___echo"] {
        let page = ask(&program, "/mcp", good, any).await;
        let (_, access) = access_line(&mut program, &id_of(&page));
        assert!(
            access.contains(" INFO ") && !access.contains("failure="),
            "{access}"
        );
    }
    leaving.stop().await;
    for (path, tool, takes, target, failure) in [
        ("/mcp", "t___broken", any, "t", "refused"),
        ("/mcp", "t___unhappy", any, "t", "tool_failed"),
        ("/mcp", "t___wrong", any, "t", "error"),
        ("/mcp", "t___silent", any, "t", "unreachable"),
        ("/mcp", "t___late", "application/json", "t", "tool_failed"),
        ("/mcp", "gone___echo", any, "gone", "unreachable"),
        ("/mcp", "down___echo", any, "down", "unreachable"),
        ("/bare", "echo", any, "away", "unreachable"),
    ] {
        let page = ask(&program, path, tool, takes).await;
        let (_, access) = access_line(&mut program, &id_of(&page));
        let said = format!("target.name=\"{target}\" failure=\"{failure}\"");
        assert!(
            access.contains(&said) && access.contains(" WARN "),
            "{tool}: {access}"
        );
        assert_eq!(access.matches("failure=").count(), 1, "{access}");
    }
    // A stream has begun before it is known how the call ends.
    let page = ask(&program, "/mcp", "t___late", any).await;
    let id = id_of(&page);
    program.until("the end of the stream", |program| {
        program
            .log()
            .lines()
            .any(|line| line.contains(&id) && line.contains("end of its stream"))
    });
    line_with(
        &program.log(),
        &[&id, "WARN", "target.name=t", "tool_failed"],
    );
}

// SEC-71, SEC-76
#[tokio::test]
async fn lines_about_logins_and_consents_name_whom_is_known_and_nobody_else() {
    let mut demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    let client = format!("client=\"{}\"", alice.client_id);
    let metadata = alice.discover().await;
    let url = alice.authorization_url(&metadata);
    let mut seen: Vec<(&str, Page)> = Vec::new();
    // What was only typed may be a password.
    let page = alice.browser.open(&url).await.unwrap();
    let typed = [("username", "typed-by-mistake"), ("password", "alice")];
    let refused = alice.browser.submit(&page, &typed, "login").await.unwrap();
    let wrong = [("username", "alice"), ("password", "not-hers")];
    let refused_again = alice
        .browser
        .submit(&refused, &wrong, "login")
        .await
        .unwrap();
    let right = [("username", "alice"), ("password", "alice")];
    let consent = alice
        .browser
        .submit(&refused_again, &right, "login")
        .await
        .unwrap();
    let done = alice.browser.submit(&consent, &[], "allow").await.unwrap();
    let again = alice.browser.get(&url).await.unwrap();
    let unknown = Request::get(url.replace("client-metadata", "nowhere"))
        .body(bytes::Bytes::new())
        .unwrap();
    let unknown = alice.browser.send(unknown).await.unwrap();
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    seen.extend([
        ("client", page),
        ("client", refused),
        ("client", refused_again),
        ("both", consent),
        ("both", done),
        ("both", again),
        ("nobody", unknown),
    ]);
    drop(alice);
    for (known, page) in seen {
        let (_, access) = access_line(&mut demo, &id_of(&page));
        let names = (access.contains(&client), access.contains("user=\"alice\""));
        let expected = (known != "nobody", known == "both");
        assert_eq!(names, expected, "{access}");
        let others = access.contains("user=") && !names.1 || access.contains("client=") && !names.0;
        assert!(!others, "{access}");
    }
    let log = demo.log();
    let client = client.trim_start_matches("client=").trim_matches('"');
    line_with(&log, &["login failed", "user.name=\"alice\"", client]);
    line_with(&log, &["login failed", "(unknown)", client]);
    line_with(
        &log,
        &[
            "sekisho::access",
            "POST",
            "/login",
            "user=\"alice\"",
            client,
        ],
    );
    line_with(
        &log,
        &[
            "sekisho::access",
            "POST",
            "/consent",
            "user=\"alice\"",
            client,
        ],
    );
    assert!(
        !log.contains("typed-by-mistake") && !log.contains("not-hers"),
        "{log}"
    );
}

// SEC-58, SEC-84
#[tokio::test]
async fn a_line_says_the_host_that_was_decided_upon() {
    let port = free_port();
    let configuration = |forwarded_by: &str| {
        format!(
            "listeners: [ {{ name: main, address: \"127.0.0.1:{port}\", trusted_proxies: [ 127.0.0.2/32 ], forwarded_by: {forwarded_by} }} ]\n\
             management: {{ address: \"127.0.0.1:0\" }}\n\
             store: {{ url: \"sqlite::memory:\" }}\n\
             egress: {{ allow_networks: [ 127.0.0.0/8 ] }}\n\
             proxies: [ {{ url: \"https://app.test\", upstream: \"http://127.0.0.1:1\" }} ]\n"
        )
    };
    let (stranger, proxy) = ("127.0.0.1", "127.0.0.2");
    for (forwarded_by, cases) in [
        (
            "x_forwarded",
            vec![
                (
                    proxy,
                    "inner:80",
                    "x-forwarded-host: app.test",
                    "502",
                    "app.test",
                ),
                (
                    proxy,
                    "inner:80",
                    "x-forwarded-host: other.test",
                    "421",
                    "other.test",
                ),
                (proxy, "inner:80", "x-forwarded-host: a/b", "400", "a/b"),
                (
                    proxy,
                    "inner:80",
                    "x-forwarded-for: 192.0.2.1",
                    "421",
                    "inner:80",
                ),
                // Clients do not leave a host that is served by what a proxy passes on.
                (
                    proxy,
                    "app.test",
                    "x-forwarded-host: other.test",
                    "502",
                    "app.test",
                ),
                (
                    stranger,
                    "inner:80",
                    "x-forwarded-host: app.test",
                    "421",
                    "inner:80",
                ),
            ],
        ),
        (
            "forwarded",
            vec![
                (
                    proxy,
                    "inner:80",
                    "forwarded: for=192.0.2.1;host=app.test",
                    "502",
                    "app.test",
                ),
                (
                    stranger,
                    "inner:80",
                    "forwarded: host=app.test",
                    "421",
                    "inner:80",
                ),
            ],
        ),
    ] {
        let mut program = Program::serve(Folder::new(), &configuration(forwarded_by));
        for (index, (from, host, header, status, said)) in cases.into_iter().enumerate() {
            let path = format!("/case-{index}");
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\n{header}\r\nconnection: close\r\n\r\n"
            );
            let answer = exchange(from, ([127, 0, 0, 1], port).into(), &request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{header}: {answer}"
            );
            let id = answer
                .lines()
                .find_map(|line| line.strip_prefix("x-request-id: "))
                .unwrap();
            let (_, access) = access_line(&mut program, &format!("request={id}"));
            assert!(
                access.contains(&format!(" host=\"{said}\" ")),
                "{header}: {access}"
            );
        }
    }
}
