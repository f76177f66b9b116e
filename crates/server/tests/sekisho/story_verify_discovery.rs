//! `sekisho verify` against gateways and authorization servers that say the wrong thing before anybody logs in.

use serde_json::{Value, json};
use testkit::fake_http::{FakeHttp, Reply};

use crate::program::{Folder, run};

/// What a gateway and its authorization server say.
struct Said {
    /// The answer to a request without a token.
    challenge: Reply,
    /// The protected resource metadata.
    resource: Value,
    /// The authorization server's metadata.
    server: Value,
    /// Its keys.
    keys: Value,
    /// Its answer to an authorization request.
    authorize: Reply,
}

impl Said {
    /// Nothing wrong, at this origin.
    fn soundly(origin: &str) -> Self {
        let metadata = format!("{origin}/.well-known/oauth-protected-resource/mcp");
        let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp:tools\"");
        Self {
            challenge: Reply::status(401).header("www-authenticate", &challenge),
            resource: json!({
                "resource": format!("{origin}/mcp"), "authorization_servers": [origin],
            }),
            server: json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "jwks_uri": format!("{origin}/jwks"),
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "authorization_response_iss_parameter_supported": true,
                "client_id_metadata_document_supported": true,
            }),
            keys: json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": "AA", "y": "AA"}]}),
            authorize: Reply::status(404),
        }
    }

    fn reply(self, target: &str) -> Reply {
        let documents = [
            ("/.well-known/oauth-protected-resource", self.resource),
            ("/.well-known/o", self.server),
            ("/jwks", self.keys),
        ];
        if target == "/mcp" {
            return self.challenge;
        }
        if target.starts_with("/authorize?") {
            return self.authorize;
        }
        let found = documents
            .into_iter()
            .find(|(prefix, document)| target.starts_with(prefix) && !document.is_null());
        found.map_or_else(
            || Reply::status(404),
            |(_, document)| Reply::json(document.to_string()),
        )
    }
}

/// The report of a walk through what `spoil` made of something sound.
async fn report(spoil: impl Fn(&mut Said) + Send + Sync + 'static) -> Value {
    let peer = FakeHttp::start(move |seen| {
        let origin = format!("http://{}", seen.header("host").unwrap());
        let mut said = Said::soundly(&origin);
        spoil(&mut said);
        said.reply(&seen.target)
    })
    .await
    .unwrap();
    let url = peer.url("/mcp");
    let walk = move || {
        let folder = Folder::new();
        let password = folder.write("password", "alice");
        let password = password.to_str().unwrap();
        let user = ["--user", "alice", "--password-file", password];
        run(
            &folder,
            &[&["verify", &url, "--json"][..], &user].concat(),
            "",
        )
    };
    let ended = tokio::task::spawn_blocking(walk).await.unwrap();
    // Nobody can log in there, so that the walk as a whole never passes.
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The entry with this id.
fn entry<'a>(list: &'a Value, id: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {list}"))
}

/// Asserts the outcome of a check, and that its sentence says what was seen.
async fn assert_found(id: &str, outcome: &str, says: &str, spoil: fn(&mut Said)) {
    let report = report(spoil).await;
    let finding = entry(&report["findings"], id);
    assert_eq!(finding["outcome"], outcome, "{finding}");
    let seen = finding["seen"].as_str().unwrap();
    assert!(seen.contains(says), "`{says}` is not in {finding}");
}

#[tokio::test]
async fn what_is_sound_is_found_sound() {
    for id in [
        "discovery.challenge",
        "discovery.resource-metadata",
        "discovery.server-metadata",
        "discovery.transport-security",
        "discovery.pkce-advertised",
        "discovery.iss-advertised",
        "discovery.keys",
        "registration.cimd-advertised",
    ] {
        assert_found(id, "ok", "", |_| {}).await;
    }
}

// RS-2, RS-6, CL-1
#[tokio::test]
async fn a_gateway_without_a_challenge_is_found_out() {
    let id = "discovery.challenge";
    assert_found(id, "fail", "got 200", |said| {
        said.challenge = Reply::json("{}");
    })
    .await;
    assert_found(id, "fail", "without a Bearer challenge", |said| {
        said.challenge = Reply::status(401).header("www-authenticate", "Basic realm=\"x\"");
    })
    .await;
    assert_found(id, "warn", "no absolute `resource_metadata`", |said| {
        said.challenge = Reply::status(401).header("www-authenticate", "Bearer");
    })
    .await;
}

// RS-1
#[tokio::test]
async fn metadata_of_another_resource_is_found_out() {
    let id = "discovery.resource-metadata";
    assert_found(id, "fail", "https://elsewhere.example/mcp", |said| {
        said.resource["resource"] = "https://elsewhere.example/mcp".into();
    })
    .await;
    assert_found(id, "fail", "no authorization server", |said| {
        said.resource["authorization_servers"] = json!([]);
    })
    .await;
}

