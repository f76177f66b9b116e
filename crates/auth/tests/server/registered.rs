//! What becomes of clients that registered themselves: forgotten or kept, shown to people, read, changed and deleted.

use std::time::Duration;

use http::Method;
use model::registration::KEEP;
use serde_json::{Value, json};

use crate::registrant::{Registrant, claims, error, native, open, text};
use crate::world::{ISSUER, World, assert_refused_with_page, error_of, realm, sign_in};

/// What a page says where the client is gone.
const GONE: &str = "the registration of the client has expired or was deleted";

// SEC-33
#[tokio::test]
async fn a_registration_that_nobody_logs_in_with_is_gone_after_an_hour() {
    let world = World::with(open()).await;
    let client = Registrant::new(&world, &native(1)).await;
    world.clock.advance(Duration::from_secs(3_599));
    let url = world.authorize(&client.parameters());
    let page = world.browser().open(&url).await.unwrap();
    assert!(page.url.path().ends_with("/login"));
    // Neither a look at the login page nor an attempt at the token endpoint keeps it.
    let tried = client.redeem("no such code").await;
    assert_eq!(error(&tried), (400, "invalid_grant".to_owned()));

    world.clock.advance(Duration::from_secs(1));
    assert_refused_with_page(&client.asks(&[]).await, GONE);
    // A client that is told so registers again.
    let tried = client.redeem("no such code").await;
    assert_eq!(error(&tried), (401, "invalid_client".to_owned()));
    world.clock.advance(Duration::from_secs(1));
    let removed = store::cleanup::run(&world.store, world.now()).await;
    assert_eq!(removed.unwrap(), 2, "it, and whose turn it was to register");
}

// SEC-33
#[tokio::test]
async fn a_registration_in_use_is_kept_for_ninety_days_after_each_use() {
    let mut realm = open();
    realm.lifetimes.refresh_idle = KEEP;
    let world = World::with(realm).await;
    let (client, tokens) = Registrant::in_use(&world).await;
    world.clock.advance(Duration::from_hours(85 * 24));
    let again = client.refresh(&tokens).await;
    assert_eq!(again.status, 200, "{}", again.text());
    world.clock.advance(Duration::from_secs(90 * 86_400 - 1));
    assert!(client.is_kept().await);
    world.clock.advance(Duration::from_secs(1));
    assert!(!client.is_kept().await);
}

// SEC-17, SEC-18, AS-25
#[tokio::test]
async fn the_pages_say_that_nobody_vouches_for_the_name() {
    let world = World::with(open()).await;
    let mut body = native(1);
    body["client_name"] = "<b>Claude</b>\u{202e} Code".into();
    let client = Registrant::new(&world, &body).await;
    assert_eq!(client.answer["client_name"], "<b>Claude</b> Code");
    let mut browser = world.browser();
    let url = world.authorize(&client.parameters());
    let login = browser.open(&url).await.unwrap();
    assert!(login.text().contains("Nobody vouches for this name"));
    let page_text = sign_in(&mut browser, &login).await.text();
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

// AS-23: nobody vouches for where it leads.
#[tokio::test]
async fn an_error_goes_to_a_trusted_host_only_after_a_look_at_it() {
    let mut realm = open();
    realm.registration.trusted_domains = vec!["app.example".parse().unwrap()];
    let world = World::with(realm).await;
    let body = json!({ "redirect_uris": ["https://app.example/cb", "http://localhost/cb"], "token_endpoint_auth_method": "none" });
    let mut client = Registrant::new(&world, &body).await;
    let page = client.asks(&[("prompt", "none")]).await;
    assert_eq!(page.status, 400);
    assert_eq!(page.header("location"), None);
    client.redirect = "http://localhost:9/cb".to_owned();
    let page = client.asks(&[("prompt", "none")]).await;
    assert_eq!(error_of(&page, ISSUER), "login_required");
}

// RFC 7592 §2.1, §3
#[tokio::test]
async fn a_registration_reads_back_without_its_secret() {
    let world = World::with(open()).await;
    let mut body = native(1);
    body["token_endpoint_auth_method"] = "client_secret_post".into();
    let mut client = Registrant::new(&world, &body).await;
    let read = client.manage(Method::GET, &Value::Null).await;
    assert_eq!(read.status, 200, "{}", read.text());
    let told = client.answer.as_object_mut().unwrap();
    for secret in ["client_secret", "client_secret_expires_at"] {
        told.remove(secret).unwrap();
    }
    assert_eq!(read.json().unwrap(), client.answer);
}

// RFC 7592 §2.1: who has no right to it does not learn whether it is there.
#[tokio::test]
async fn a_registration_is_its_clients_alone() {
    let world = World::with(open()).await;
    let one = Registrant::new(&world, &native(1)).await;
    let other = Registrant::new(&world, &native(1)).await;
    for uri in [
        text(&one.answer, "registration_client_uri").to_owned(),
        world.url("/register/dcr-aaaaaaaaaaaaaaaaaaaaaa"),
        world.url("/register/app"),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let page = other.manage_at(&uri, method.clone(), &native(1)).await;
            assert_eq!(
                error(&page),
                (401, "invalid_token".to_owned()),
                "{method} {uri}"
            );
        }
    }
    assert_eq!(one.manage(Method::GET, &Value::Null).await.status, 200);
}

