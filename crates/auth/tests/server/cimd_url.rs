//! Client ids that are URLs: every rule refuses with a page of its own, and without a fetch.

use oauth::client_id::ClientIdUrlError as Rule;

use crate::world::{World, assert_refused_with_page, realm};

/// The page must name the rule, and nothing may have been fetched.
async fn refused(client_id: &str, rule: Rule) {
    let world = World::new().await;
    let url = world.authorize(&[
        ("client_id", client_id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ]);
    let page = world.browser().get(&url).await.unwrap();
    assert_refused_with_page(&page, &rule.to_string());
    assert!(
        page.text()
            .contains("draft-ietf-oauth-client-id-metadata-document §3")
    );
    assert_eq!(world.web.fetches(), 0);
}

// CI-1, AS-16
#[tokio::test]
async fn a_plain_http_url_is_refused() {
    refused("http://client.example/c", Rule::PlainHttp).await;
}

// CI-1, CI-3, AS-16
#[tokio::test]
async fn an_upper_case_scheme_is_refused() {
    refused("HTTPS://client.example/c", Rule::Scheme).await;
}

// CI-1, AS-16
#[tokio::test]
async fn a_url_without_path_is_refused() {
    refused("https://client.example", Rule::NoPath).await;
}

// CI-1, CI-2, AS-16
#[tokio::test]
async fn a_query_does_not_replace_a_path() {
    refused("https://client.example?c", Rule::NoPath).await;
}

// CI-1, AS-16
#[tokio::test]
async fn a_dot_segment_is_refused() {
    refused("https://client.example/a/../c", Rule::DotSegment).await;
}

// CI-1, SEC-29, AS-16
#[tokio::test]
async fn an_escaped_dot_segment_is_refused() {
    refused("https://client.example/a/%2e%2E/c", Rule::DotSegment).await;
}

// CI-1, AS-16
#[tokio::test]
async fn a_fragment_is_refused() {
    refused("https://client.example/c#f", Rule::Fragment).await;
}

// CI-1, SEC-29, AS-16
#[tokio::test]
async fn an_empty_fragment_is_refused() {
    refused("https://client.example/c#", Rule::Fragment).await;
}

// CI-1, AS-16
#[tokio::test]
async fn a_user_is_refused() {
    refused("https://user@client.example/c", Rule::UserInformation).await;
}

// CI-1, AS-16
#[tokio::test]
async fn a_password_is_refused() {
    refused(
        "https://user:secret@client.example/c",
        Rule::UserInformation,
    )
    .await;
}

// SEC-29, AS-16
#[tokio::test]
async fn a_space_is_refused() {
    refused("https://client.example/a c", Rule::BadCharacter).await;
}

// SEC-29, AS-16
#[tokio::test]
async fn a_backslash_is_refused() {
    refused("https://client.example\\@evil.example/c", Rule::Backslash).await;
}

// CI-3, SEC-29, AS-16
#[tokio::test]
async fn a_number_for_a_host_is_refused() {
    refused("https://2130706433/c", Rule::Host).await;
}

// CI-3, SEC-29, AS-16
#[tokio::test]
async fn an_escaped_host_is_refused() {
    refused("https://client%2eexample/c", Rule::Host).await;
}

// CI-3, SEC-29, AS-16
#[tokio::test]
async fn an_empty_port_is_refused() {
    refused("https://client.example:/c", Rule::Port).await;
}

// CI-1, SEC-29, AS-16
#[tokio::test]
async fn a_url_without_authority_is_refused() {
    refused("https:/client.example/c", Rule::NotUrl).await;
}

// SEC-29
#[tokio::test]
async fn a_client_id_that_is_too_long_is_refused_without_a_fetch() {
    let world = World::new().await;
    let long = format!("https://client.example/{}", "a".repeat(2100));
    let page = world
        .browser()
        .get(&world.authorize(&[("client_id", &long)]))
        .await
        .unwrap();
    assert_refused_with_page(&page, "longer than 2048 bytes");
    assert_eq!(world.web.fetches(), 0);
}

// SEC-21
#[tokio::test]
async fn another_port_is_refused_without_a_fetch() {
    let world = World::new().await;
    let page = world
        .browser()
        .get(&world.authorize(&[("client_id", "https://client.example:8443/c")]))
        .await
        .unwrap();
    assert_refused_with_page(&page, "not fetched from port 8443");
    assert_eq!(world.web.fetches(), 0);
}

// SEC-6, AS-16
#[tokio::test]
async fn a_scheme_that_is_none_of_ours_is_an_unknown_client() {
    for client_id in [
        "ftp://client.example/c",
        "urn:client",
        "client.example/c",
        "did:web:client.example",
    ] {
        let world = World::new().await;
        let page = world
            .browser()
            .get(&world.authorize(&[("client_id", client_id)]))
            .await
            .unwrap();
        assert_refused_with_page(&page, "client is not registered here");
        assert_eq!(world.web.fetches(), 0);
    }
}

// SEC-30
#[tokio::test]
async fn a_registered_client_comes_before_any_document() {
    let id = "https://client.example/c";
    let mut realm = realm();
    realm.clients.push(crate::world::registered(
        id,
        "https://client.example/registered",
    ));
    let world = World::with(realm).await;
    world.web.publish(&crate::world::document(id));
    let url = world.authorize(&[
        ("client_id", id),
        ("redirect_uri", "https://client.example/registered"),
    ]);
    let page = world.browser().get(&url).await.unwrap();
    assert!(page.redirect().unwrap().path().ends_with("/login"));
    let url = world.authorize(&[
        ("client_id", id),
        ("redirect_uri", "http://localhost:6274/oauth/callback"),
    ]);
    assert_refused_with_page(
        &world.browser().get(&url).await.unwrap(),
        "not one of those that the client has registered",
    );
    assert_eq!(world.web.fetches(), 0);
}
