//! Errors for places that nobody trusts: a page for the human first, and the redirect behind a link.

use serde_json::json;
use testkit::browser::{Browser, Page};
use url::Url;

use crate::world::{ISSUER, World, code_of, document, error_of, sign_in};

const ID: &str = "https://client.example/oauth/client.json";
const ELSEWHERE: &str = "https://evil.example/phish";
const LOOPBACK: &str = "http://localhost:6274/oauth/callback";

/// A world with a client that nobody knows, whose answers may go to the user's machine or to somewhere else.
async fn world() -> World {
    let world = World::new().await;
    let mut document = document(ID);
    document["redirect_uris"] = json!([LOOPBACK, ELSEWHERE]);
    world.web.publish(&document);
    world
}

async fn get(world: &World, browser: &mut Browser, redirect: &str, change: (&str, &str)) -> Page {
    let url = world.authorize(&[("client_id", ID), ("redirect_uri", redirect), change]);
    browser.get(&url).await.unwrap()
}

/// Where the page offers to go on to, after checking that it says what it must.
fn offered(page: &Page) -> Url {
    assert_eq!(
        (page.status.as_u16(), page.header("location")),
        (400, None),
        "{}",
        page.text()
    );
    let text = page.text();
    let host = text.find("evil.example").expect("the host");
    let asker = text.find("client.example").expect("who asks");
    assert!(host < asker, "{text}");
    let target = text
        .split("<a href=\"")
        .find_map(|rest| rest.starts_with(ELSEWHERE).then(|| rest.split('"').next()))
        .flatten()
        .expect("a link");
    target.replace("&#38;", "&").parse().unwrap()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut values = url.query_pairs().filter(|(key, _)| key == name);
    values.next().map(|(_, value)| value.into_owned())
}

// AS-23
#[tokio::test]
async fn an_error_leaves_for_a_place_that_nobody_trusts_only_by_a_link() {
    let world = world().await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "mcp:fail"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("resource", "https://other.example/"), "invalid_target"),
        (("prompt", "none"), "login_required"),
    ] {
        let page = get(&world, &mut world.browser(), ELSEWHERE, change).await;
        let target = offered(&page);
        assert_eq!(parameter(&target, "error").as_deref(), Some(error));
        assert_eq!(parameter(&target, "state").as_deref(), Some("the state"));
        assert_eq!(parameter(&target, "iss").as_deref(), Some(ISSUER));
        assert!(page.text().contains(error), "what went wrong");
    }
}

// AS-23
#[tokio::test]
async fn a_request_that_does_not_fit_into_cookies_does_not_get_around_the_page() {
    let world = world().await;
    let id = format!("https://client.example/{}", "p".repeat(1_990));
    let mut document = document(&id);
    document["redirect_uris"] = json!([ELSEWHERE]);
    world.web.publish(&document);
    let long = "s".repeat(4_000);
    let url = world.authorize(&[
        ("client_id", &id),
        ("redirect_uri", ELSEWHERE),
        ("state", &long),
    ]);
    let page = world.browser().get(&url).await.unwrap();
    assert!(page.text().contains("too long"), "{}", page.text());
    assert_eq!(
        parameter(&offered(&page), "state").as_deref(),
        Some(long.as_str())
    );
}

// AS-23: who is signed in, but never let this client in, is told too.
#[tokio::test]
async fn a_session_alone_does_not_make_a_place_trusted() {
    let world = world().await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    let page = get(&world, &mut browser, ELSEWHERE, ("prompt", "none")).await;
    assert_eq!(
        parameter(&offered(&page), "error").as_deref(),
        Some("consent_required")
    );
}

