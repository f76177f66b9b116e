//! The code flow from the first request to the code, and what the code stands for.

use std::time::Duration;

use model::grant::Stage;
use model::secret::TokenHash;

use crate::world::{CALLBACK, CHALLENGE, ISSUER, RESOURCE, World, code_of, realm_at, sign_in};

// AS-7, AS-28, AS-29, SEC-3, SEC-5
#[tokio::test]
async fn a_code_stands_for_what_was_asked_and_agreed_to() {
    let world = World::new().await;
    let answer = world
        .log_in(
            &mut world.browser(),
            &[("nonce", "n-1"), ("scope", "openid mcp:tools")],
        )
        .await;
    assert!(answer.redirect().unwrap().as_str().starts_with(CALLBACK));
    let code = code_of(&answer, ISSUER);
    assert_eq!(code.len(), 43, "256 bits");
    let grant = store::grant::load(&world.store, TokenHash::of(&code))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(grant.granted.terms.client_id.as_str(), "app");
    assert_eq!(grant.redirect_uri.as_str(), CALLBACK);
    assert_eq!(grant.challenge.unwrap().to_string(), CHALLENGE);
    assert_eq!(
        grant.granted.terms.scope.to_string(),
        "openid profile email mcp:tools"
    );
    assert_eq!(grant.granted.terms.resources, [RESOURCE.parse().unwrap()]);
    assert_eq!(grant.granted.terms.nonce.as_deref(), Some("n-1"));
    assert!(grant.granted.terms.id_token);
    assert!(grant.granted.session.is_some());
    assert_eq!(grant.expires_at, grant.issued_at + Duration::from_secs(60));
    assert_eq!(grant.stage, Stage::Issued);
}

// The client of the article asks for `mcp:tools` alone.
#[tokio::test]
async fn default_scopes_are_added_and_no_id_token_without_openid() {
    let world = World::new().await;
    let code = code_of(
        &world
            .log_in(&mut world.browser(), &[("scope", "mcp:tools")])
            .await,
        ISSUER,
    );
    let grant = store::grant::load(&world.store, TokenHash::of(&code))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        grant.granted.terms.scope.to_string(),
        "profile email mcp:tools"
    );
    assert!(!grant.granted.terms.id_token);
}

// lessons-of-authorization-servers 3: real clients omit both.
#[tokio::test]
async fn a_request_without_scope_and_resource_gets_the_defaults() {
    let world = World::new().await;
    let code = code_of(
        &world
            .log_in(&mut world.browser(), &[("scope", ""), ("resource", "")])
            .await,
        ISSUER,
    );
    let grant = store::grant::load(&world.store, TokenHash::of(&code))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        grant.granted.terms.scope.to_string(),
        "profile email mcp:tools"
    );
    assert_eq!(grant.granted.terms.resources, [RESOURCE.parse().unwrap()]);
}

// What some clients carry through a login: the flow takes more than one cookie.
#[tokio::test]
async fn a_state_of_three_kilobytes_and_more_comes_back_after_a_login() {
    let world = World::new().await;
    for length in [10, 3_000, 4_096] {
        let state: String = (0_u32..)
            .map(|n| char::from_digit(n % 36, 36).unwrap())
            .take(length)
            .collect();
        let mut browser = world.browser();
        let answer = world.log_in(&mut browser, &[("state", &state)]).await;
        assert_eq!(
            answer.redirect_parameter("state").as_deref(),
            Some(&*state),
            "{length}"
        );
        assert!(answer.redirect_parameter("code").is_some(), "{length}");
        let left = browser.cookies();
        assert!(
            left.iter().all(|cookie| !cookie.name.contains("flow")),
            "{left:?}"
        );
    }
    let endless = "x".repeat(4_097);
    let page = world
        .browser()
        .get(&world.authorize(&[("state", &endless)]))
        .await
        .unwrap();
    assert_eq!(page.status, 400);
}

#[tokio::test]
async fn the_flow_works_at_the_root_of_a_host_and_over_https() {
    for issuer in [
        "https://login.example",
        "https://auth.example:8443/realms/mcp-demo",
    ] {
        let world = World::with(realm_at(issuer)).await;
        code_of(&world.log_in(&mut world.browser(), &[]).await, issuer);
    }
}

#[tokio::test]
async fn a_request_that_is_posted_from_the_client_uses_the_session_that_is_there() {
    let world = World::new().await;
    let mut browser = world.browser();
    code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    let parameters = crate::world::parameters(&[]);
    let page = browser
        .post_form_from(
            &world.url("/authorize"),
            &parameters,
            "https://app.example",
            "cross-site",
        )
        .await
        .unwrap();
    code_of(&browser.follow(page).await.unwrap(), ISSUER);
}

#[tokio::test]
async fn several_flows_in_one_browser_do_not_disturb_each_other() {
    let world = World::new().await;
    let mut browser = world.browser();
    let first = browser
        .open(&world.authorize(&[("nonce", "first")]))
        .await
        .unwrap();
    world.clock.advance(Duration::from_millis(1));
    let second = browser
        .open(&world.authorize(&[("nonce", "second")]))
        .await
        .unwrap();
    let page = sign_in(&mut browser, &first).await;
    let one = code_of(&browser.submit(&page, &[], "allow").await.unwrap(), ISSUER);
    let page = browser.open(second.url.as_str()).await.unwrap();
    let two = code_of(&page, ISSUER);
    for (code, nonce) in [(one, "first"), (two, "second")] {
        let grant = store::grant::load(&world.store, TokenHash::of(&code))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(grant.granted.terms.nonce.as_deref(), Some(nonce));
    }
}

// SEC-55
#[tokio::test]
async fn whoever_is_disabled_gets_no_more_codes() {
    let world = World::new().await;
    let mut browser = world.browser();
    let code = code_of(&world.log_in(&mut browser, &[]).await, ISSUER);
    let grant = store::grant::load(&world.store, TokenHash::of(&code))
        .await
        .unwrap()
        .unwrap();
    store::user::set_disabled(&world.store, grant.granted.user, true)
        .await
        .unwrap();
    let page = browser.open(&world.authorize(&[])).await.unwrap();
    assert!(page.url.path().ends_with("/login"));
}
