//! The story of the demonstration: a client that nobody registered logs a user in and calls tools; the rest is refused.

use crate::program::person::{Person, claims, result, rpc};
use crate::program::{Folder, Program, command, free_port, on_the_database_under_test};
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_client_that_nobody_registered_logs_alice_in_and_calls_the_tools() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    assert_eq!(
        alice.discover().await["client_id_metadata_document_supported"],
        true
    );
    let tokens = alice.log_in().await;
    let claims = claims(&tokens.access);
    assert_eq!(claims["iss"], demo.place("issuer"));
    assert_eq!(claims["client_id"], demo.place("client_metadata_document"));
    assert_eq!(claims["scope"], "profile email mcp:tools");
    assert!(
        claims["aud"]
            .as_array()
            .unwrap()
            .contains(&json!("mcp-gateway-demo")),
        "{claims}"
    );
    for (tool, arguments, text) in [
        ("my-mcp-server___add_numbers", json!({"a": 2, "b": 3}), "5"),
        (
            "my-mcp-server___multiply_numbers",
            json!({"a": 2, "b": 3}),
            "6",
        ),
        (
            "my-mcp-server___greet_user",
            json!({"name": "Alice"}),
            "Hello, Alice! Nice to meet you.",
        ),
    ] {
        let answer = alice.call(Some(&tokens.access), tool, arguments).await;
        assert_eq!(
            result(&answer)["result"]["content"][0]["text"],
            text,
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_scope_that_does_not_exist_is_refused() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    alice.scope = "mcp:fail".to_owned();
    let metadata = alice.discover().await;
    let url = alice.authorization_url(&metadata);
    let answer = alice.browser.open(&url).await.unwrap();
    assert_eq!(
        answer.redirect_parameter("error").as_deref(),
        Some("invalid_scope")
    );
    assert_eq!(answer.redirect_parameter("iss"), Some(demo.place("issuer")));
}

#[tokio::test]
async fn a_call_without_a_token_or_with_a_broken_one_meets_the_challenge() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    for token in [None, Some("garbage"), Some("eyJhbGciOiJub25lIn0.e30.")] {
        let answer = alice
            .call(
                token,
                "my-mcp-server___add_numbers",
                json!({"a": 2, "b": 3}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .contains("resource_metadata=")
        );
    }
}

#[tokio::test]
async fn a_wrong_password_gives_no_code() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    alice.password = "malice".to_owned();
    let metadata = alice.discover().await;
    let page = alice
        .browser
        .open(&alice.authorization_url(&metadata))
        .await
        .unwrap();
    let again = alice
        .browser
        .submit(
            &page,
            &[("username", "alice"), ("password", "malice")],
            "login",
        )
        .await
        .unwrap();
    assert!(again.redirect().is_none());
    assert!(again.text().contains("name=\"password\""));
}

#[tokio::test]
async fn a_code_gives_tokens_only_once() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    let metadata = alice.discover().await;
    let code = alice
        .authorize(&metadata)
        .await
        .redirect_parameter("code")
        .unwrap();
    assert_eq!(
        alice.exchange(&metadata, &code).await.status,
        StatusCode::OK
    );
    let again = alice.exchange(&metadata, &code).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert_eq!(again.json().unwrap()["error"], "invalid_grant");
}

// CL-6, CI-22
#[tokio::test]
async fn the_client_metadata_document_is_that_of_the_article_for_more_programs() {
    let demo = Program::demo(&[]);
    let url = demo.place("client_metadata_document");
    let page = demo.browser().get(&url).await.unwrap();
    assert_eq!(page.header("content-type"), Some("application/json"));
    let expected = json!({
        "client_id": url,
        "client_name": "MCP Inspector AWS CIMD Client",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "redirect_uris": [
            "http://localhost:6274/oauth/callback", "http://127.0.0.1:6274/oauth/callback",
            "http://localhost/callback", "http://127.0.0.1/callback",
            "http://localhost/mcp/oauth/callback", "http://127.0.0.1/mcp/oauth/callback",
            "http://localhost/", "http://127.0.0.1/",
        ],
    });
    assert_eq!(page.json().unwrap(), expected);
}

// fastmcp, Claude Code, mcpc, mcp-use and opencode listen elsewhere than Inspector, each time on another port.
#[tokio::test]
async fn programs_that_listen_on_other_paths_and_ports_log_in_with_that_document() {
    let demo = Program::demo(&[]);
    for redirect_uri in [
        "http://localhost:36359/callback",
        "http://127.0.0.1:19876/mcp/oauth/callback",
        "http://127.0.0.1:53211/",
    ] {
        let mut alice = Person::alice(&demo);
        redirect_uri.clone_into(&mut alice.redirect_uri);
        assert_eq!(alice.log_in().await.scope, "profile email mcp:tools");
    }
}

