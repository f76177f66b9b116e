//! Clients that register themselves: what real ones send, who is let in, and what is left of those that nobody uses.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use model::client_policy;
use model::realm::Realm;
use model::registration::{FIRST_USE, KEEP, Mode};
use model::secret::TokenHash;
use serde_json::{Value, json};
use testkit::browser::{Browser, Page};

use crate::world::{
    APP, ISSUER, VERIFIER, World, assert_refused_with_page, code_of, error_of, realm,
};

fn open() -> Realm {
    let mut realm = realm();
    realm.registration.mode = Mode::Open;
    realm.registration.private_schemes = vec!["cursor".to_owned()];
    realm
}

async fn send(
    browser: &mut Browser,
    method: Method,
    url: &str,
    token: Option<&str>,
    body: &Value,
) -> Page {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    browser.send(request.body(body).unwrap()).await.unwrap()
}

async fn register(world: &World, body: &Value) -> Page {
    let url = world.url("/register");
    send(&mut world.browser(), Method::POST, &url, None, body).await
}

async fn registered(world: &World, body: &Value) -> Value {
    let page = register(world, body).await;
    assert_eq!(page.status, 201, "{}", page.text());
    assert_eq!(page.header("content-type"), Some("application/json"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    page.json().unwrap()
}

fn error(page: &Page) -> (u16, String) {
    let body = page.json().unwrap();
    assert!(body["error_description"].is_string(), "{body}");
    (
        page.status.as_u16(),
        body["error"].as_str().unwrap().to_owned(),
    )
}

/// A client on the user's machine, like most.
fn native(port: u16) -> Value {
    json!({
        "client_name": "Some Client",
        "redirect_uris": [format!("http://localhost:{port}/callback")],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer[member]
        .as_str()
        .unwrap_or_else(|| panic!("no `{member}` in {answer}"))
}

async fn token(world: &World, form: &[(&str, &str)]) -> Page {
    let url = world.url("/token");
    world.browser().post_form(&url, form).await.unwrap()
}

async fn redeem(world: &World, client_id: &str, redirect: &str, code: &str) -> Page {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", redirect),
    ];
    token(world, &form).await
}

/// A registered client that somebody has logged in with, and what it got.
async fn in_use(world: &World) -> (Value, Value) {
    let client = registered(world, &native(1)).await;
    let id = text(&client, "client_id");
    let redirect = "http://localhost:1/callback";
    let changes = [("client_id", id), ("redirect_uri", redirect)];
    let answer = world.log_in(&mut world.browser(), &changes).await;
    let tokens = redeem(world, id, redirect, &code_of(&answer, ISSUER)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
    let tokens = tokens.json().unwrap();
    (client, tokens)
}

/// What programs of the field say of themselves at their registration, and the `scope` of the request that follows. Where
/// they differ from each other is what has to pass: members that are unknown or empty, no `application_type`, no
/// `refresh_token`, paths of every kind, and a port that is another one at each start.
fn programs() -> Vec<(&'static str, Value, &'static str)> {
    let client = |name: &str, redirect: &str, more: Value| {
        let mut all = json!({
            "client_name": name,
            "redirect_uris": [redirect],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        for (member, value) in more.as_object().unwrap() {
            all[member] = value.clone();
        }
        all
    };
    let native = || json!({ "application_type": "native", "scope": "mcp:tools" });
    vec![
        (
            "fastmcp",
            client(
                "FastMCP Client",
                "http://localhost:36359/callback",
                native(),
            ),
            "mcp:tools",
        ),
        (
            "mcp-remote",
            client(
                "MCP CLI Client",
                "http://localhost:30949/oauth/callback",
                json!({
                    "application_type": "native", "scope": "mcp:tools",
                    "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
                    "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d", "software_version": "0.15.1",
                }),
            ),
            "mcp:tools",
        ),
        (
            "opencode",
            client(
                "OpenCode",
                "http://127.0.0.1:19876/mcp/oauth/callback",
                json!({ "client_uri": "https://opencode.ai", "scope": "mcp:tools" }),
            ),
            "mcp:tools",
        ),
        (
            "codex",
            client("Codex", "http://127.0.0.1:37071/callback", native()),
            "mcp:tools",
        ),
        (
            "claude code",
            client(
                "Claude Code (stub)",
                "http://localhost:64992/callback",
                native(),
            ),
            "mcp:tools",
        ),
        (
            "mcporter",
            client(
                "mcporter (stub)",
                "http://127.0.0.1:44277/callback",
                json!({ "scope": "mcp:tools" }),
            ),
            "mcp:tools",
        ),
        (
            "mcpc",
            client(
                "mcpc",
                "http://localhost:8000/callback",
                json!({ "client_uri": "https://github.com/apify/mcpc", "scope": "mcp:tools" }),
            ),
            "mcp:tools",
        ),
        (
            "rmcp",
            client("rmcp test", "http://127.0.0.1:42769/callback", native()),
            "mcp:tools",
        ),
        (
            "mcp-use",
            client(
                "mcp-use",
                "http://localhost:8080/callback",
                json!({ "application_type": "native", "grant_types": ["authorization_code"] }),
            ),
            "",
        ),
        (
            "ai sdk",
            client("ai-sdk", "http://127.0.0.1:20994/callback", native()),
            "mcp:tools",
        ),
        (
            "gemini cli",
            client(
                "Gemini CLI MCP Client",
                "http://localhost:42031/oauth/callback",
                json!({ "scope": "" }),
            ),
            "",
        ),
        (
            "qwen code",
            client(
                "Qwen Code MCP Client",
                "http://localhost:7777/oauth/callback",
                json!({ "code_challenge_method": ["S256"], "scope": "mcp:tools" }),
            ),
            "mcp:tools",
        ),
        (
            "cursor",
            client(
                "Cursor",
                "cursor://anysphere.cursor-mcp/oauth/callback",
                json!({ "application_type": "web" }),
            ),
            "",
        ),
    ]
}

// AS-3, AS-17, SEC-33
#[tokio::test]
async fn real_programs_register_log_in_and_get_tokens() {
    let world = World::with(open()).await;
    for (program, body, scope) in programs() {
        let answer = registered(&world, &body).await;
        for (member, value) in body.as_object().unwrap() {
            let known = !matches!(
                member.as_str(),
                "code_challenge_method" | "application_type"
            );
            if known && value != "" {
                assert_eq!(answer[member], *value, "{program}: {member}");
            }
        }
        assert_eq!(answer["code_challenge_method"], Value::Null, "{program}");
        assert_ne!(answer["scope"], "", "{program}");
        assert_eq!(answer["application_type"], "native", "{program}");
        assert_eq!(answer["client_secret"], Value::Null, "{program}");
        assert!(answer["client_id_issued_at"].is_i64(), "{program}");

        let id = text(&answer, "client_id");
        let redirect = answer["redirect_uris"][0].as_str().unwrap().to_owned();
        let changes = [
            ("client_id", id),
            ("redirect_uri", &redirect),
            ("scope", scope),
        ];
        let answer = world.log_in(&mut world.browser(), &changes).await;
        let tokens = redeem(&world, id, &redirect, &code_of(&answer, ISSUER)).await;
        assert_eq!(tokens.status, 200, "{program}: {}", tokens.text());
        let tokens = tokens.json().unwrap();
        let refreshes = body["grant_types"][1] == "refresh_token";
        assert_eq!(tokens["refresh_token"].is_string(), refreshes, "{program}");
        if refreshes {
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", id),
                ("refresh_token", text(&tokens, "refresh_token")),
            ];
            assert_eq!(token(&world, &form).await.status, 200, "{program}");
        }
    }
}

// AS-22: a program that registered one port listens on another one the next time.
#[tokio::test]
async fn the_port_may_be_another_one_and_registering_again_makes_another_client() {
    let world = World::with(open()).await;
    let first = registered(&world, &native(1)).await;
    let second = registered(&world, &native(1)).await;
    assert_ne!(first["client_id"], second["client_id"]);
    let id = text(&first, "client_id");
    let redirect = "http://localhost:54321/callback";
    let changes = [("client_id", id), ("redirect_uri", redirect)];
    let answer = world.log_in(&mut world.browser(), &changes).await;
    let tokens = redeem(&world, id, redirect, &code_of(&answer, ISSUER)).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
}

// AS-3, SEC-9
#[tokio::test]
async fn it_is_advertised_only_where_it_is_on_and_says_what_to_do_where_it_is_off() {
    for (mode, endpoint) in [
        (Mode::Off, Value::Null),
        (Mode::Token, world_url("/register")),
        (Mode::Open, world_url("/register")),
    ] {
        let mut realm = realm();
        realm.registration.mode = mode;
        let world = World::with(realm).await;
        let url = world.url("/.well-known/oauth-authorization-server");
        let document = world.browser().get(&url).await.unwrap().json().unwrap();
        assert_eq!(document["registration_endpoint"], endpoint, "{mode:?}");
    }
    for (documents, hint) in [
        (
            client_policy::Mode::Open,
            "https URL of a client metadata document",
        ),
        (client_policy::Mode::Off, "ask its operator"),
    ] {
        let mut realm = realm();
        realm.cimd.mode = documents;
        let world = World::with(realm).await;
        let page = register(&world, &native(1)).await;
        assert_eq!(error(&page), (403, "access_denied".to_owned()));
        assert!(page.text().contains(hint), "{}", page.text());
        let url = world.url("/register/dcr-aaaaaaaaaaaaaaaaaaaaaa");
        let page = send(
            &mut world.browser(),
            Method::GET,
            &url,
            Some("x"),
            &Value::Null,
        )
        .await;
        assert_eq!(error(&page), (403, "access_denied".to_owned()));
    }
}

fn world_url(path: &str) -> Value {
    format!("{ISSUER}{path}").into()
}

// SEC-33
#[tokio::test]
async fn an_initial_access_token_lets_in_whoever_has_it() {
    let mut realm = realm();
    realm.registration.mode = Mode::Token;
    realm.registration.initial_access_tokens = vec![TokenHash::of("an initial access token")];
    let world = World::with(realm).await;
    let (url, mut browser) = (world.url("/register"), world.browser());
    let body = json!({ "redirect_uris": ["https://anywhere.example/cb"], "token_endpoint_auth_method": "none" });

    let page = send(&mut browser, Method::POST, &url, None, &body).await;
    assert_eq!(error(&page), (401, "invalid_token".to_owned()));
    let challenge = page.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
    let page = send(&mut browser, Method::POST, &url, Some("another"), &body).await;
    assert_eq!(error(&page), (401, "invalid_token".to_owned()));
    let challenge = page.header("www-authenticate").unwrap();
    assert!(challenge.contains("invalid_token"), "{challenge}");

    let token = Some("an initial access token");
    let page = send(&mut browser, Method::POST, &url, token, &body).await;
    assert_eq!(page.status, 201, "{}", page.text());
    let answer = page.json().unwrap();
    let id = text(&answer, "client_id");
    let changes = [
        ("client_id", id),
        ("redirect_uri", "https://anywhere.example/cb"),
    ];
    code_of(&world.log_in(&mut browser, &changes).await, ISSUER);
}

// AS-21, SEC-7, SEC-33, SEC-34
#[tokio::test]
async fn strangers_name_their_own_machine_and_trusted_hosts_and_nothing_else() {
    let mut realm = open();
    realm.registration.trusted_domains = vec!["*.trusted.example".parse().unwrap()];
    let world = World::with(realm).await;
    for (uris, kept) in [
        (json!(["https://app.trusted.example/cb"]), 1),
        (
            json!(["https://evil.example/cb", "http://127.0.0.1:1/cb"]),
            1,
        ),
        (json!(["javascript:alert(1)", "com.example.app:/cb"]), 1),
    ] {
        let answer = registered(&world, &json!({ "redirect_uris": uris })).await;
        assert_eq!(
            answer["redirect_uris"].as_array().unwrap().len(),
            kept,
            "{answer}"
        );
    }
    for uris in [
        json!(["https://evil.example/cb"]),
        json!(["http://app.trusted.example/cb"]),
        json!(["javascript:alert(1)"]),
        json!(["vscode://x/y"]),
        json!([]),
    ] {
        let page = register(&world, &json!({ "redirect_uris": uris })).await;
        assert_eq!(
            error(&page),
            (400, "invalid_redirect_uri".to_owned()),
            "{uris}"
        );
    }
    for body in [
        json!({ "redirect_uris": 7 }),
        json!([]),
        json!({ "redirect_uris": ["http://localhost/cb"], "jwks_uri": "https://127.0.0.1:1/keys" }),
        json!({ "redirect_uris": ["http://localhost/cb"], "client_name": "x".repeat(5_200) }),
    ] {
        let page = register(&world, &body).await;
        assert_eq!(
            error(&page),
            (400, "invalid_client_metadata".to_owned()),
            "{body}"
        );
    }
    // What is not trusted any more is not answered to.
    let answer = registered(
        &world,
        &json!({ "redirect_uris": ["https://app.trusted.example/cb"] }),
    )
    .await;
    world.reload(open());
    let changes = [
        ("client_id", text(&answer, "client_id")),
        ("redirect_uri", "https://app.trusted.example/cb"),
    ];
    let page = world
        .browser()
        .get(&world.authorize(&changes))
        .await
        .unwrap();
    assert_refused_with_page(
        &page,
        "a redirect URI of the client leads outside the trusted domains",
    );
}

// SEC-33
#[tokio::test]
async fn one_network_may_not_leave_registrations_without_end() {
    let mut realm = open();
    realm.registration.unused_per_address = 3;
    let world = World::with(realm).await;
    let url = world.url("/register");
    let at = |address: &str| world.browser().at(address.parse::<IpAddr>().unwrap());
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        let page = send(&mut at(address), Method::POST, &url, None, &native(1)).await;
        assert_eq!(page.status, 201);
    }
    let page = send(&mut at("2001:db8::4"), Method::POST, &url, None, &native(1)).await;
    assert_eq!(error(&page), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(page.header("retry-after"), Some("3600"));
    let page = send(
        &mut at("2001:db8:0:1::4"),
        Method::POST,
        &url,
        None,
        &native(1),
    )
    .await;
    assert_eq!(page.status, 201, "a neighbour's network has its own");
    world.clock.advance(FIRST_USE);
    let page = send(&mut at("2001:db8::4"), Method::POST, &url, None, &native(1)).await;
    assert_eq!(page.status, 201, "an hour later there is room");
}

// SEC-33
#[tokio::test]
async fn a_flood_from_everywhere_keeps_a_bounded_number_and_costs_nobody_who_logged_in() {
    let mut realm = open();
    realm.registration.unused = 20;
    let world = World::with(realm).await;
    let (used, tokens) = in_use(&world).await;
    let url = world.url("/register");
    let mut ids = Vec::new();
    for number in 0..200_u16 {
        let [high, low] = number.to_be_bytes();
        let mut browser = world.browser().at(IpAddr::from([198, 51, high, low]));
        world.clock.advance(Duration::from_millis(1));
        let page = send(&mut browser, Method::POST, &url, None, &native(1)).await;
        assert_eq!(page.status, 201);
        ids.push(text(&page.json().unwrap(), "client_id").parse().unwrap());
    }
    let mut kept = 0;
    for id in &ids {
        let found =
            store::registration::load(&world.store, &world.realm.name, id, world.now()).await;
        kept += usize::from(found.unwrap().is_some());
    }
    assert_eq!(kept, 20);
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", text(&used, "client_id")),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    assert_eq!(token(&world, &form).await.status, 200);
}

// SEC-33
#[tokio::test]
async fn a_registration_that_nobody_logs_in_with_is_gone_after_an_hour() {
    let world = World::with(open()).await;
    let answer = registered(&world, &native(1)).await;
    let id = text(&answer, "client_id");
    let changes = [
        ("client_id", id),
        ("redirect_uri", "http://localhost:1/callback"),
    ];
    world.clock.advance(Duration::from_secs(3_599));
    let page = world
        .browser()
        .open(&world.authorize(&changes))
        .await
        .unwrap();
    assert!(page.url.path().ends_with("/login"));
    // Neither a look at the login page nor an attempt at the token endpoint keeps it.
    let tried = redeem(&world, id, "http://localhost:1/callback", "no such code").await;
    assert_eq!(error(&tried), (400, "invalid_grant".to_owned()));

    world.clock.advance(Duration::from_secs(1));
    let page = world
        .browser()
        .get(&world.authorize(&changes))
        .await
        .unwrap();
    assert_refused_with_page(
        &page,
        "the registration of the client has expired or was deleted",
    );
    // A client that is told so registers again.
    let tried = redeem(&world, id, "http://localhost:1/callback", "no such code").await;
    assert_eq!(error(&tried), (401, "invalid_client".to_owned()));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        store::cleanup::run(&world.store, world.now())
            .await
            .unwrap(),
        1
    );
}

// SEC-33
#[tokio::test]
async fn a_registration_in_use_is_kept_for_ninety_days_after_each_use() {
    let mut realm = open();
    realm.lifetimes.refresh_idle = KEEP;
    let world = World::with(realm).await;
    let (client, tokens) = in_use(&world).await;
    let id = text(&client, "client_id");
    let refreshed = async |refresh_token: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", id),
            ("refresh_token", refresh_token),
        ];
        token(&world, &form).await
    };
    world.clock.advance(Duration::from_hours(85 * 24));
    let again = refreshed(text(&tokens, "refresh_token")).await;
    assert_eq!(again.status, 200, "{}", again.text());
    let kept = async || {
        let id = id.parse().unwrap();
        let found = store::registration::load(&world.store, &world.realm.name, &id, world.now());
        found.await.unwrap().is_some()
    };
    world.clock.advance(Duration::from_secs(90 * 86_400 - 1));
    assert!(kept().await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!kept().await);
}

// SEC-17, SEC-18, AS-25
#[tokio::test]
async fn the_pages_say_that_nobody_vouches_for_the_name() {
    let world = World::with(open()).await;
    let mut body = native(1);
    body["client_name"] = "<b>Claude</b>\u{202e} Code".into();
    let answer = registered(&world, &body).await;
    assert_eq!(answer["client_name"], "<b>Claude</b> Code");
    let changes = [
        ("client_id", text(&answer, "client_id")),
        ("redirect_uri", "http://localhost:1/callback"),
    ];
    let mut browser = world.browser();
    let login = browser.open(&world.authorize(&changes)).await.unwrap();
    assert!(login.text().contains("Nobody vouches for this name"));
    let page = browser
        .submit(
            &login,
            &[("username", "alice"), ("password", "alice")],
            "login",
        )
        .await
        .unwrap();
    let page_text = page.text();
    for expected in [
        "Nobody vouches for this name",
        "not verified",
        "Did you start this yourself?",
        "You are asked each time",
    ] {
        assert!(page_text.contains(expected), "{expected}: {page_text}");
    }
    assert!(!page_text.contains("<b>Claude"), "{page_text}");
    assert!(!page_text.contains("Registered by the administrator"));
}

// SEC-30
#[tokio::test]
async fn a_client_of_the_configuration_comes_first() {
    let mut realm = open();
    let mut twin = crate::world::registered(APP, crate::world::CALLBACK);
    twin.client_id = "dcr-aaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    realm.clients.push(twin);
    let world = World::with(realm).await;
    let changes = [("client_id", "dcr-aaaaaaaaaaaaaaaaaaaaaa")];
    code_of(&world.log_in(&mut world.browser(), &changes).await, ISSUER);
    let unknown = [("client_id", "dcr-bbbbbbbbbbbbbbbbbbbbbb")];
    let page = world
        .browser()
        .get(&world.authorize(&unknown))
        .await
        .unwrap();
    assert_refused_with_page(
        &page,
        "the registration of the client has expired or was deleted",
    );
}

// AS-23: nobody vouches for where it leads.
#[tokio::test]
async fn an_error_goes_to_a_trusted_host_only_after_a_look_at_it() {
    let mut realm = open();
    realm.registration.trusted_domains = vec!["app.example".parse().unwrap()];
    let world = World::with(realm).await;
    let body = json!({ "redirect_uris": ["https://app.example/cb", "http://localhost/cb"], "token_endpoint_auth_method": "none" });
    let answer = registered(&world, &body).await;
    let id = text(&answer, "client_id");
    let web = [
        ("client_id", id),
        ("redirect_uri", "https://app.example/cb"),
        ("prompt", "none"),
    ];
    let page = world.browser().get(&world.authorize(&web)).await.unwrap();
    assert_eq!(page.status, 400);
    assert_eq!(page.header("location"), None);
    let local = [
        ("client_id", id),
        ("redirect_uri", "http://localhost:9/cb"),
        ("prompt", "none"),
    ];
    let page = world.browser().get(&world.authorize(&local)).await.unwrap();
    assert_eq!(error_of(&page, ISSUER), "login_required");
}

// RFC 7591 §3.2.1, SEC-33, SEC-70
#[tokio::test]
async fn a_client_that_wants_a_secret_gets_one_and_may_send_it_either_way() {
    let world = World::with(open()).await;
    for method in [
        Value::Null,
        json!("client_secret_basic"),
        json!("client_secret_post"),
    ] {
        let mut body = native(1);
        body["token_endpoint_auth_method"] = method.clone();
        let answer = registered(&world, &body).await;
        let expected = method.as_str().unwrap_or("client_secret_basic");
        assert_eq!(answer["token_endpoint_auth_method"], expected);
        assert_eq!(answer["client_secret_expires_at"], 0);
        let (id, secret) = (text(&answer, "client_id"), text(&answer, "client_secret"));
        assert_eq!(secret.len(), 43, "256 bits");

        let form = [
            ("grant_type", "authorization_code"),
            ("code", "no such code"),
            ("code_verifier", VERIFIER),
        ];
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let request = Request::post(world.url("/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", basic)
            .body(Bytes::from(oauth::form::encode(form)))
            .unwrap();
        let page = world.browser().send(request).await.unwrap();
        assert_eq!(error(&page), (400, "invalid_grant".to_owned()));
        for (secret, outcome) in [
            (secret, (400, "invalid_grant".to_owned())),
            ("another", (401, "invalid_client".to_owned())),
            ("", (401, "invalid_client".to_owned())),
        ] {
            let post = form
                .into_iter()
                .chain([("client_id", id), ("client_secret", secret)])
                .collect::<Vec<_>>();
            assert_eq!(error(&token(&world, &post).await), outcome, "{secret}");
        }
    }
}

// SEC-74
#[tokio::test]
async fn scripts_may_register() {
    let world = World::with(open()).await;
    let page = register(&world, &native(1)).await;
    assert_eq!(page.header("access-control-allow-origin"), Some("*"));
    let preflight = Request::options(world.url("/register/dcr-aaaaaaaaaaaaaaaaaaaaaa"))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "DELETE")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        )
        .body(Bytes::new())
        .unwrap();
    let page = world.browser().send(preflight).await.unwrap();
    assert_eq!(page.status, 204);
    let methods = page.header("access-control-allow-methods").unwrap();
    assert!(
        methods.contains("DELETE") && methods.contains("PUT"),
        "{methods}"
    );
}

/// Requests about a registration, as its client.
struct Owner<'w> {
    world: &'w World,
    uri: String,
    token: String,
}

