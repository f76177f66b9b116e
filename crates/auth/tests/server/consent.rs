//! Consent: what the page says, and what a decision counts for.

use model::client::Authentication;
use model::secret::Secret;
use testkit::browser::{Browser, Page};

use crate::world::{
    CALLBACK, ISSUER, RESOURCE, World, code_of, document, error_of, realm, registered, sign_in,
};

async fn consent_page(world: &World, browser: &mut Browser, changes: &[(&str, &str)]) -> Page {
    let login = browser.open(&world.authorize(changes)).await.unwrap();
    let page = if login.url.path().ends_with("/login") {
        sign_in(browser, &login).await
    } else {
        login
    };
    assert!(page.url.path().ends_with("/consent"), "{}", page.text());
    page
}

// BP-2
#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_it_leads() {
    let world = World::new().await;
    let page = consent_page(&world, &mut world.browser(), &[]).await;
    let text = page.text();
    assert_eq!(page.status, 200);
    for expected in [
        "The App",
        "app.example",
        RESOURCE,
        "Call tools through the gateway",
        "Read your name",
        "alice",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(!text.contains("Did you start this yourself?"));
    assert!(!text.contains("First time here"));
}

// SEC-18, AS-24, AS-25, CI-18
#[tokio::test]
async fn a_client_with_a_document_is_shown_by_its_host_with_all_warnings() {
    let world = World::new().await;
    let id = "https://client.example/oauth/client.json";
    world.web.publish(&document(id));
    let changes = [
        ("client_id", id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ];
    let page = consent_page(&world, &mut world.browser(), &changes).await;
    let text = page.text();
    let host = text.find("client.example").unwrap();
    assert!(
        host < text.find("Some Client").unwrap(),
        "the verified host comes first"
    );
    for expected in [
        "not verified",
        "First time here",
        "localhost",
        "this device",
        "Did you start this yourself?",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}

// SEC-18
#[tokio::test]
async fn a_client_that_somebody_allowed_before_is_not_called_new() {
    let world = World::new().await;
    world.add_user("bob", "bob").await;
    let id = "https://client.example/oauth/client.json";
    world.web.publish(&document(id));
    let changes = [
        ("client_id", id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ];
    code_of(&world.log_in(&mut world.browser(), &changes).await, ISSUER);
    let mut bob = world.browser();
    let page = bob.open(&world.authorize(&changes)).await.unwrap();
    let page = bob
        .submit(&page, &[("username", "bob"), ("password", "bob")], "login")
        .await
        .unwrap();
    assert!(
        page.url.path().ends_with("/consent"),
        "one user's consent is not another's"
    );
    assert!(!page.text().contains("First time here"));
}

// SEC-17, CI-17
#[tokio::test]
async fn hostile_names_are_only_text() {
    let world = World::new().await;
    let id = "https://client.example/oauth/client.json";
    let mut hostile = document(id);
    hostile["client_name"] =
        "\u{202e}<script>alert(1)</script>\u{0007} <img src=x onerror=alert(1)>".into();
    hostile["logo_uri"] = "https://client.example/logo.png".into();
    hostile["client_uri"] = "https://client.example/".into();
    world.web.publish(&hostile);
    let changes = [
        ("client_id", id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ];
    let text = consent_page(&world, &mut world.browser(), &changes)
        .await
        .text();
    assert!(!text.contains("<script"));
    assert!(!text.contains("<img"));
    assert!(!text.contains('\u{202e}'));
    assert!(
        !text.contains("logo.png"),
        "logos are not hot-linked (CI-17)"
    );
}

#[tokio::test]
async fn a_refusal_is_told_to_the_client_and_not_remembered() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = consent_page(&world, &mut browser, &[]).await;
    let answer = browser.submit(&page, &[], "deny").await.unwrap();
    assert_eq!(error_of(&answer, ISSUER), "access_denied");
    assert!(answer.redirect().unwrap().as_str().starts_with(CALLBACK));
    consent_page(&world, &mut browser, &[]).await;
}

#[tokio::test]
async fn an_agreement_is_remembered() {
    let world = World::new().await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    code_of(&browser.get(&world.authorize(&[])).await.unwrap(), ISSUER);
    let mut later = world.browser();
    let page = later.open(&world.authorize(&[])).await.unwrap();
    let page = sign_in(&mut later, &page).await;
    code_of(&page, ISSUER);
}

// SEC-14
#[tokio::test]
async fn an_agreement_with_one_client_is_none_with_another() {
    let mut realm = realm();
    realm
        .clients
        .push(registered("other", "https://other.example/cb"));
    let world = World::with(realm).await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    let changes = [
        ("client_id", "other"),
        ("redirect_uri", "https://other.example/cb"),
    ];
    consent_page(&world, &mut browser, &changes).await;
    let silent = [changes[0], changes[1], ("prompt", "none")];
    assert_eq!(
        error_of(
            &browser.get(&world.authorize(&silent)).await.unwrap(),
            ISSUER
        ),
        "consent_required"
    );
}

// SEC-14, SEC-19
#[tokio::test]
async fn more_scopes_or_another_resource_are_asked_for_again() {
    let mut realm = realm();
    realm.scopes.push(model::realm::ClientScope::new(
        "mcp:admin".parse().unwrap(),
        model::realm::ScopeKind::Optional,
    ));
    realm.resources.push(model::realm::ResourceServer {
        uri: "https://other.example/mcp".parse().unwrap(),
        default_scopes: "mcp:tools".parse().unwrap(),
    });
    let world = World::with(realm).await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    consent_page(&world, &mut browser, &[("scope", "mcp:tools mcp:admin")]).await;
    consent_page(
        &world,
        &mut browser,
        &[("resource", "https://other.example/mcp")],
    )
    .await;
    code_of(
        &browser
            .get(&world.authorize(&[("scope", "profile")]))
            .await
            .unwrap(),
        ISSUER,
    );
}

// SEC-14
#[tokio::test]
async fn an_agreement_is_bound_to_where_the_browser_goes() {
    let mut realm = realm();
    realm.clients[0]
        .redirect_uris
        .push("https://elsewhere.example/callback".parse().unwrap());
    let world = World::with(realm).await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    consent_page(
        &world,
        &mut browser,
        &[("redirect_uri", "https://elsewhere.example/callback")],
    )
    .await;
}

// SEC-15, BP-2
#[tokio::test]
async fn a_decision_needs_the_token_of_its_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = consent_page(&world, &mut browser, &[]).await;
    let fields = page.forms().remove(0).fields;
    let without: Vec<(&str, &str)> = fields
        .iter()
        .filter(|field| field.name != "csrf")
        .map(|field| (field.name.as_str(), field.value.as_str()))
        .chain([("decision", "allow")])
        .collect();
    let answer = browser
        .post_form(&world.url("/consent"), &without)
        .await
        .unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("location"), None);
}

// SEC-15, SEC-14
#[tokio::test]
async fn a_decision_counts_only_for_what_was_on_the_page() {
    let world = World::new().await;
    world.add_user("bob", "bob").await;
    let mut browser = world.browser();
    let shown_to_alice = consent_page(&world, &mut browser, &[]).await;
    // In another tab, bob signs in.
    let page = browser
        .open(&world.authorize(&[("prompt", "login")]))
        .await
        .unwrap();
    browser
        .submit(&page, &[("username", "bob"), ("password", "bob")], "login")
        .await
        .unwrap();
    let answer = browser.submit(&shown_to_alice, &[], "allow").await.unwrap();
    assert!(
        answer.url.path().ends_with("/consent"),
        "asked again, as bob: {}",
        answer.text()
    );
    assert!(answer.text().contains("bob"));
}

#[tokio::test]
async fn no_page_can_be_skipped_by_its_address() {
    let world = World::new().await;
    let mut browser = world.browser();
    let login = browser.open(&world.authorize(&[])).await.unwrap();
    let consent = login.url.as_str().replace("/login", "/consent");
    let page = browser.open(&consent).await.unwrap();
    assert!(page.url.path().ends_with("/login"));
}

#[tokio::test]
async fn another_account_can_be_chosen() {
    let world = World::new().await;
    world.add_user("bob", "bob").await;
    let mut browser = world.browser();
    let page = consent_page(&world, &mut browser, &[]).await;
    let page = browser.submit(&page, &[], "switch").await.unwrap();
    assert!(page.url.path().ends_with("/login"), "{}", page.text());
    let page = browser
        .submit(&page, &[("username", "bob"), ("password", "bob")], "login")
        .await
        .unwrap();
    assert!(page.text().contains("bob"));
    code_of(&browser.submit(&page, &[], "allow").await.unwrap(), ISSUER);
}

#[tokio::test]
async fn the_client_may_insist_on_being_asked() {
    let world = World::new().await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    let page = consent_page(&world, &mut browser, &[("prompt", "consent")]).await;
    code_of(&browser.submit(&page, &[], "allow").await.unwrap(), ISSUER);
}

#[tokio::test]
async fn the_operators_own_client_does_not_ask() {
    let mut realm = realm();
    realm.clients[0].skip_consent = true;
    let world = World::with(realm).await;
    let mut browser = world.browser();
    let page = browser.open(&world.authorize(&[])).await.unwrap();
    let page = sign_in(&mut browser, &page).await;
    code_of(&page, ISSUER);
}

// SEC-11, SEC-3
#[tokio::test]
async fn the_answer_after_a_decision_is_a_303() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = consent_page(&world, &mut browser, &[]).await;
    let answer = browser.submit_once(&page, &[], "allow").await.unwrap();
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // The flow is over: the same form again leads nowhere.
    let again = browser.submit_once(&page, &[], "allow").await.unwrap();
    assert_eq!(again.status, 400);
}

