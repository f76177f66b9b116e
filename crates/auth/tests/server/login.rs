//! Login: who gets in, who does not, and what both see.

use std::time::Duration;

use auth::DeclaredUsers;
use testkit::browser::{Browser, Page};

use crate::world::{CALLBACK, ISSUER, World, code_of, error_of, realm, realm_at, sign_in};

pub(crate) async fn login_page(world: &World, browser: &mut Browser) -> Page {
    let page = browser.open(&world.authorize(&[])).await.unwrap();
    assert!(page.url.path().ends_with("/login"), "{}", page.text());
    page
}

pub(crate) async fn try_password(
    world: &World,
    browser: &mut Browser,
    name: &str,
    password: &str,
) -> Page {
    let page = login_page(world, browser).await;
    browser
        .submit(
            &page,
            &[("username", name), ("password", password)],
            "login",
        )
        .await
        .unwrap()
}

fn session_cookie(browser: &Browser) -> Option<String> {
    browser
        .cookies()
        .iter()
        .find(|cookie| cookie.name.contains("session"))
        .map(|cookie| cookie.value.clone())
}

#[tokio::test]
async fn the_right_password_leads_to_the_consent_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = try_password(&world, &mut browser, "alice", "alice").await;
    assert!(page.url.path().ends_with("/consent"), "{}", page.text());
    assert!(session_cookie(&browser).is_some());
}

#[tokio::test]
async fn names_are_the_same_in_any_case() {
    let world = World::new().await;
    let page = try_password(&world, &mut world.browser(), " Alice ", "alice").await;
    assert!(page.url.path().ends_with("/consent"));
}

// SEC-54
#[tokio::test]
async fn unknown_users_and_wrong_passwords_look_alike() {
    let world = World::new().await;
    let mut wrong = world.browser();
    let mut unknown = world.browser();
    let a = try_password(&world, &mut wrong, "alice", "wrong").await;
    let b = try_password(&world, &mut unknown, "nobody", "wrong").await;
    assert_eq!(
        (a.status, b.status),
        (http::StatusCode::FORBIDDEN, http::StatusCode::FORBIDDEN)
    );
    let shape = |page: &Page, name: &str| {
        let form = page.forms().remove(0);
        let mut text = page.text().replace(name, "NAME");
        for field in form.fields.iter().filter(|field| field.kind == "hidden") {
            text = text.replace(&field.value, "X");
        }
        text
    };
    assert_eq!(shape(&a, "alice"), shape(&b, "nobody"));
    assert!(session_cookie(&wrong).is_none());
    assert!(a.text().contains("User name or password is not right"));
}

// SEC-54
#[tokio::test]
async fn disabled_users_and_users_without_password_look_like_unknown_ones() {
    let world = World::new().await;
    let bob = world.add_user("bob", "bob").await;
    store::user::set_disabled(&world.store, bob.id, true)
        .await
        .unwrap();
    let page = try_password(&world, &mut world.browser(), "bob", "bob").await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("User name or password is not right"));
}

#[tokio::test]
async fn empty_fields_are_asked_for_again() {
    let world = World::new().await;
    let page = try_password(&world, &mut world.browser(), "alice", "").await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("Please enter"));
}

// SEC-53, SEC-54
#[tokio::test]
async fn before_the_declared_users_are_there_nobody_is_refused_and_nothing_counts() {
    let world = World::starting(realm(), DeclaredUsers::awaited(Duration::ZERO)).await;
    let mut browser = world.browser();
    for name in ["alice", "nobody"] {
        for _ in 0..60 {
            let page = try_password(&world, &mut browser, name, "alice").await;
            assert_eq!(page.status, 503);
            assert_eq!(page.header("retry-after"), Some("2"));
            assert!(page.text().contains("has just been started"));
        }
    }
    world.add_user("alice", "alice").await;
    world.declared_users.arrived();
    let page = try_password(&world, &mut browser, "alice", "alice").await;
    assert!(page.url.path().ends_with("/consent"), "{}", page.text());
}

// SEC-54
#[tokio::test]
async fn a_login_waits_until_the_declared_users_are_there() {
    let world = World::starting(realm(), DeclaredUsers::default()).await;
    world.add_user("alice", "alice").await;
    let arriving = async {
        // The login is under way by then, and waits.
        for _ in 0..20 {
            login_page(&world, &mut world.browser()).await;
        }
        world.declared_users.arrived();
    };
    let mut browser = world.browser();
    let login = try_password(&world, &mut browser, "alice", "alice");
    let (page, ()) = tokio::join!(login, arriving);
    assert!(page.url.path().ends_with("/consent"), "{}", page.text());
}