impl<'w> Owner<'w> {
    fn of(world: &'w World, answer: &Value) -> Self {
        Self {
            world,
            uri: text(answer, "registration_client_uri").to_owned(),
            token: text(answer, "registration_access_token").to_owned(),
        }
    }

    async fn send(&self, method: Method, body: &Value) -> Page {
        let mut browser = self.world.browser();
        send(&mut browser, method, &self.uri, Some(&self.token), body).await
    }
}

// RFC 7592 §2.1, §3
#[tokio::test]
async fn a_registration_reads_back_without_its_secret() {
    let world = World::with(open()).await;
    let mut body = native(1);
    body["token_endpoint_auth_method"] = "client_secret_post".into();
    let mut answer = registered(&world, &body).await;
    let read = Owner::of(&world, &answer)
        .send(Method::GET, &Value::Null)
        .await;
    assert_eq!(read.status, 200, "{}", read.text());
    for secret in ["client_secret", "client_secret_expires_at"] {
        answer.as_object_mut().unwrap().remove(secret).unwrap();
    }
    assert_eq!(read.json().unwrap(), answer);
}

// RFC 7592 §2.1: who has no right to it does not learn whether it is there.
#[tokio::test]
async fn a_registration_is_its_clients_alone() {
    let world = World::with(open()).await;
    let (one, other) = (
        registered(&world, &native(1)).await,
        registered(&world, &native(1)).await,
    );
    let mut stranger = Owner::of(&world, &one);
    stranger.token = Owner::of(&world, &other).token;
    let mut nobody = Owner::of(&world, &one);
    nobody.uri = world.url("/register/dcr-aaaaaaaaaaaaaaaaaaaaaa");
    let mut malformed = Owner::of(&world, &one);
    malformed.uri = world.url("/register/app");
    for owner in [stranger, nobody, malformed] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let page = owner.send(method.clone(), &native(1)).await;
            assert_eq!(error(&page), (401, "invalid_token".to_owned()), "{method}");
        }
    }
    let kept = Owner::of(&world, &one)
        .send(Method::GET, &Value::Null)
        .await;
    assert_eq!(kept.status, 200);
}

