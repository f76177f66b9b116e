//! A realm at the origin of a gateway that is not its own.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use model::registration::Mode;
use testkit::browser::Browser;

use crate::world::{ISSUER, World, parameters, realm};

const ORIGIN: &str = "https://gateway.example";

async fn at_origin(mode: Mode) -> (World, Browser) {
    let mut realm = realm();
    realm.registration.mode = mode;
    let world = World::with(realm).await;
    let site = world.server.at_origin(world.realm.name.clone());
    (world, Browser::over_site(Arc::new(site)))
}

// AS-4: clients of 2025-03-26 look for it at the origin of the MCP server.
#[tokio::test]
async fn the_metadata_there_is_the_realms_own() {
    let (world, mut browser) = at_origin(Mode::Off).await;
    for path in &auth::ORIGIN_PATHS[..2] {
        let there = browser.get(&format!("{ORIGIN}{path}")).await.unwrap();
        let own = world.browser().get(&world.url(path)).await.unwrap();
        assert_eq!(there.status, 200, "{path}");
        assert_eq!(there.body, own.body, "{path}");
        assert_eq!(there.json().unwrap()["issuer"], ISSUER);
        assert_eq!(there.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn browsers_are_sent_on_and_programs_are_answered() {
    let (world, mut browser) = at_origin(Mode::Open).await;
    let page = browser
        .get(&format!("{ORIGIN}/authorize?client_id=app&state=%25"))
        .await
        .unwrap();
    assert_eq!(page.status, 303);
    assert_eq!(
        page.header("location"),
        Some(&*world.url("/authorize?client_id=app&state=%25"))
    );
    let request = Request::post(format!("{ORIGIN}/register"))
        .header("content-type", "application/json")
        .body(Bytes::from_static(
            br#"{"redirect_uris":["http://localhost/cb"]}"#,
        ))
        .unwrap();
    assert_eq!(browser.send(request).await.unwrap().status, 201);
    let page = browser
        .post_form(&format!("{ORIGIN}/token"), &[("grant_type", "x")])
        .await
        .unwrap();
    assert_eq!(page.json().unwrap()["error"], "unsupported_grant_type");
}

// RFC 6749 §3.1: an authorization request may be a form, and must not lose it on the way.
#[tokio::test]
async fn a_form_goes_on_as_a_form() {
    let (world, mut browser) = at_origin(Mode::Off).await;
    let form = parameters(&[]);
    let page = browser
        .post_form(&format!("{ORIGIN}/authorize"), &form)
        .await
        .unwrap();
    assert_eq!(page.status, 307);
    let there = page.header("location").unwrap();
    assert_eq!(there, world.url("/authorize"));
    let page = world.browser().post_form(there, &form).await.unwrap();
    assert_eq!(page.status, 303, "{}", page.text());
    assert!(page.redirect().unwrap().path().ends_with("/login"));
}

#[tokio::test]
async fn a_program_that_may_not_register_is_told_so_in_json() {
    let (_, mut browser) = at_origin(Mode::Off).await;
    let request = Request::post(format!("{ORIGIN}/register"))
        .body(Bytes::from_static(b"{}"))
        .unwrap();
    let page = browser.send(request).await.unwrap();
    assert_eq!(page.status, 403);
    let body = page.json().unwrap();
    assert_eq!(body["error"], "access_denied");
    assert!(
        body["error_description"]
            .as_str()
            .unwrap()
            .contains("hint:")
    );
}
