//! `sekisho verify` against a scripted deployment: a refusal counts only where something proper is accepted beside it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit::fake_http::{FakeHttp, Reply, Seen};
use url::form_urlencoded;

use crate::program::{Ended, Folder, run};

/// A gateway and an authorization server at one origin, as far as a walk looks at them; nobody has to log in.
#[derive(Default)]
struct Deployment {
    count: AtomicUsize,
    tokens: Mutex<Vec<String>>,
    sessions: Mutex<Vec<String>>,
    /// The challenge of each code that was not redeemed; `None` once it was.
    codes: Mutex<HashMap<String, Option<String>>>,
    /// Whether clients have to register.
    by_registration: bool,
}

type Pairs = HashMap<String, String>;

fn pairs(text: &str) -> Pairs {
    form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect()
}

fn oauth_error(status: u16, error: &str) -> Reply {
    let body = json!({"error": error, "error_description": format!("because of {error}")});
    Reply::status(status)
        .header("content-type", "application/json")
        .body(body.to_string())
}

impl Deployment {
    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let origin = format!("http://{}", seen.header("host").unwrap());
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        match path {
            "/mcp" => self.mcp(seen, &origin, query),
            "/authorize" => self.authorize(&origin, &pairs(query)),
            "/token" => self.token(&pairs(&String::from_utf8_lossy(&seen.body))),
            "/register" => self.register(seen),
            "/jwks" => Reply::json(r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#),
            _ if path.starts_with("/.well-known/oauth-protected-resource") => Reply::json(
                json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]})
                    .to_string(),
            ),
            _ if path.contains("/.well-known/o") => Reply::json(self.metadata(&origin).to_string()),
            _ => Reply::status(404),
        }
    }

    fn metadata(&self, origin: &str) -> Value {
        let mut metadata = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "jwks_uri": format!("{origin}/jwks"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": true,
        });
        let (name, value) = if self.by_registration {
            ("registration_endpoint", json!(format!("{origin}/register")))
        } else {
            ("client_id_metadata_document_supported", json!(true))
        };
        metadata[name] = value;
        metadata
    }

    fn authorize(&self, origin: &str, asked: &Pairs) -> Reply {
        let redirect_uri = asked["redirect_uri"].as_str();
        if !redirect_uri.ends_with("/callback") || redirect_uri.contains("attacker") {
            return Reply::status(400).body("<body><main><h1>Unknown redirect URI</h1></main>");
        }
        let mut answer = vec![("iss", origin), ("state", &asked["state"])];
        let code = self.fresh("code");
        let s256 = asked
            .get("code_challenge_method")
            .is_some_and(|method| method == "S256");
        if asked.get("scope").is_some_and(|scope| scope == "mcp:fail") {
            answer.push(("error", "invalid_scope"));
        } else if s256 {
            let challenge = asked["code_challenge"].clone();
            self.codes.lock().insert(code.clone(), Some(challenge));
            answer.push(("code", &code));
        } else {
            answer.push(("error", "invalid_request"));
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(answer)
            .finish();
        Reply::redirect(303, &format!("{redirect_uri}?{query}"))
    }

    fn token(&self, asked: &Pairs) -> Reply {
        let proper = if asked["grant_type"] == "refresh_token" {
            self.tokens.lock().contains(&asked["refresh_token"])
        } else {
            let mut codes = self.codes.lock();
            let open = codes.get(&asked["code"]).is_some_and(Option::is_some);
            let verifier = asked.get("code_verifier");
            let verified = verifier.is_some_and(|text| !text.starts_with("aaaa"));
            let here = asked
                .get("resource")
                .is_none_or(|resource| !resource.contains("other.example"));
            if open && verified && !here {
                return oauth_error(400, "invalid_target");
            }
            if open && verified {
                codes.insert(asked["code"].clone(), None);
            } else if !open {
                // A code used twice: whatever it gave is dead.
                self.tokens
                    .lock()
                    .retain(|token| !token.starts_with("refresh"));
            }
            open && verified
        };
        if !proper {
            return oauth_error(400, "invalid_grant");
        }
        let (access, refresh) = (self.fresh("access"), self.fresh("refresh"));
        self.tokens.lock().extend([access.clone(), refresh.clone()]);
        let body =
            json!({"access_token": access, "token_type": "Bearer", "refresh_token": refresh});
        Reply::json(body.to_string()).header("cache-control", "no-store")
    }

    fn register(&self, seen: &Seen) -> Reply {
        let mut client: Value = serde_json::from_slice(&seen.body).unwrap();
        if client["redirect_uris"][0]
            .as_str()
            .unwrap()
            .starts_with("javascript:")
        {
            return oauth_error(400, "invalid_redirect_uri");
        }
        client["client_id"] = self.fresh("client").into();
        Reply::status(201)
            .header("content-type", "application/json")
            .header("cache-control", "no-store")
            .body(client.to_string())
    }

    fn mcp(&self, seen: &Seen, origin: &str, query: &str) -> Reply {
        let token = seen
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let known = token.is_some_and(|token| self.tokens.lock().iter().any(|one| one == token));
        if !known || query.contains("access_token") {
            let metadata = format!("{origin}/.well-known/oauth-protected-resource/mcp");
            let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp:tools\"");
            return Reply::status(401).header("www-authenticate", &challenge);
        }
        if seen.header("origin").is_some() {
            return Reply::status(403);
        }
        self.method(seen)
    }

    fn method(&self, seen: &Seen) -> Reply {
        let message: Value = serde_json::from_slice(&seen.body).unwrap();
        let session = seen.header("mcp-session-id").unwrap_or_default();
        let result = match message["method"].as_str().unwrap() {
            "initialize" => {
                let id = self.fresh("session");
                self.sessions.lock().push(id.clone());
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                return Reply::json(body.to_string()).header("mcp-session-id", &id);
            }
            "notifications/initialized" => return Reply::status(202),
            "tools/list" if !self.sessions.lock().iter().any(|id| id == session) => {
                return Reply::status(404);
            }
            "tools/list" => json!({"tools": [{"name": "one", "inputSchema": {"type": "object"}}]}),
            _ => {
                let error = json!({"code": -32601, "message": "unknown"});
                let body = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
                return Reply::status(400)
                    .header("content-type", "application/json")
                    .body(body.to_string());
            }
        };
        Reply::json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string())
    }
}