// AS-5, CL-3
#[tokio::test]
async fn metadata_of_another_issuer_is_found_out() {
    let id = "discovery.server-metadata";
    assert_found(id, "fail", "https://elsewhere.example", |said| {
        said.server["issuer"] = "https://elsewhere.example".into();
    })
    .await;
}

// CL-2
#[tokio::test]
async fn metadata_that_cannot_be_had_is_told_with_the_reason() {
    let id = "discovery.server-metadata";
    assert_found(id, "fail", "Connection refused", |said| {
        said.resource["authorization_servers"] = json!(["http://127.0.0.1:1"]);
    })
    .await;
    let nowhere = "/.well-known/oauth-authorization-server: 404";
    assert_found(id, "fail", nowhere, |said| {
        said.server = Value::Null;
    })
    .await;
}

// CL-19
#[tokio::test]
async fn an_endpoint_that_is_no_web_page_is_found_out_and_not_opened() {
    for spoil in [
        (|said| said.server["authorization_endpoint"] = "file:///bin/sh".into()) as fn(&mut Said),
        |said| said.server["authorization_endpoint"] = "javascript:alert(1)".into(),
        |said| said.server["token_endpoint"] = "gopher://127.0.0.1/".into(),
    ] {
        let report = report(spoil).await;
        let finding = entry(&report["findings"], "discovery.server-metadata");
        assert_eq!(finding["outcome"], "fail", "{finding}");
        assert!(finding["seen"].as_str().unwrap().contains("http(s)"));
        entry(&report["not_asked"], "authorization.code");
    }
}

/// A login page whose form leads there.
fn login_page(action: &str) -> Reply {
    let page = format!(
        r#"<form method="post" action="{action}"><input name="username"><input type="password" name="password"><button>Log in</button></form>"#
    );
    Reply::status(200)
        .header("content-type", "text/html")
        .body(page)
}

#[tokio::test]
async fn a_login_page_of_another_origin_gets_no_password() {
    let elsewhere = FakeHttp::start(|_| login_page("")).await.unwrap();
    let url = elsewhere.url("/login");
    let redirect = move |said: &mut Said| said.authorize = Reply::redirect(303, &url);
    assert_no_password(&elsewhere, &report(redirect).await);
}

#[tokio::test]
async fn a_login_form_that_leads_to_another_origin_gets_no_password() {
    let elsewhere = FakeHttp::start(|_| Reply::status(200)).await.unwrap();
    let url = elsewhere.url("/collect");
    let form = move |said: &mut Said| said.authorize = login_page(&url);
    assert_no_password(&elsewhere, &report(form).await);
}

/// Asserts that this peer was sent no form, and that the report says that it asked for the password.
fn assert_no_password(peer: &FakeHttp, report: &Value) {
    assert!(peer.seen().iter().all(|seen| seen.method == "GET"));
    let finding = entry(&report["findings"], "authorization.code");
    assert_eq!(finding["outcome"], "fail", "{finding}");
    let said = format!("{}, which is not", peer.url(""));
    let seen = finding["seen"].as_str().unwrap();
    assert!(seen.starts_with(&said), "{finding}");
}

// AS-20
#[tokio::test]
async fn tokens_over_plain_http_are_found_out() {
    let id = "discovery.transport-security";
    assert_found(id, "fail", "http://as.example/token", |said| {
        said.server["token_endpoint"] = "http://as.example/token".into();
    })
    .await;
}

// AS-6, CL-10
#[tokio::test]
async fn a_server_that_does_not_offer_s256_is_found_out() {
    let id = "discovery.pkce-advertised";
    assert_found(id, "fail", "does not list S256", |said| {
        said.server["code_challenge_methods_supported"] = json!(["plain"]);
    })
    .await;
    assert_found(id, "warn", "`plain` is offered", |said| {
        said.server["code_challenge_methods_supported"] = json!(["S256", "plain"]);
    })
    .await;
}

// AS-8
#[tokio::test]
async fn a_server_that_promises_no_iss_is_warned_of() {
    let id = "discovery.iss-advertised";
    assert_found(id, "warn", "not promised", |said| {
        said.server["authorization_response_iss_parameter_supported"] = false.into();
    })
    .await;
}

#[tokio::test]
async fn private_keys_in_public_are_found_out() {
    assert_found("discovery.keys", "fail", "private key material", |said| {
        said.keys["keys"][0]["d"] = "AA".into();
    })
    .await;
    assert_found("discovery.keys", "fail", "no keys", |said| {
        said.keys = json!({"keys": []});
    })
    .await;
}

// CL-21, AS-15, CI-12
#[tokio::test]
async fn a_server_without_metadata_documents_is_warned_of() {
    let id = "registration.cimd-advertised";
    assert_found(id, "warn", "are not offered", |said| {
        said.server["client_id_metadata_document_supported"] = false.into();
    })
    .await;
    assert_found(id, "warn", "`none` is not in", |said| {
        said.server["token_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    })
    .await;
}
