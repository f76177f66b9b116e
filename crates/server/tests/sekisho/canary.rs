//! Secrets are planted everywhere, the whole flow runs with the most talkative log, and then they are looked for in all
//! that was written: log, metrics, database, standard output (SEC-70, SEC-71).

use crate::program::person::{Person, VERIFIER, rpc};
use crate::program::{Folder, Program, free_port};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::json;

const PASSWORD: &str = "canary-password-8d1f3c5a";
const WRONG_PASSWORD: &str = "canary-wrong-password-77b2";
const CLIENT_SECRET: &str = "canary-client-secret-0c9e4b61";
const STATE: &str = "canary-state-5f0a9d";
const ARGUMENT: &str = "canary-argument-31e7c2";
const BEARER_IN_QUERY: &str = "canary-token-in-query-a4d8";
const GARBAGE_TOKEN: &str = "canary-garbage-token-f2c6";

fn configuration(port: u16, mcp_port: u16) -> String {
    let origin = format!("https://127.0.0.1:{port}");
    format!(
        r#"
listeners: [ {{ name: main, address: "127.0.0.1:{port}", tls: {{ local_ca: true }} }} ]
management: {{ address: "127.0.0.1:0" }}
data_directory: data
store: {{ key: {{ env: CANARY_KEY }} }}
egress: {{ allow_networks: [ 127.0.0.0/8 ] }}
realms:
  - name: mcp-demo
    url: {origin}/realms/mcp-demo
    scopes: [ {{ name: profile, kind: default }}, {{ name: mcp:tools }} ]
    resources: [ {{ uri: "{origin}/mcp", default_scopes: [ mcp:tools ] }} ]
    users: [ {{ username: alice, password: {{ file: password }} }} ]
    clients:
      - client_id: confidential
        redirect_uris: [ "http://localhost:6274/oauth/callback" ]
        authentication: client_secret_basic
        secret: {{ file: client-secret }}
gateways:
  - name: demo
    url: {origin}/mcp
    authorizer:
      discovery_url: {origin}/realms/mcp-demo/.well-known/openid-configuration
      allowed_audiences: [ "{origin}/mcp" ]
      allowed_scopes: [ mcp:tools ]
    targets: [ {{ name: my-mcp-server, mcp: {{ url: "http://127.0.0.1:{mcp_port}/mcp" }} }} ]
demo_mcp_server: {{ address: "127.0.0.1:{mcp_port}" }}
"#
    )
}

/// The whole flow; gives everything that must not be found anywhere.
async fn run_the_flow(program: &Program) -> Vec<(&'static str, String)> {
    let mut secrets = vec![
        ("password", PASSWORD.to_owned()),
        ("wrong password", WRONG_PASSWORD.to_owned()),
        ("client secret", CLIENT_SECRET.to_owned()),
        (
            "basic credentials",
            STANDARD.encode(format!("confidential:{CLIENT_SECRET}")),
        ),
        ("verifier", VERIFIER.to_owned()),
        ("state", STATE.to_owned()),
        ("argument", ARGUMENT.to_owned()),
        ("token in the query", BEARER_IN_QUERY.to_owned()),
        ("garbage token", GARBAGE_TOKEN.to_owned()),
        ("sealing key", sealing_key()),
    ];
    let mut alice = Person::alice(program);
    alice.client_id = "confidential".to_owned();
    alice.password = PASSWORD.to_owned();
    let metadata = alice.discover().await;
    let url = alice
        .authorization_url(&metadata)
        .replace("the-state", STATE);

    let page = alice.browser.open(&url).await.unwrap();
    let page = alice
        .browser
        .submit(
            &page,
            &[("username", "alice"), ("password", WRONG_PASSWORD)],
            "login",
        )
        .await
        .unwrap();
    let hidden: Vec<String> = page
        .forms()
        .first()
        .unwrap()
        .fields
        .iter()
        .filter(|field| field.name == "csrf")
        .map(|field| field.value.clone())
        .collect();
    secrets.extend(hidden.into_iter().map(|value| ("csrf token", value)));
    let page = alice
        .browser
        .submit(
            &page,
            &[("username", "alice"), ("password", PASSWORD)],
            "login",
        )
        .await
        .unwrap();
    let answer = alice.browser.submit(&page, &[], "allow").await.unwrap();
    let code = answer
        .redirect_parameter("code")
        .unwrap_or_else(|| panic!("{} {}", answer.status, answer.text()));
    secrets.extend(
        alice
            .browser
            .cookies()
            .iter()
            .filter(|cookie| cookie.value.len() > 15)
            .map(|cookie| ("cookie", cookie.value.clone())),
    );

    let redirect_uri = alice.redirect_uri.clone();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let first = token_request(&mut alice, &metadata, &fields).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    let first = first.json().unwrap();
    let refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let second = token_request(
        &mut alice,
        &metadata,
        &[("grant_type", "refresh_token"), ("refresh_token", &refresh)],
    )
    .await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    let second = second.json().unwrap();
    let again = token_request(&mut alice, &metadata, &fields).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    secrets.push(("code", code));
    secrets.push(("refresh token", refresh));
    secrets.push((
        "second refresh token",
        second["refresh_token"].as_str().unwrap().to_owned(),
    ));
    for (name, tokens) in [("access token", &first), ("second access token", &second)] {
        let token = tokens["access_token"].as_str().unwrap();
        secrets.push((name, token.to_owned()));
        secrets.push((
            "signature of an access token",
            token.rsplit('.').next().unwrap().to_owned(),
        ));
    }

    // Revoked by the replay, which a refusal says; the first token worked before.
    let token = second["access_token"].as_str().unwrap();
    alice
        .call(
            Some(token),
            "my-mcp-server___greet_user",
            json!({ "name": ARGUMENT }),
        )
        .await;
    alice
        .call(
            Some(GARBAGE_TOKEN),
            "my-mcp-server___greet_user",
            json!({ "name": ARGUMENT }),
        )
        .await;
    let endpoint = program.place("mcp_endpoint");
    let in_query = rpc(
        &format!("{endpoint}?access_token={BEARER_IN_QUERY}"),
        None,
        &json!({}),
    );
    alice.browser.send(in_query).await.unwrap();
    secrets
}

