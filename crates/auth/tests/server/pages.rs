//! What all pages have in common: headers, languages, no foreign resources.

use model::realm::{ByLanguage, ConsentText};
use testkit::browser::Page;

use crate::world::{World, document, realm, realm_at, sign_in};

fn assert_page_headers(page: &Page, form_action: &str) {
    let policy = page.header("content-security-policy").unwrap();
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src 'self'; img-src data:; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
        )
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
}

// SEC-12, SEC-16, SEC-17
#[tokio::test]
async fn every_page_is_sealed_off() {
    let world = World::new().await;
    let mut browser = world.browser();
    assert_page_headers(&browser.get(&world.url("/")).await.unwrap(), "'none'");
    assert_page_headers(
        &browser.get(&world.url("/authorize")).await.unwrap(),
        "'none'",
    );
    assert_page_headers(
        &browser.get(&world.url("/nothing")).await.unwrap(),
        "'none'",
    );
    let login = browser.open(&world.authorize(&[])).await.unwrap();
    assert_page_headers(&login, "'self' https:");
    let consent = sign_in(&mut browser, &login).await;
    assert_page_headers(&consent, "'self' https:");
}

// SEC-17: Chromium applies the policy to the redirect that follows the form.
#[tokio::test]
async fn the_form_may_lead_to_a_program_on_this_machine() {
    let world = World::new().await;
    let id = "https://client.example/oauth/client.json";
    world.web.publish(&document(id));
    let url = world.authorize(&[
        ("client_id", id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ]);
    let login = world.browser().open(&url).await.unwrap();
    assert_page_headers(
        &login,
        "'self' https: http://localhost:* http://127.0.0.1:*",
    );
}

#[tokio::test]
async fn pages_speak_the_language_of_the_browser() {
    let world = World::new().await;
    let mut japanese = world
        .browser()
        .with_header("accept-language", "ja,en;q=0.5");
    let page = japanese.open(&world.authorize(&[])).await.unwrap();
    assert!(page.text().contains("<html lang=\"ja\">"));
    assert!(page.text().contains("パスワード"));
    let page = world.browser().open(&world.authorize(&[])).await.unwrap();
    assert!(page.text().contains("<html lang=\"en\">"));
}

// OpenID Connect Core §3.1.2.1
#[tokio::test]
async fn a_client_may_choose_the_language() {
    let world = World::new().await;
    let page = world
        .browser()
        .open(&world.authorize(&[("ui_locales", "fr ja")]))
        .await
        .unwrap();
    assert!(page.text().contains("<html lang=\"ja\">"));
}

#[tokio::test]
async fn the_stylesheet_is_served_from_here_and_kept() {
    for issuer in [
        "http://127.0.0.1:8480/realms/mcp-demo",
        "https://login.example",
    ] {
        let world = World::with(realm_at(issuer)).await;
        let mut browser = world.browser();
        let page = browser.get(&world.url("/")).await.unwrap();
        let text = page.text();
        let href = text
            .split("rel=\"stylesheet\" href=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let sheet = browser
            .get(page.url.join(href).unwrap().as_str())
            .await
            .unwrap();
        assert_eq!(sheet.status, 200, "{href}");
        assert_eq!(
            sheet.header("content-type"),
            Some("text/css; charset=utf-8")
        );
        assert!(sheet.header("cache-control").unwrap().contains("immutable"));
        assert!(!sheet.text().contains("http"), "nothing from elsewhere");
    }
}

#[tokio::test]
async fn a_realm_speaks_of_itself_and_its_scopes_as_its_operator_wrote() {
    let mut realm = realm();
    realm.display_name = Some("The <Mill>".to_owned());
    for scope in &mut realm.scopes {
        if scope.name.as_str() == "mcp:tools" {
            scope.consent_text = Some(ConsentText::ByLanguage(ByLanguage {
                en: Some("Call tools through the gateway".to_owned()),
                ja: Some("\u{9053}\u{5177}".to_owned()),
            }));
        }
    }
    let world = World::with(realm).await;
    for (language, text) in [
        ("en", "Call tools through the gateway"),
        ("ja", "\u{9053}\u{5177}"),
    ] {
        let mut browser = world.browser().with_header("accept-language", language);
        let page = browser.open(&world.authorize(&[])).await.unwrap();
        assert!(
            page.text().contains("The &#60;Mill&#62;</title>"),
            "{}",
            page.text()
        );
        let fill = [("username", "alice"), ("password", "alice")];
        let page = browser.submit(&page, &fill, "login").await.unwrap();
        assert!(page.text().contains(text), "{}", page.text());
    }
}