/// A public client of the configuration that listens on the user's machine.
async fn world_with_a_native_client() -> World {
    let mut realm = realm();
    realm
        .clients
        .push(registered("native", "http://localhost/callback"));
    World::with(realm).await
}

// SEC-88, RFC 8252 §8.6: any program on the machine can listen on some port, and knows the id.
#[tokio::test]
async fn a_program_on_another_port_gets_no_code_without_a_question() {
    let document_id = "https://client.example/oauth/client.json";
    for (id, path) in [("native", "callback"), (document_id, "oauth/callback")] {
        let world = world_with_a_native_client().await;
        world.web.publish(&document(document_id));
        let mut browser = world.browser();
        let honest = format!("http://localhost:6274/{path}");
        let changes = [("client_id", id), ("redirect_uri", &*honest)];
        code_of(&world.log_in(&mut browser, &changes).await, ISSUER);

        for port in [31337, 6274] {
            let other = format!("http://localhost:{port}/{path}");
            let silent = [
                ("client_id", id),
                ("redirect_uri", &*other),
                ("prompt", "none"),
            ];
            let page = browser.get(&world.authorize(&silent)).await.unwrap();
            assert_eq!(error_of(&page, ISSUER), "consent_required", "{id} {port}");
            let page = consent_page(&world, &mut browser, &silent[..2]).await;
            assert!(page.text().contains("You are asked each time"), "{id}");
            assert!(page.text().contains("localhost"), "{id}");
        }
        let page = consent_page(&world, &mut browser, &changes).await;
        code_of(&browser.submit(&page, &[], "allow").await.unwrap(), ISSUER);
    }
}

// SEC-88: who owns the address, or proves itself at the token endpoint, is who was agreed to.
#[tokio::test]
async fn a_client_that_can_be_told_from_others_is_remembered() {
    let mut realm = realm();
    let mut keeper = registered("keeper", "http://localhost/callback");
    keeper.authentication = Authentication::secret(&Secret::new("s".to_owned()));
    realm.clients.push(keeper);
    let world = World::with(realm).await;
    let local = [
        ("client_id", "keeper"),
        ("redirect_uri", "http://localhost:1/callback"),
    ];
    for changes in [&local[..], &[]] {
        let mut browser = world.browser();
        code_of(&world.log_in(&mut browser, changes).await, ISSUER);
        let silent: Vec<_> = changes
            .iter()
            .copied()
            .chain([("prompt", "none")])
            .collect();
        let page = browser.get(&world.authorize(&silent)).await.unwrap();
        code_of(&page, ISSUER);
    }
}