// AS-23
#[tokio::test]
async fn a_client_that_the_user_has_let_in_gets_its_errors_at_once() {
    let world = world().await;
    let mut browser = world.browser();
    let changes = [("client_id", ID), ("redirect_uri", ELSEWHERE)];
    code_of(&world.log_in(&mut browser, &changes).await, ISSUER);
    for (change, error) in [
        (("scope", "mcp:fail"), "invalid_scope"),
        (("max_age", "0"), "login_required"),
    ] {
        let url = world.authorize(&[changes[0], changes[1], change, ("prompt", "none")]);
        let page = browser.get(&url).await.unwrap();
        assert_eq!(error_of(&page, ISSUER), error);
    }
    // That is this user's word, and nobody else's.
    let stranger = get(&world, &mut world.browser(), ELSEWHERE, ("prompt", "none")).await;
    offered(&stranger);
}

// AS-23, AS-22
#[tokio::test]
async fn a_program_on_this_machine_gets_its_errors_at_once() {
    let world = world().await;
    for (change, error) in [
        (("scope", "mcp:fail"), "invalid_scope"),
        (("prompt", "none"), "login_required"),
    ] {
        let page = get(&world, &mut world.browser(), LOOPBACK, change).await;
        assert_eq!(error_of(&page, ISSUER), error);
    }
}

// AS-23, SEC-34
#[tokio::test]
async fn a_client_of_a_trusted_domain_gets_its_errors_at_once() {
    let world = world().await;
    let mut realm = world.realm.clone();
    realm.cimd.trusted_domains = vec!["client.example".parse().unwrap()];
    world.reload(realm);
    let page = get(
        &world,
        &mut world.browser(),
        ELSEWHERE,
        ("scope", "mcp:fail"),
    )
    .await;
    assert_eq!(error_of(&page, ISSUER), "invalid_scope");
}

// SEC-90, AS-23
#[tokio::test]
async fn while_the_store_is_away_a_client_is_told_and_a_place_that_nobody_trusts_is_asked_about() {
    let world = world().await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    world.store.close().await;
    for redirect in [("redirect_uri", LOOPBACK), ("client_id", "app")] {
        let changes = match redirect {
            ("client_id", _) => Vec::new(),
            redirect => vec![("client_id", ID), redirect],
        };
        let page = browser.get(&world.authorize(&changes)).await.unwrap();
        assert_eq!(error_of(&page, ISSUER), "temporarily_unavailable");
    }
    let page = get(&world, &mut browser, ELSEWHERE, ("prompt", "none")).await;
    assert_eq!(
        (page.status.as_u16(), page.header("retry-after")),
        (503, Some("2"))
    );
    assert!(
        page.text()
            .contains("<a href=\"https://evil.example/phish?")
    );
    assert!(page.text().contains("temporarily_unavailable"));
}

// SEC-90: in the midst of a flow there is a page, which a person can ask for again.
#[tokio::test]
async fn while_the_store_is_away_the_pages_of_a_flow_say_that_it_passes() {
    let world = world().await;
    let mut browser = world.browser();
    let login = browser.open(&world.authorize(&[])).await.unwrap();
    world.store.close().await;
    let page = sign_in(&mut browser, &login).await;
    assert_eq!(
        (page.status.as_u16(), page.header("retry-after")),
        (503, Some("2")),
        "{}",
        page.text()
    );
}

// AS-23: who acts on a page knows where they are.
#[tokio::test]
async fn a_login_that_the_user_cancels_goes_back_at_once() {
    let world = world().await;
    let mut browser = world.browser();
    let url = world.authorize(&[("client_id", ID), ("redirect_uri", ELSEWHERE)]);
    let login = browser.open(&url).await.unwrap();
    let page = browser.submit(&login, &[], "cancel").await.unwrap();
    assert_eq!(error_of(&page, ISSUER), "access_denied");
}

// AS-23
#[tokio::test]
async fn the_page_speaks_japanese_too() {
    let world = world().await;
    let mut browser = world.browser().with_header("accept-language", "ja");
    let page = get(&world, &mut browser, ELSEWHERE, ("scope", "mcp:fail")).await;
    offered(&page);
    assert!(page.text().contains("移動先"));
}