// RFC 7592 §2.2, SEC-19
#[tokio::test]
async fn a_changed_registration_takes_the_place_of_the_old_one_and_users_are_told() {
    let world = World::with(open()).await;
    let (client, _) = Registrant::in_use(&world).await;
    let mut body = native(2);
    body["client_name"] = "Another Name".into();
    for (member, value) in [
        ("client_id", json!("dcr-aaaaaaaaaaaaaaaaaaaaaa")),
        ("client_secret", json!("not one of its own")),
        ("redirect_uris", json!(["https://evil.example/cb"])),
    ] {
        let mut bad = body.clone();
        bad["client_id"] = client.id().into();
        bad[member] = value;
        let page = client.manage(Method::PUT, &bad).await;
        assert_eq!(page.status, 400, "{member}");
    }
    body["client_id"] = client.id().into();
    body["token_endpoint_auth_method"] = "client_secret_post".into();
    let page = client.manage(Method::PUT, &body).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let changed = page.json().unwrap();
    assert_eq!(changed["client_name"], "Another Name");
    assert_eq!(changed["client_id"], client.id());

    body["client_secret"] = changed["client_secret"].clone();
    assert!(body["client_secret"].is_string());
    let page = client.manage(Method::PUT, &body).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.json().unwrap()["client_secret"], Value::Null);

    let page = world
        .signed_in(&mut world.browser(), &client.parameters())
        .await;
    assert!(
        page.text().contains("its description has changed since"),
        "{}",
        page.text()
    );
}

// SEC-33: a registration is no leave to write without end, and making room is none to fill it again.
#[tokio::test]
async fn registrations_are_changed_and_deleted_as_often_as_made() {
    let mut realm = open();
    realm.registration.unused_per_address = 3;
    let world = World::with(realm).await;
    let client = Registrant::new(&world, &native(1)).await;
    let mut body = native(2);
    body["client_id"] = client.id().into();
    let mut bad = body.clone();
    bad["redirect_uris"] = json!(["https://evil.example/cb"]);
    for changed in [&bad, &body, &bad, &body] {
        let expected = if changed == &body { 200 } else { 400 };
        let page = client.manage(Method::PUT, changed).await;
        assert_eq!(page.status, expected, "{}", page.text());
    }
    let other = Registrant::new(&world, &native(1)).await;
    let page = other.manage(Method::DELETE, &Value::Null).await;
    assert_eq!(page.status, 204);
    for (method, body) in [(Method::PUT, &body), (Method::DELETE, &Value::Null)] {
        let page = client.manage(method, body).await;
        assert_eq!(error(&page), (429, "temporarily_unavailable".to_owned()));
        assert_eq!(page.header("retry-after"), Some("1200"));
    }
    assert_eq!(client.manage(Method::GET, &Value::Null).await.status, 200);
    world.clock.advance(Duration::from_secs(1200));
    let page = client.manage(Method::PUT, &body).await;
    assert_eq!(page.status, 200, "{}", page.text());
}

// RFC 7592 §2.3
#[tokio::test]
async fn a_deleted_registration_ends_what_was_granted_to_it() {
    let world = World::with(open()).await;
    let (client, tokens) = Registrant::in_use(&world).await;
    let page = client.manage(Method::DELETE, &Value::Null).await;
    assert_eq!(page.status, 204);
    let page = client.manage(Method::GET, &Value::Null).await;
    assert_eq!(error(&page), (401, "invalid_token".to_owned()));
    let page = client.refresh(&tokens).await;
    assert_eq!(error(&page), (401, "invalid_client".to_owned()));
    let claims = claims(&tokens);
    let jti = claims["jti"].as_str().unwrap();
    assert!(world.store.revocations().is_revoked(jti));
}

// SEC-33: the operator's switch is for those who are there, too.
#[tokio::test]
async fn who_did_register_is_not_let_in_once_it_is_off() {
    let world = World::with(open()).await;
    let (client, _) = Registrant::in_use(&world).await;
    world.reload(realm());
    assert_refused_with_page(&client.asks(&[]).await, GONE);
}
