//! The code flow of clients that nobody registered: shaped like the real ones, and changing under our eyes.

use model::secret::TokenHash;
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::fake_http::Reply;

use crate::world::{ISSUER, World, assert_refused_with_page, code_of, document, sign_in};

const ID: &str = "https://client.example/oauth/client.json";
const REDIRECT: &str = "http://localhost:6274/oauth/callback";
const SITE: &str = "https://client.example/cb";
/// What the client asks for on the user's machine, and on its site.
const LOCAL: [(&str, &str); 2] = [("client_id", ID), ("redirect_uri", REDIRECT)];
const WEB: [(&str, &str); 2] = [("client_id", ID), ("redirect_uri", SITE)];

async fn flow(world: &World, browser: &mut Browser, document: &Value, redirect: &str) -> String {
    let id = document["client_id"].as_str().unwrap();
    world.web.publish(document);
    code_of(
        &world
            .log_in(browser, &[("client_id", id), ("redirect_uri", redirect)])
            .await,
        ISSUER,
    )
}

// AS-22, AS-25: redirect URIs without port, no application type.
#[tokio::test]
async fn claude_code() {
    let world = World::new().await;
    let document = json!({
        "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
        "client_name": "Claude Code",
        "client_uri": "https://claude.ai",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let code = flow(
        &world,
        &mut world.browser(),
        &document,
        "http://localhost:54212/callback",
    )
    .await;
    let grant = store::grant::load(&world.store, TokenHash::of(&code))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        grant.redirect_uri.as_str(),
        "http://localhost:54212/callback"
    );
    assert!(grant.granted.may_refresh);
    flow(
        &world,
        &mut world.browser(),
        &document,
        "http://127.0.0.1:1234/callback",
    )
    .await;
}

// Another port when its own is taken, and a web redirect.
#[tokio::test]
async fn visual_studio_code() {
    let world = World::new().await;
    let document = json!({
        "client_id": "https://vscode.dev/oauth/client-metadata.json",
        "client_name": "Visual Studio Code",
        "client_uri": "https://vscode.dev/product",
        "logo_uri": "https://code.visualstudio.com/assets/images/code-stable.png",
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    for redirect in [
        "http://127.0.0.1:33418/",
        "http://127.0.0.1:50123/",
        "https://vscode.dev/redirect",
    ] {
        flow(&world, &mut world.browser(), &document, redirect).await;
    }
}

// CI-14, SEC-32
#[tokio::test]
async fn chatgpt() {
    let world = World::new().await;
    let document = json!({
        "client_id": "https://chatgpt.com/oauth/abc123/client.json",
        "client_name": "ChatGPT",
        "client_uri": "https://chatgpt.com",
        "redirect_uris": ["https://chatgpt.com/connector/oauth/abc123"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"],
        "response_types": ["code", "id_token"],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg": "RS256",
        "jwks_uri": "https://chatgpt.com/oauth/jwks.json",
    });
    flow(
        &world,
        &mut world.browser(),
        &document,
        "https://chatgpt.com/connector/oauth/abc123",
    )
    .await;
}

// No application type.
#[tokio::test]
async fn opencode() {
    let world = World::new().await;
    let document = json!({
        "client_id": "https://opencode.ai/oauth/opencode/client.json",
        "client_name": "OpenCode",
        "client_uri": "https://opencode.ai",
        "redirect_uris": ["http://127.0.0.1:19876/mcp/oauth/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    flow(
        &world,
        &mut world.browser(),
        &document,
        "http://127.0.0.1:19876/mcp/oauth/callback",
    )
    .await;
}

// Cursor lists `cursor://` beside others: one scheme that is not allowed here does not spoil the rest.
#[tokio::test]
async fn a_redirect_uri_with_an_unusual_scheme_is_left_out() {
    let world = World::new().await;
    let mut cursor = document(ID);
    cursor["redirect_uris"] = json!(["cursor://anysphere.cursor-mcp/oauth/callback", REDIRECT]);
    flow(&world, &mut world.browser(), &cursor, REDIRECT).await;
    let other = "cursor://anysphere.cursor-mcp/oauth/callback";
    let page = world
        .asked(&[("client_id", ID), ("redirect_uri", other)])
        .await;
    assert_refused_with_page(&page, "not one of those that the client has registered");
}

#[tokio::test]
async fn a_document_without_the_grant_type_gets_no_refresh_tokens() {
    let world = World::new().await;
    let mut modest = document(ID);
    modest.as_object_mut().unwrap().remove("grant_types");
    let code = flow(&world, &mut world.browser(), &modest, REDIRECT).await;
    assert!(
        !store::grant::load(&world.store, TokenHash::of(&code))
            .await
            .unwrap()
            .unwrap()
            .granted
            .may_refresh
    );
}

/// A client whose answers go to its own site: nobody else can pose as it, so that it is remembered.
fn on_a_site() -> Value {
    let mut document = document(ID);
    document["redirect_uris"] = json!([SITE]);
    document
}

// SEC-19, CI-20
#[tokio::test]
async fn a_changed_document_asks_for_consent_again() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("name", |document| {
            document["client_name"] = "Another Name".into();
        }),
        ("redirect URIs", |document| {
            document["redirect_uris"] = json!([SITE, "https://client.example/other"]);
        }),
        ("keys", |document| {
            document["token_endpoint_auth_method"] = "private_key_jwt".into();
            document["jwks_uri"] = "https://client.example/jwks.json".into();
        }),
        ("logo", |document| {
            document["logo_uri"] = "https://client.example/logo.png".into();
        }),
    ];
    for (what, change) in changes {
        let world = World::new().await;
        let mut browser = world.browser();
        let mut changing = on_a_site();
        flow(&world, &mut browser, &changing, SITE).await;
        let url = world.authorize(&WEB);
        code_of(&browser.get(&url).await.unwrap(), ISSUER);
        change(&mut changing);
        world.web.publish(&changing);
        // Until the cache lets go of the old one, the client is what it was.
        code_of(&browser.get(&url).await.unwrap(), ISSUER);
        world.reload(world.realm.clone());
        let page = browser.open(&url).await.unwrap();
        assert!(page.url.path().ends_with("/consent"), "{what}");
        assert!(
            page.text().contains("its description has changed"),
            "{what}"
        );
        code_of(&browser.submit(&page, &[], "allow").await.unwrap(), ISSUER);
        code_of(&browser.get(&url).await.unwrap(), ISSUER);
    }
}

// SEC-19
#[tokio::test]
async fn a_change_that_matters_to_nobody_does_not_ask_again() {
    let world = World::new().await;
    let mut browser = world.browser();
    let mut changing = on_a_site();
    flow(&world, &mut browser, &changing, SITE).await;
    changing["tos_uri"] = "https://client.example/tos".into();
    changing["x_version"] = 2.into();
    world.web.publish(&changing);
    world.reload(world.realm.clone());
    code_of(&browser.get(&world.authorize(&WEB)).await.unwrap(), ISSUER);
}

// SEC-19
#[tokio::test]
async fn a_document_that_changes_while_the_page_is_open_is_asked_about_again() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.web.publish(&document(ID));
    let shown = world.signed_in(&mut browser, &LOCAL).await;
    let mut changed = document(ID);
    changed["client_name"] = "Somebody Else".into();
    world.web.publish(&changed);
    world.reload(world.realm.clone());
    let page = browser.submit(&shown, &[], "allow").await.unwrap();
    assert!(page.url.path().ends_with("/consent"));
    assert!(page.text().contains("Somebody Else"));
}

// CI-10, SEC-6: a client that goes away in the middle gets nothing.
#[tokio::test]
async fn a_document_that_disappears_ends_the_flow() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.web.publish(&document(ID));
    let login = browser.open(&world.authorize(&LOCAL)).await.unwrap();
    world.web.put(ID, Reply::status(410));
    world.reload(world.realm.clone());
    let page = sign_in(&mut browser, &login).await;
    assert_refused_with_page(&page, "status 410");
}

// CIMD: nothing is stored for a client that nobody consented to (SEC-33).
#[tokio::test]
async fn a_client_that_nobody_allowed_leaves_nothing_behind() {
    let world = World::new().await;
    let mut browser = world.browser();
    world.web.publish(&document(ID));
    let page = world.signed_in(&mut browser, &LOCAL).await;
    browser.submit(&page, &[], "deny").await.unwrap();
    let id = ID.parse().unwrap();
    assert!(
        !store::consent::knows_client(&world.store, &id)
            .await
            .unwrap()
    );
    assert!(
        store::approval::list(&world.store, &world.realm.name)
            .await
            .unwrap()
            .is_empty()
    );
}