// SEC-55
#[tokio::test]
async fn every_login_begins_a_new_session_and_ends_the_old_one() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    let first = session_cookie(&browser).unwrap();
    let old = browser.clone();
    let page = browser
        .open(&world.authorize(&[("prompt", "login")]))
        .await
        .unwrap();
    let page = sign_in(&mut browser, &page).await;
    code_of(&page, ISSUER);
    assert_ne!(session_cookie(&browser).unwrap(), first);
    // Whoever has the old cookie has nothing.
    let page = old
        .clone()
        .get(&world.authorize(&[("prompt", "none")]))
        .await
        .unwrap();
    assert_eq!(error_of(&page, ISSUER), "login_required");
}

// SEC-55, BP-3
#[tokio::test]
async fn cookies_are_hidden_and_bound_to_the_host() {
    let world = World::with(realm_at("https://auth.example/realms/mcp-demo")).await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    let cookie = browser
        .cookies()
        .iter()
        .find(|cookie| cookie.name.contains("session"))
        .unwrap()
        .clone();
    assert!(cookie.name.starts_with("__Host-"));
    assert!(cookie.attributes.contains_key("httponly"));
    assert!(cookie.attributes.contains_key("secure"));
    assert_eq!(cookie.attributes["samesite"], "Lax");
    assert!(!cookie.attributes.contains_key("max-age"));
}

// SEC-55
#[tokio::test]
async fn an_idle_session_ends() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    world.clock.advance(Duration::from_secs(29 * 60));
    code_of(
        &browser
            .get(&world.authorize(&[("prompt", "none")]))
            .await
            .unwrap(),
        ISSUER,
    );
    world.clock.advance(Duration::from_secs(29 * 60));
    code_of(
        &browser
            .get(&world.authorize(&[("prompt", "none")]))
            .await
            .unwrap(),
        ISSUER,
    );
    world.clock.advance(Duration::from_secs(31 * 60));
    let page = browser
        .get(&world.authorize(&[("prompt", "none")]))
        .await
        .unwrap();
    assert_eq!(error_of(&page, ISSUER), "login_required");
}

#[tokio::test]
async fn a_cancelled_login_tells_the_client() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = login_page(&world, &mut browser).await;
    let answer = browser.submit(&page, &[], "cancel").await.unwrap();
    assert_eq!(error_of(&answer, ISSUER), "access_denied");
    assert!(answer.redirect().unwrap().as_str().starts_with(CALLBACK));
    assert!(
        !browser
            .cookies()
            .iter()
            .any(|cookie| cookie.name.contains("flow")),
        "the flow is over"
    );
}

#[tokio::test]
async fn a_login_hint_fills_in_the_name() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = browser
        .open(&world.authorize(&[("login_hint", "alice")]))
        .await
        .unwrap();
    let form = page.forms().remove(0);
    assert_eq!(
        form.fields
            .iter()
            .find(|field| field.name == "username")
            .unwrap()
            .value,
        "alice"
    );
}

// OpenID Connect Core §3.1.2.1
#[tokio::test]
async fn an_old_login_is_repeated_when_the_client_wants_a_fresh_one() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    world.clock.advance(Duration::from_secs(120));
    let page = browser
        .open(&world.authorize(&[("max_age", "60")]))
        .await
        .unwrap();
    assert!(page.url.path().ends_with("/login"));
    let page = sign_in(&mut browser, &page).await;
    code_of(&page, ISSUER);
    let page = browser
        .get(&world.authorize(&[("max_age", "60")]))
        .await
        .unwrap();
    code_of(&page, ISSUER);
}

mod forgery {
    use super::*;

    async fn fields(world: &World, browser: &mut Browser) -> Vec<(String, String)> {
        let page = login_page(world, browser).await;
        page.forms()
            .remove(0)
            .fields
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect()
    }

    fn filled(fields: &[(String, String)]) -> Vec<(&str, &str)> {
        fields
            .iter()
            .map(|(name, value)| match name.as_str() {
                "username" | "password" => (name.as_str(), "alice"),
                _ => (name.as_str(), value.as_str()),
            })
            .chain([("decision", "login")])
            .collect()
    }