// AS-3, AS-4: with nothing but the URL, and no document of its own.
#[tokio::test]
async fn a_client_that_registers_itself_logs_alice_in_and_calls_the_tools() {
    let demo = Program::demo(&[]);
    let mut alice = Person::alice(&demo);
    let endpoint = demo.place("mcp_endpoint");
    let origin = endpoint.strip_suffix("/mcp").unwrap();
    let at_origin = format!("{origin}/.well-known/oauth-authorization-server");
    let metadata = alice.browser.get(&at_origin).await.unwrap().json().unwrap();
    assert_eq!(metadata, alice.discover().await);
    let own = metadata["registration_endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    for registration_endpoint in [own, format!("{origin}/register")] {
        let body = json!({
            "client_name": "A Program", "redirect_uris": ["http://localhost:7777/cb"],
            "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
        });
        let request = http::Request::post(&registration_endpoint)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let page = alice.browser.send(request).await.unwrap();
        assert_eq!(page.status, StatusCode::CREATED, "{}", page.text());
        let client = page.json().unwrap();
        client["client_id"]
            .as_str()
            .unwrap()
            .clone_into(&mut alice.client_id);
        "http://localhost:7778/cb".clone_into(&mut alice.redirect_uri);
        let tokens = alice.log_in().await;
        assert_eq!(claims(&tokens.access)["client_id"], client["client_id"]);
        let (tool, sum) = ("my-mcp-server___add_numbers", json!({"a": 2, "b": 3}));
        let answer = alice.call(Some(&tokens.access), tool, sum).await;
        assert_eq!(result(&answer)["result"]["content"][0]["text"], "5");
    }
}

#[tokio::test]
async fn a_request_for_another_host_name_is_misdirected() {
    let demo = Program::demo(&[]);
    let mut request = rpc(&demo.place("mcp_endpoint"), None, &json!({}));
    request
        .headers_mut()
        .insert("host", "evil.example".parse().unwrap());
    // The client sets `Host` itself, so the name goes over a socket of our own.
    let address = url::Url::parse(&demo.place("mcp_endpoint")).unwrap();
    let answer = raw(
        &address,
        "GET /mcp HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
}

async fn raw(url: &url::Url, request: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect((url.host_str().unwrap(), url.port().unwrap()))
        .await
        .unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_demonstration_prints_where_everything_is_and_ends_on_ctrl_c() {
    let mut demo = Program::demo(&[]);
    // It comes last, and is read by a thread of its own.
    demo.until("its last line", |demo| {
        demo.printed().contains("Ctrl-C ends it.")
    });
    let printed = demo.printed();
    let mut rest = printed.as_str();
    for wanted in [
        demo.place("mcp_endpoint"),
        demo.place("issuer"),
        demo.place("client_metadata_document"),
        "alice / alice".to_owned(),
        demo.place("inspector_command"),
        demo.place("python_command"),
        demo.place("verify_command"),
    ] {
        let (_, after) = rest
            .split_once(&wanted)
            .unwrap_or_else(|| panic!("`{wanted}` is not printed in its turn:\n{printed}"));
        rest = after;
    }
    demo.signal("INT");
    let ended = demo.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

#[tokio::test]
async fn serve_runs_the_configuration_of_the_demonstration() {
    let folder = Folder::new();
    let (port, mcp_port) = (free_port(), free_port());
    let shown = command(&folder, &["config", "show", "--demo"])
        .args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--mcp-listen",
            &format!("127.0.0.1:{mcp_port}"),
        ])
        .output()
        .unwrap();
    let configuration = String::from_utf8(shown.stdout).unwrap();
    let configuration = on_the_database_under_test(&configuration).await;
    let mut served = Program::serve(folder, &configuration);
    // The ready file of `serve` knows nothing of the demonstration.
    served.ready["mcp_endpoint"] = json!(format!("http://127.0.0.1:{port}/mcp"));
    served.ready["issuer"] = json!(format!("http://127.0.0.1:{port}/realms/mcp-demo"));
    served.ready["client_metadata_document"] = json!(format!(
        "http://127.0.0.1:{port}/oauth/client-metadata.json"
    ));
    let mut alice = Person::alice(&served);
    let tokens = alice.log_in().await;
    let answer = alice
        .call(
            Some(&tokens.access),
            "my-mcp-server___add_numbers",
            json!({"a": 2, "b": 3}),
        )
        .await;
    assert_eq!(result(&answer)["result"]["content"][0]["text"], "5");
}
