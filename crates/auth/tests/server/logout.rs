//! Logout at the wish of clients that nobody registered: they wrote themselves where browsers shall go afterwards.

use model::client_policy::Mode;
use model::realm::{LogoutEnds, Realm};
use serde_json::{Value, json};
use testkit::browser::{Browser, Page};

use crate::world::{ISSUER, VERIFIER, World, assert_refused_with_page, code_of, document, realm};

const ID: &str = "https://client.example/oauth/client.json";
const REDIRECT: &str = "http://localhost:6274/oauth/callback";
const BYE: &str = "https://other.example/bye";

async fn world() -> World {
    let world = World::new().await;
    world.web.publish(&leaving_to(&[BYE]));
    world
}

/// The document of a client that browsers leave to these addresses.
fn leaving_to(uris: &[&str]) -> Value {
    let mut document = document(ID);
    document["post_logout_redirect_uris"] = json!(uris);
    document
}

/// Signs in, lets the client in, and gives its ID token.
async fn id_token(world: &World, browser: &mut Browser) -> String {
    let changes = [
        ("client_id", ID),
        ("redirect_uri", REDIRECT),
        ("scope", "openid mcp:tools"),
    ];
    let code = code_of(&world.log_in(browser, &changes).await, ISSUER);
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", ID),
        ("code", &code),
        ("code_verifier", VERIFIER),
    ];
    let answer = browser
        .post_form(&world.url("/token"), &form)
        .await
        .unwrap();
    answer.json().unwrap()["id_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn log_out(world: &World, browser: &mut Browser, query: &[(&str, &str)]) -> Page {
    let mut query = query.to_vec();
    query.push(("post_logout_redirect_uri", BYE));
    let url = format!("{}?{}", world.url("/logout"), oauth::form::encode(query));
    browser.get(&url).await.unwrap()
}

// SEC-6, AS-23
#[tokio::test]
async fn a_document_alone_sends_nobody_anywhere() {
    let world = world().await;
    let page = log_out(&world, &mut world.browser(), &[("client_id", ID)]).await;
    assert_eq!(
        (page.status.as_u16(), page.header("location")),
        (200, None),
        "{}",
        page.text()
    );
    assert!(page.text().contains("Signed out"));
    assert_eq!(world.web.fetches(), 0);
}

// SEC-6, AS-23: neither does it after the question.
#[tokio::test]
async fn a_document_alone_sends_nobody_anywhere_after_the_question_either() {
    let world = world().await;
    let mut browser = world.browser();
    id_token(&world, &mut browser).await;
    let question = log_out(&world, &mut browser, &[("client_id", ID)]).await;
    assert!(!question.text().contains(BYE));
    let page = browser.submit(&question, &[], "logout").await.unwrap();
    assert_eq!((page.status.as_u16(), page.header("location")), (200, None));
    assert!(page.text().contains("Signed out"));
}

// SEC-6: an ID token shows that somebody has let the client in, even when its session is over.
#[tokio::test]
async fn an_id_token_lets_the_browser_go_on() {
    let world = world().await;
    let mut browser = world.browser();
    let hint = id_token(&world, &mut browser).await;
    let mut elsewhere = world.browser();
    for browser in [&mut browser, &mut elsewhere] {
        let page = log_out(&world, browser, &[("id_token_hint", &hint)]).await;
        assert_eq!(page.header("location"), Some(BYE), "{}", page.text());
    }
}

// SEC-15: who is signed in anew is asked, and goes on afterwards.
#[tokio::test]
async fn an_id_token_counts_after_the_question_too() {
    let world = world().await;
    let hint = id_token(&world, &mut world.browser()).await;
    let mut browser = world.browser();
    id_token(&world, &mut browser).await;
    let question = log_out(&world, &mut browser, &[("id_token_hint", &hint)]).await;
    assert_eq!(question.status, 200);
    let page = browser.submit_once(&question, &[], "logout").await.unwrap();
    assert_eq!(page.header("location"), Some(BYE), "{}", page.text());
}

// SEC-6, RP-Initiated Logout §3
#[tokio::test]
async fn an_address_outside_the_document_is_refused() {
    let world = world().await;
    let mut browser = world.browser();
    let hint = id_token(&world, &mut browser).await;
    world
        .web
        .publish(&leaving_to(&["https://other.example/bye2"]));
    world.reload(world.realm.clone());
    let page = log_out(&world, &mut browser, &[("id_token_hint", &hint)]).await;
    assert_refused_with_page(&page, "is not registered for this client");
}

// SEC-34, SEC-6
#[tokio::test]
async fn an_address_outside_the_trusted_domains_is_refused() {
    let world = world().await;
    let mut browser = world.browser();
    let hint = id_token(&world, &mut browser).await;
    let mut strict = world.realm.clone();
    strict.cimd.mode = Mode::Allowlist;
    strict.cimd.trusted_domains = vec!["client.example".parse().unwrap()];
    world.reload(strict);
    let page = log_out(&world, &mut browser, &[("id_token_hint", &hint)]).await;
    assert_refused_with_page(
        &page,
        "`post_logout_redirect_uris` of the client leads outside the trusted domains",
    );
}

// SEC-6: the article's `restrict same domain`.
#[tokio::test]
async fn an_address_in_another_domain_is_refused_where_one_is_demanded() {
    let world = world().await;
    let mut browser = world.browser();
    let hint = id_token(&world, &mut browser).await;
    let mut strict = world.realm.clone();
    strict.cimd.restrict_same_domain = true;
    world.reload(strict);
    let page = log_out(&world, &mut browser, &[("id_token_hint", &hint)]).await;
    assert_refused_with_page(&page, "does not lie in the domain of the client id");
}

// SEC-46, SEC-55
#[tokio::test]
async fn a_logout_ends_the_tokens_of_its_session_where_the_realm_says_so() {
    for (ends, revoked) in [(LogoutEnds::Session, 0), (LogoutEnds::SessionAndTokens, 1)] {
        let world = World::with(Realm {
            logout_ends: ends,
            ..realm()
        })
        .await;
        world.web.publish(&leaving_to(&[BYE]));
        let mut browser = world.browser();
        let hint = id_token(&world, &mut browser).await;
        assert_eq!(world.store.revocations().len(), 0);
        log_out(&world, &mut browser, &[("id_token_hint", &hint)]).await;
        assert_eq!(world.store.revocations().len(), revoked, "{ends:?}");
    }
}
