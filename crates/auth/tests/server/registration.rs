//! Clients that register themselves: what real ones send, who is let in, and how many.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request};
use model::client_policy;
use model::registration::{FIRST_USE, Mode};
use model::secret::TokenHash;
use serde_json::{Value, json};

use crate::registrant::{
    Registrant, error, native, open, register, register_from, send, text, token,
};
use crate::world::{APP, ISSUER, VERIFIER, World, assert_refused_with_page, code_of, realm};

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
        let client = Registrant::new(&world, &body).await;
        let answer = &client.answer;
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

        let tokens = client.log_in(&[("scope", scope)]).await;
        let refreshes = body["grant_types"][1] == "refresh_token";
        assert_eq!(tokens["refresh_token"].is_string(), refreshes, "{program}");
        if refreshes {
            assert_eq!(client.refresh(&tokens).await.status, 200, "{program}");
        }
    }
}

// AS-22: a program that registered one port listens on another one the next time.
#[tokio::test]
async fn the_port_may_be_another_one_and_registering_again_makes_another_client() {
    let world = World::with(open()).await;
    let mut first = Registrant::new(&world, &native(1)).await;
    let second = Registrant::new(&world, &native(1)).await;
    assert_ne!(first.id(), second.id());
    first.redirect = "http://localhost:54321/callback".to_owned();
    first.log_in(&[]).await;
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
    Registrant::of(&world, &page).log_in(&[]).await;
}

// SEC-33, SEC-53, SEC-87
#[tokio::test]
async fn initial_access_tokens_are_guessed_slowly_and_from_one_network_at_its_own_cost() {
    let mut realm = realm();
    realm.registration.mode = Mode::Token;
    realm.registration.initial_access_tokens = vec![TokenHash::of("an initial access token")];
    let world = World::with(realm).await;
    let url = world.url("/register");
    let from = async |address: &str, token: &str| {
        let mut browser = world.browser().at(address.parse().unwrap());
        send(&mut browser, Method::POST, &url, Some(token), &native(1)).await
    };
    for _ in 0..10 {
        let page = from("192.0.2.1", "a guess").await;
        assert_eq!(error(&page), (401, "invalid_token".to_owned()));
    }
    let page = from("192.0.2.1", "an initial access token").await;
    assert_eq!(error(&page), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(page.header("retry-after"), Some("6"));
    let page = from("192.0.2.2", "an initial access token").await;
    assert_eq!(page.status, 201);
    world.clock.advance(Duration::from_secs(6));
    let page = from("192.0.2.1", "an initial access token").await;
    assert_eq!(page.status, 201);
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
        let body = json!({ "redirect_uris": uris });
        let answer = Registrant::new(&world, &body).await.answer;
        let left = answer["redirect_uris"].as_array().unwrap();
        assert_eq!(left.len(), kept, "{answer}");
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
    let body = json!({ "redirect_uris": ["https://app.trusted.example/cb"] });
    let client = Registrant::new(&world, &body).await;
    world.reload(open());
    assert_refused_with_page(
        &client.asks(&[]).await,
        "a redirect URI of the client leads outside the trusted domains",
    );
}

// SEC-33
#[tokio::test]
async fn one_network_may_not_leave_registrations_without_end() {
    let mut realm = open();
    realm.registration.unused_per_address = 3;
    let world = World::with(realm).await;
    let from = async |address: &str| {
        let mut browser = world.browser().at(address.parse::<IpAddr>().unwrap());
        register_from(&world, &mut browser, &native(1)).await
    };
    for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
        assert_eq!(from(address).await.status, 201);
    }
    let page = from("2001:db8::4").await;
    assert_eq!(error(&page), (429, "temporarily_unavailable".to_owned()));
    assert_eq!(page.header("retry-after"), Some("3600"));
    let page = from("2001:db8:0:1::4").await;
    assert_eq!(page.status, 201, "a neighbour's network has its own");
    world.clock.advance(FIRST_USE);
    let page = from("2001:db8::4").await;
    assert_eq!(page.status, 201, "an hour later there is room");
}

// SEC-33, SEC-87
#[tokio::test]
async fn one_site_may_not_crowd_out_others_with_all_its_networks() {
    let mut realm = open();
    realm.registration.unused_per_address = 3;
    realm.registration.unused = 14;
    let world = World::with(realm).await;
    let from = async |address: String| {
        world.clock.advance(Duration::from_millis(1));
        let mut browser = world.browser().at(address.parse::<IpAddr>().unwrap());
        register_from(&world, &mut browser, &native(1)).await
    };
    let early = Registrant::of(&world, &from("2001:db8:1::1".to_owned()).await);
    for network in 0..12 {
        let page = from(format!("2001:db8:2:{network}::1")).await;
        assert_eq!(page.status, 201, "{network}");
    }
    for network in 12..20 {
        let page = from(format!("2001:db8:2:{network}::1")).await;
        assert_eq!(page.status, 429, "{network}");
    }
    // Whoever comes from elsewhere takes the place of one of them.
    let late = from("192.0.2.1".to_owned()).await;
    let later = from("2001:db8:3::1".to_owned()).await;
    for client in [late, later] {
        assert!(Registrant::of(&world, &client).is_kept().await);
    }
    assert!(early.is_kept().await);
}

// SEC-33
#[tokio::test]
async fn a_flood_from_everywhere_keeps_a_bounded_number_and_costs_nobody_who_logged_in() {
    let mut realm = open();
    realm.registration.unused = 20;
    let world = World::with(realm).await;
    let (used, tokens) = Registrant::in_use(&world).await;
    let mut flood = Vec::new();
    for number in 0..200_u16 {
        let [high, low] = number.to_be_bytes();
        let mut browser = world.browser().at(IpAddr::from([198, 51, high, low]));
        world.clock.advance(Duration::from_millis(1));
        let page = register_from(&world, &mut browser, &native(1)).await;
        flood.push(Registrant::of(&world, &page));
    }
    let mut kept = 0;
    for client in &flood {
        kept += usize::from(client.is_kept().await);
    }
    assert_eq!(kept, 20);
    assert_eq!(used.refresh(&tokens).await.status, 200);
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
    assert_refused_with_page(
        &world.asked(&unknown).await,
        "the registration of the client has expired or was deleted",
    );
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
        let answer = Registrant::new(&world, &body).await.answer;
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