/// Walks through a deployment, of which `spoil` may change any answer.
async fn walk(
    deployment: Deployment,
    path: &str,
    spoil: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static,
) -> (Ended, Value) {
    let deployment = Arc::new(deployment);
    let peer = FakeHttp::start(move |seen| spoil(seen, deployment.reply(seen)))
        .await
        .unwrap();
    let url = peer.url(path);
    let walk = move || {
        let folder = Folder::new();
        let password = folder.write("password", "alice");
        let password = password.to_str().unwrap();
        let user = ["--user", "alice", "--password-file", password];
        let ended = run(
            &folder,
            &[&["verify", &url, "--json"][..], &user].concat(),
            "",
        );
        let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended}"));
        (ended, report)
    };
    tokio::task::spawn_blocking(walk).await.unwrap()
}

/// The finding with this id, if the question was asked.
fn finding<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["id"] == id)
}

fn outcome<'a>(report: &'a Value, id: &str) -> &'a str {
    finding(report, id).map_or("not asked", |finding| finding["outcome"].as_str().unwrap())
}

fn seen<'a>(report: &'a Value, id: &str) -> &'a str {
    finding(report, id).unwrap_or_else(|| panic!("no `{id}` in {report}"))["seen"]
        .as_str()
        .unwrap()
}

/// The outcomes of all checks of a group.
fn outcomes<'a>(report: &'a Value, group: &str) -> Vec<(&'a str, &'a str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            (
                finding["id"].as_str().unwrap(),
                finding["outcome"].as_str().unwrap(),
            )
        })
        .filter(|(id, _)| id.starts_with(group))
        .collect()
}