// RFC 7592 §2.2, SEC-19
#[tokio::test]
async fn a_changed_registration_takes_the_place_of_the_old_one_and_users_are_told() {
    let world = World::with(open()).await;
    let (client, _) = in_use(&world).await;
    let owner = Owner::of(&world, &client);
    let mut body = native(2);
    body["client_name"] = "Another Name".into();
    for (member, value) in [
        ("client_id", json!("dcr-aaaaaaaaaaaaaaaaaaaaaa")),
        ("client_secret", json!("not one of its own")),
        ("redirect_uris", json!(["https://evil.example/cb"])),
    ] {
        let mut bad = body.clone();
        bad["client_id"] = client["client_id"].clone();
        bad[member] = value;
        assert_eq!(owner.send(Method::PUT, &bad).await.status, 400, "{member}");
    }
    body["client_id"] = client["client_id"].clone();
    body["token_endpoint_auth_method"] = "client_secret_post".into();
    let page = owner.send(Method::PUT, &body).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let changed = page.json().unwrap();
    assert_eq!(changed["client_name"], "Another Name");
    assert_eq!(changed["client_id"], client["client_id"]);
    let secret = text(&changed, "client_secret").to_owned();

    let mut again = body.clone();
    again["client_secret"] = secret.into();
    let page = owner.send(Method::PUT, &again).await;
    assert_eq!(
        page.json().unwrap()["client_secret"],
        Value::Null,
        "{}",
        page.text()
    );

    let changes = [
        ("client_id", text(&client, "client_id")),
        ("redirect_uri", "http://localhost:1/callback"),
    ];
    let mut browser = world.browser();
    let login = browser.open(&world.authorize(&changes)).await.unwrap();
    let page = browser
        .submit(
            &login,
            &[("username", "alice"), ("password", "alice")],
            "login",
        )
        .await
        .unwrap();
    assert!(
        page.text().contains("its description has changed since"),
        "{}",
        page.text()
    );
}