async fn token_request(
    person: &mut Person<'_>,
    metadata: &serde_json::Value,
    fields: &[(&str, &str)],
) -> testkit::browser::Page {
    let credentials = STANDARD.encode(format!("confidential:{CLIENT_SECRET}"));
    let request = Request::post(metadata["token_endpoint"].as_str().unwrap())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {credentials}"))
        .body(Bytes::from(oauth::form::encode(fields.iter().copied())))
        .unwrap();
    person.browser.send(request).await.unwrap()
}

fn sealing_key() -> String {
    STANDARD.encode(b"canary-sealing-key-32-bytes-long")
}

/// Everything below a directory, as one text.
fn dump(directory: &std::path::Path, into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            dump(&path, into);
        } else if path.is_file() {
            into.push((
                path.display().to_string(),
                String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
            ));
        }
    }
}

async fn no_secret_is_written(format: &str) {
    let folder = Folder::new();
    folder.write("password", PASSWORD);
    folder.write("client-secret", CLIENT_SECRET);
    let (port, mcp_port) = (free_port(), free_port());
    folder.write("sekisho.yaml", &configuration(port, mcp_port));
    let arguments = ["serve", "--config", "sekisho.yaml", "--log-format", format];
    let mut program = Program::start(
        folder,
        &arguments,
        &[("RUST_LOG", "trace"), ("CANARY_KEY", &sealing_key())],
    );
    let origin = format!("https://127.0.0.1:{port}");
    program.ready["ca_certificate"] = json!(program.folder.path().join("data/local-ca.pem"));
    program.ready["mcp_endpoint"] = json!(format!("{origin}/mcp"));
    program.ready["issuer"] = json!(format!("{origin}/realms/mcp-demo"));
    program.ready["client_metadata_document"] = json!("confidential");

    let secrets = run_the_flow(&program).await;
    let metrics = program
        .browser()
        .get(&program.management("/metrics"))
        .await
        .unwrap()
        .text();
    let mut written = vec![("metrics".to_owned(), metrics)];
    dump(&program.folder.path().join("data"), &mut written);
    assert!(
        written
            .iter()
            .any(|(name, content)| name.ends_with("sekisho.db") && !content.is_empty()),
        "there is a database"
    );
    program.signal("TERM");
    let ended = program.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(
        ended.stderr.contains("/realms/mcp-demo/token"),
        "requests are logged"
    );
    assert!(ended.stderr.contains("TRACE"), "the log is talkative");
    written.push(("log".to_owned(), ended.stderr));
    written.push(("standard output".to_owned(), ended.stdout));

    let mut found = Vec::new();
    for (place, content) in &written {
        for (name, secret) in &secrets {
            assert!(secret.len() > 10, "{name} is too short to be looked for");
            if let Some(line) = content.lines().find(|line| line.contains(secret.as_str())) {
                let excerpt: String = line.chars().take(300).collect();
                found.push(format!("{name} in {place}: {excerpt}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

// SEC-70, SEC-71, RS-16
#[tokio::test]
async fn no_secret_is_written_into_a_readable_log() {
    no_secret_is_written("text").await;
}

// SEC-70, SEC-71, RS-16
#[tokio::test]
async fn no_secret_is_written_into_a_json_log() {
    no_secret_is_written("json").await;
}

// SEC-71
#[tokio::test]
async fn a_line_break_in_a_request_does_not_begin_a_line_of_the_log() {
    let demo = Program::demo(&[]);
    let mut browser = demo.browser();
    let origin = url::Url::parse(&demo.place("mcp_endpoint")).unwrap();
    browser
        .get(origin.join("/x%0Aforged%20line").unwrap().as_str())
        .await
        .unwrap();
    let client_id = format!("{}\u{a}forged line", demo.place("client_metadata_document"));
    let url = url::Url::parse_with_params(
        &format!("{}/authorize", demo.place("issuer")),
        [("client_id", client_id)],
    )
    .unwrap();
    browser.get(url.as_str()).await.unwrap();
    let tokens = Person::alice(&demo).log_in().await;
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "x\nforged line", "arguments": {} },
    });
    let endpoint = demo.place("mcp_endpoint");
    browser
        .send(rpc(&endpoint, Some(&tokens.access), &message))
        .await
        .unwrap();
    demo.signal("TERM");
    let ended = demo.wait();
    assert!(ended.stderr.contains("/x%0Aforged"), "{}", ended.stderr);
    assert!(
        !ended
            .stderr
            .lines()
            .any(|line| line.trim_start().starts_with("forged")),
        "{}",
        ended.stderr
    );
}