#[tokio::test]
async fn what_is_sound_passes_and_says_what_does_not_apply() {
    let (ended, report) = walk(Deployment::default(), "/mcp", |_, reply| reply).await;
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(report["passed"], true);
    assert_eq!(outcome(&report, "authorization.missing-pkce"), "ok");
    assert_eq!(outcome(&report, "denial.garbage"), "ok");
    assert_eq!(outcome(&report, "token.replayed-code"), "ok");
    // Its tokens are opaque, and its only tool is not called.
    assert_eq!(outcome(&report, "denial.alg-none"), "n/a");
    assert_eq!(outcome(&report, "mcp.tools-call"), "n/a");
}

#[tokio::test]
async fn the_report_says_what_was_asked_when_and_which_exchanges_show_it() {
    let (_, report) = walk(Deployment::default(), "/mcp", |_, reply| reply).await;
    assert!(report["target"].as_str().unwrap().ends_with("/mcp"));
    assert!(report["started"].as_str().unwrap().ends_with('Z'));
    assert_eq!(report["sekisho"], env!("CARGO_PKG_VERSION"));
    let challenge = finding(&report, "discovery.challenge").unwrap();
    assert_eq!(
        challenge["requirements"],
        json!(["RS-2", "RS-6", "RS-11", "RFC 9728 §5.1"])
    );
    let first = challenge["exchanges"][0].as_u64().unwrap();
    let exchange = &report["exchanges"][usize::try_from(first).unwrap()];
    assert_eq!(exchange["check"], "discovery.challenge");
    assert_eq!(exchange["request"], "POST /mcp without a token");
    assert_eq!(exchange["answer"], "401 Unauthorized");
}

#[tokio::test]
async fn a_gateway_that_refuses_everybody_is_not_praised_for_refusing() {
    let (ended, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        if seen.target.starts_with("/mcp") && seen.header("authorization").is_some() {
            return Reply::status(401);
        }
        reply
    })
    .await;
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    let praised: Vec<_> = outcomes(&report, "denial.")
        .into_iter()
        .filter(|(_, outcome)| *outcome == "ok")
        .collect();
    assert!(praised.is_empty(), "{praised:?}");
}

#[tokio::test]
async fn a_server_that_gives_no_code_is_not_praised_for_giving_none() {
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        if seen.target.starts_with("/authorize") {
            return Reply::status(400).body("<body>out of order</body>");
        }
        reply
    })
    .await;
    for id in [
        "missing-pkce",
        "plain-pkce",
        "unregistered-redirect",
        "refused-scope",
    ] {
        let id = format!("authorization.{id}");
        assert_eq!(outcome(&report, &id), "not asked", "{id}");
    }
    // The refusal is told in the page's own words.
    let said = seen(&report, "registration.client");
    assert!(said.contains("“out of order”"), "{said}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_has_refused_nothing() {
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        let odd = seen.target.starts_with("/authorize")
            && !seen.target.contains("code_challenge_method=S256");
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        let garbage = seen.header("authorization") == Some("Bearer garbage");
        if odd || garbage || form.contains("aaaaaaaa") || seen.header("origin").is_some() {
            return Reply::hang_up();
        }
        reply
    })
    .await;
    for id in [
        "authorization.missing-pkce",
        "authorization.plain-pkce",
        "token.wrong-verifier",
        "denial.garbage",
        "denial.foreign-origin",
    ] {
        let outcome = outcome(&report, id);
        assert!(["warn", "fail"].contains(&outcome), "{id}: {outcome}");
    }
    // And where the answer is an error of the server's own, that is no refusal either.
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        if seen.target.contains("attacker.example") {
            return Reply::status(500).body("<body>oops</body>");
        }
        reply
    })
    .await;
    assert_eq!(
        outcome(&report, "authorization.unregistered-redirect"),
        "warn"
    );
}