    // SEC-15
    #[tokio::test]
    async fn a_form_without_token_is_refused() {
        let world = World::new().await;
        let mut browser = world.browser();
        let fields = fields(&world, &mut browser).await;
        let without: Vec<_> = filled(&fields)
            .into_iter()
            .filter(|(name, _)| *name != "csrf")
            .collect();
        assert_eq!(
            browser
                .post_form(&world.url("/login"), &without)
                .await
                .unwrap()
                .status,
            403
        );
    }

    // SEC-15
    #[tokio::test]
    async fn the_token_of_another_flow_is_refused() {
        let world = World::new().await;
        let mut browser = world.browser();
        let mut mine = fields(&world, &mut browser).await;
        let theirs = fields(&world, &mut world.browser()).await;
        let token = theirs.into_iter().find(|(name, _)| name == "csrf").unwrap();
        mine.retain(|(name, _)| name != "csrf");
        mine.push(token);
        let page = browser
            .post_form(&world.url("/login"), &filled(&mine))
            .await
            .unwrap();
        assert_eq!(page.status, 403);
        assert!(session_cookie(&browser).is_none());
    }

    // SEC-15
    #[tokio::test]
    async fn a_form_from_another_origin_is_refused() {
        let world = World::new().await;
        let mut browser = world.browser();
        let fields = fields(&world, &mut browser).await;
        let form = filled(&fields);
        for (origin, site) in [
            ("https://evil.example", "cross-site"),
            ("null", "cross-site"),
            ("http://127.0.0.1:9999", "same-site"),
        ] {
            let page = browser
                .post_form_from(&world.url("/login"), &form, origin, site)
                .await
                .unwrap();
            assert_eq!(page.status, 403, "{origin} {site}");
        }
        // What Chromium sends for a page that may not name its address.
        let page = browser
            .post_form_from(&world.url("/login"), &form, "null", "same-origin")
            .await
            .unwrap();
        assert_eq!(page.status, 303);
    }

    // SEC-15
    #[tokio::test]
    async fn a_flow_of_another_browser_is_of_no_use() {
        let world = World::new().await;
        let mut theirs = world.browser();
        let fields = fields(&world, &mut theirs).await;
        let page = world
            .browser()
            .post_form(&world.url("/login"), &filled(&fields))
            .await
            .unwrap();
        assert_eq!(page.status, 400);
        assert!(page.text().contains("Please start again"));
    }

    // SEC-15
    #[tokio::test]
    async fn a_changed_cookie_is_of_no_use() {
        let world = World::new().await;
        let mut browser = world.browser();
        let page = login_page(&world, &mut browser).await;
        let mut cookie = browser
            .cookies()
            .iter()
            .find(|cookie| cookie.name.contains("flow"))
            .unwrap()
            .clone();
        let middle = cookie.value.len() / 2;
        let other = if cookie.value.as_bytes()[middle] == b'A' {
            "B"
        } else {
            "A"
        };
        cookie.value.replace_range(middle..=middle, other);
        browser.put_cookie(cookie);
        assert_eq!(browser.get(page.url.as_str()).await.unwrap().status, 400);
    }
}

#[tokio::test]
async fn a_flow_ends_after_its_time() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = login_page(&world, &mut browser).await;
    world.clock.advance(Duration::from_secs(31 * 60));
    let page = sign_in(&mut browser, &page).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("Please start again"));
}

#[tokio::test]
async fn abandoned_flows_do_not_pile_up() {
    let world = World::new().await;
    let mut browser = world.browser();
    for _ in 0..12 {
        login_page(&world, &mut browser).await;
        world.clock.advance(Duration::from_millis(5));
    }
    let flows = browser
        .cookies()
        .iter()
        .filter(|cookie| cookie.name.contains("flow"))
        .count();
    assert!(flows <= 5, "{flows}");
    // The newest one still works.
    let page = try_password(&world, &mut browser, "alice", "alice").await;
    assert!(page.url.path().ends_with("/consent"));
}

// SEC-77
#[tokio::test]
async fn a_session_of_one_realm_is_none_in_another() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    let cookie = browser
        .cookies()
        .iter()
        .find(|cookie| cookie.name.contains("session"))
        .unwrap()
        .clone();
    let mut other = realm();
    other.name = "other".parse().unwrap();
    world.reload(other);
    browser.put_cookie(testkit::browser::Cookie {
        name: cookie.name.replace("mcp-demo", "other"),
        ..cookie
    });
    let page = browser
        .get(&world.authorize(&[("prompt", "none")]))
        .await
        .unwrap();
    assert_eq!(error_of(&page, ISSUER), "login_required");
}