// RFC 7592 §2.3
#[tokio::test]
async fn a_deleted_registration_ends_what_was_granted_to_it() {
    let world = World::with(open()).await;
    let (client, tokens) = in_use(&world).await;
    let owner = Owner::of(&world, &client);
    let page = owner.send(Method::DELETE, &Value::Null).await;
    assert_eq!(page.status, 204);
    let page = owner.send(Method::GET, &Value::Null).await;
    assert_eq!(error(&page), (401, "invalid_token".to_owned()));
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", text(&client, "client_id")),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    assert_eq!(
        error(&token(&world, &form).await),
        (401, "invalid_client".to_owned())
    );
    let jti = {
        let payload = text(&tokens, "access_token")
            .split('.')
            .nth(1)
            .unwrap()
            .to_owned();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()["jti"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(world.store.revocations().is_revoked(&jti));
}

// SEC-33: the operator's switch is for those who are there, too.
#[tokio::test]
async fn who_did_register_is_not_let_in_once_it_is_off() {
    let world = World::with(open()).await;
    let (client, _) = in_use(&world).await;
    world.reload(realm());
    let changes = [
        ("client_id", text(&client, "client_id")),
        ("redirect_uri", "http://localhost:1/callback"),
    ];
    let page = world
        .browser()
        .get(&world.authorize(&changes))
        .await
        .unwrap();
    assert_refused_with_page(
        &page,
        "the registration of the client has expired or was deleted",
    );
}