// RFC 6749 §5.1
#[tokio::test]
async fn a_token_without_scope_has_the_scope_that_was_asked_for() {
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        // Whoever grants everything redirects with a code for everything.
        if seen.target.starts_with("/authorize") && seen.target.contains("scope=mcp%3Afail") {
            let asked = pairs(seen.target.split_once('?').unwrap().1);
            let answer = format!(
                "{}?code=granted&state={}",
                asked["redirect_uri"], asked["state"]
            );
            return Reply::redirect(303, &answer);
        }
        if String::from_utf8_lossy(&seen.body).contains("code=granted") {
            return Reply::json(r#"{"access_token":"x","token_type":"Bearer"}"#);
        }
        reply
    })
    .await;
    assert_eq!(outcome(&report, "authorization.refused-scope"), "fail");
    assert!(seen(&report, "authorization.refused-scope").contains("`mcp:fail` was granted"));
}

// SEC-7, SEC-33
#[tokio::test]
async fn clients_that_must_register_do_so_and_the_answer_is_judged() {
    let deployment = || Deployment {
        by_registration: true,
        ..Deployment::default()
    };
    let (ended, report) = walk(deployment(), "/mcp", |_, reply| reply).await;
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(seen(&report, "registration.client").contains("registered dynamically as `client-"));
    assert_eq!(outcome(&report, "registration.dynamic"), "ok");
    assert_eq!(outcome(&report, "registration.dangerous-redirect"), "ok");
    let (_, report) = walk(deployment(), "/mcp", |seen, reply| {
        if seen.target == "/register" {
            let mut client: Value = serde_json::from_slice(&seen.body).unwrap();
            client["client_id"] = "anybody".into();
            client["redirect_uris"] = json!([]);
            return Reply::status(201).body(client.to_string());
        }
        reply
    })
    .await;
    assert_eq!(outcome(&report, "registration.dynamic"), "fail");
    assert_eq!(outcome(&report, "registration.dangerous-redirect"), "fail");
}

// GE-1
#[tokio::test]
async fn an_endpoint_without_authorization_is_asked_about_the_protocol() {
    let deployment = Deployment::default();
    let open = Arc::new(Deployment::default());
    let (ended, report) = walk(deployment, "/mcp", move |seen, reply| {
        if seen.target == "/mcp" {
            return match seen.header("origin") {
                Some(_) => Reply::status(403),
                None => open.method(seen),
            };
        }
        reply
    })
    .await;
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(outcome(&report, "discovery.challenge"), "warn");
    assert_eq!(outcome(&report, "mcp.tools-list"), "ok");
    assert_eq!(outcome(&report, "denial.foreign-origin"), "ok");
    assert_eq!(outcome(&report, "denial.unknown-session"), "ok");
    assert_eq!(outcome(&report, "denial.garbage"), "n/a");
}

// RS-2
#[tokio::test]
async fn a_challenge_with_a_parameter_twice_is_found_out_and_the_walk_goes_on() {
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        if seen.target == "/mcp" && seen.header("authorization").is_none() {
            let origin = format!("http://{}", seen.header("host").unwrap());
            let challenge = format!(
                "Bearer resource_metadata=\"{origin}/nothing\", resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\""
            );
            return Reply::status(401).header("www-authenticate", &challenge);
        }
        reply
    })
    .await;
    assert_eq!(outcome(&report, "discovery.challenge"), "fail");
    assert_eq!(outcome(&report, "discovery.resource-metadata"), "ok");
    assert_eq!(outcome(&report, "mcp.tools-list"), "ok");
}

#[tokio::test]
async fn a_url_that_misses_the_endpoint_is_answered_with_the_likely_one() {
    let hint = |report: &Value| finding(report, "discovery.challenge").unwrap()["hint"].to_string();
    let (ended, report) = walk(Deployment::default(), "/", |_, reply| reply).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        hint(&report).contains("did you mean http://127.0.0.1:"),
        "{report}"
    );
    assert!(hint(&report).contains("/mcp?"), "{report}");
    let (_, report) = walk(Deployment::default(), "/mcp", |seen, reply| {
        if seen.target == "/mcp" {
            return Reply::redirect(307, "/mcp/");
        }
        reply
    })
    .await;
    assert!(hint(&report).contains("/mcp/?"), "{report}");
}
