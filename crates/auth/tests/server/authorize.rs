//! The authorization endpoint: what is refused, how, and before what.

use testkit::browser::Page;

use crate::world::{
    APP, CALLBACK, ISSUER, World, assert_refused_with_page, error_of, parameters, realm, registered,
};

async fn get(world: &World, changes: &[(&str, &str)]) -> Page {
    world
        .browser()
        .get(&world.authorize(changes))
        .await
        .unwrap()
}

/// The error that goes to the client by redirect.
async fn refused(changes: &[(&str, &str)]) -> String {
    let world = World::new().await;
    let page = get(&world, changes).await;
    assert!(page.redirect().unwrap().as_str().starts_with(CALLBACK));
    assert_eq!(
        page.redirect_parameter("state").as_deref(),
        Some("the state")
    );
    assert_eq!(page.header("set-cookie"), None, "nothing is left behind");
    error_of(&page, ISSUER)
}

#[tokio::test]
async fn a_proper_request_leads_to_the_login_page() {
    let world = World::new().await;
    let page = get(&world, &[]).await;
    assert_eq!(page.status, 303);
    assert!(
        page.redirect()
            .unwrap()
            .path()
            .ends_with("/realms/mcp-demo/login")
    );
}

// OpenID Connect Core §3.1.2.1
#[tokio::test]
async fn the_parameters_may_come_in_a_body() {
    let world = World::new().await;
    let page = world
        .browser()
        .post_form_from(
            &world.url("/authorize"),
            &parameters(&[]),
            "https://app.example",
            "cross-site",
        )
        .await
        .unwrap();
    assert_eq!(page.status, 303);
    assert!(page.redirect().unwrap().path().ends_with("/login"));
}

mod without_a_redirect {
    use super::*;

    // SEC-6, AS-16
    #[tokio::test]
    async fn an_unknown_client_gets_a_page() {
        let world = World::new().await;
        assert_refused_with_page(
            &get(&world, &[("client_id", "nobody")]).await,
            "client is not registered here",
        );
    }

    // SEC-6
    #[tokio::test]
    async fn a_missing_client_id_gets_a_page() {
        let world = World::new().await;
        assert_refused_with_page(
            &get(&world, &[("client_id", "")]).await,
            "the parameter `client_id` is missing",
        );
    }

    // VS Code once sent one with spaces.
    #[tokio::test]
    async fn a_client_id_with_odd_characters_gets_a_page() {
        let world = World::new().await;
        assert_refused_with_page(
            &get(&world, &[("client_id", "a b\u{7}c")]).await,
            "not printable ASCII",
        );
    }

    // SEC-6, AS-12, AS-22, AS-23, BP-4
    #[tokio::test]
    async fn a_redirect_uri_that_is_not_registered_gets_a_page() {
        let world = World::new().await;
        for uri in [
            "https://app.example/callback/",
            "https://app.example/Callback",
            "https://app.example/callback?x=1",
            "https://app.example:443/callback",
            "https://APP.example/callback",
            "http://app.example/callback",
            "https://app.example.evil.example/callback",
            "https://app.example@evil.example/callback",
            "https://evil.example/callback",
            "https://app.example/call%62ack",
            "https://app.example/callback#x",
            "//app.example/callback",
            "javascript:alert(1)",
        ] {
            let page = get(&world, &[("redirect_uri", uri)]).await;
            assert_refused_with_page(&page, "redirect");
        }
    }

    // SEC-6
    #[tokio::test]
    async fn a_missing_redirect_uri_gets_a_page_when_there_is_a_choice() {
        let mut realm = realm();
        realm.clients[0]
            .redirect_uris
            .push("https://app.example/other".parse().unwrap());
        let world = World::with(realm).await;
        assert_refused_with_page(
            &get(&world, &[("redirect_uri", "")]).await,
            "`redirect_uri` is missing",
        );
    }

    // AS-22: Claude Code registers `localhost` and may send `127.0.0.1`.
    #[tokio::test]
    async fn a_mismatch_of_loopback_names_is_explained() {
        let mut realm = realm();
        realm
            .clients
            .push(registered("native", "http://localhost/callback"));
        let world = World::with(realm).await;
        let page = get(
            &world,
            &[
                ("client_id", "native"),
                ("redirect_uri", "http://127.0.0.1:9000/callback"),
            ],
        )
        .await;
        assert_refused_with_page(&page, "are different hosts");
        assert!(page.text().contains("http://localhost/callback"));
    }

    // SEC-10
    #[tokio::test]
    async fn a_repeated_parameter_gets_a_page() {
        let world = World::new().await;
        for name in [
            "client_id",
            "redirect_uri",
            "state",
            "scope",
            "code_challenge",
        ] {
            let url = format!("{}&{name}=again", world.authorize(&[]));
            let page = world.browser().get(&url).await.unwrap();
            assert_refused_with_page(
                &page,
                &format!("the parameter `{name}` occurs more than once"),
            );
        }
    }

    // SEC-10
    #[tokio::test]
    async fn only_forms_are_read_from_bodies() {
        let world = World::new().await;
        for media_type in [
            "application/json",
            "application/json, application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ] {
            let request = http::Request::post(world.url("/authorize"))
                .header("content-type", media_type)
                .body(bytes::Bytes::from(oauth::form::encode(parameters(&[]))))
                .unwrap();
            let page = world.browser().send(request).await.unwrap();
            assert_refused_with_page(
                &page,
                "the body must be `application/x-www-form-urlencoded`",
            );
        }
    }

    // SEC-10
    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused() {
        let world = World::new().await;
        let long = "x".repeat(70_000);
        let page = world
            .browser()
            .post_form(&world.url("/authorize"), &[("state", &long)])
            .await
            .unwrap();
        assert_refused_with_page(&page, "too large");
    }
}

mod by_redirect {
    use super::*;

    // SEC-9
    #[tokio::test]
    async fn other_response_types_are_unsupported() {
        for kind in ["token", "id_token", "code token", "code id_token"] {
            assert_eq!(
                refused(&[("response_type", kind)]).await,
                "unsupported_response_type",
                "{kind}"
            );
        }
        assert_eq!(refused(&[("response_type", "")]).await, "invalid_request");
    }

    #[tokio::test]
    async fn other_response_modes_are_refused() {
        assert_eq!(
            refused(&[("response_mode", "fragment")]).await,
            "invalid_request"
        );
    }

    // SEC-1, AS-28
    #[tokio::test]
    async fn a_missing_challenge_is_refused() {
        assert_eq!(
            refused(&[("code_challenge", ""), ("code_challenge_method", "")]).await,
            "invalid_request"
        );
    }

    // SEC-1, AS-28
    #[tokio::test]
    async fn a_plain_challenge_is_refused() {
        assert_eq!(
            refused(&[("code_challenge_method", "plain")]).await,
            "invalid_request"
        );
    }

    // SEC-1, AS-28
    #[tokio::test]
    async fn a_challenge_without_method_is_refused() {
        assert_eq!(
            refused(&[("code_challenge_method", "")]).await,
            "invalid_request"
        );
    }

    // SEC-1
    #[tokio::test]
    async fn a_challenge_that_is_no_hash_is_refused() {
        assert_eq!(
            refused(&[("code_challenge", "too-short")]).await,
            "invalid_request"
        );
    }

    // AS-29, SEC-38
    #[tokio::test]
    async fn an_unknown_resource_is_an_invalid_target() {
        for resource in [
            "https://elsewhere.example/mcp",
            "http://127.0.0.1:8480/mcp/other",
            "mcp",
            "http://127.0.0.1:8480/mcp#x",
        ] {
            assert_eq!(
                refused(&[("resource", resource)]).await,
                "invalid_target",
                "{resource}"
            );
        }
    }

    // SEC-20: the bad case of the article.
    #[tokio::test]
    async fn an_unknown_scope_is_an_invalid_scope() {
        assert_eq!(refused(&[("scope", "mcp:fail")]).await, "invalid_scope");
        assert_eq!(
            refused(&[("scope", "mcp:tools admin")]).await,
            "invalid_scope"
        );
    }

    #[tokio::test]
    async fn request_objects_are_not_supported() {
        assert_eq!(
            refused(&[("request", "eyJ")]).await,
            "request_not_supported"
        );
        assert_eq!(
            refused(&[("request_uri", "urn:x")]).await,
            "request_uri_not_supported"
        );
    }

    #[tokio::test]
    async fn contradictory_prompts_are_refused() {
        assert_eq!(
            refused(&[("prompt", "none login")]).await,
            "invalid_request"
        );
        assert_eq!(refused(&[("max_age", "soon")]).await, "invalid_request");
    }

    #[tokio::test]
    async fn a_silent_request_of_a_stranger_is_told_that_a_login_is_required() {
        assert_eq!(
            refused_silently(&[("prompt", "none")]).await,
            "login_required"
        );
    }

    /// As `refused`, for refusals within a flow.
    async fn refused_silently(changes: &[(&str, &str)]) -> String {
        let world = World::new().await;
        error_of(&get(&world, changes).await, ISSUER)
    }

    // AS-7, SEC-8, SEC-11
    #[tokio::test]
    async fn every_refusal_is_a_303_with_one_issuer() {
        let world = World::new().await;
        for changes in [
            ("scope", "mcp:fail"),
            ("prompt", "none"),
            ("resource", "x:y"),
        ] {
            let page = get(&world, &[changes]).await;
            assert_eq!(page.status, 303);
            assert_eq!(page.redirect_parameter("iss").as_deref(), Some(ISSUER));
        }
    }
}

// AS-30
#[tokio::test]
async fn spellings_of_the_resource_are_accepted() {
    let world = World::new().await;
    for resource in [
        "http://127.0.0.1:8480/mcp/",
        "HTTP://127.0.0.1:8480/mcp",
        "",
    ] {
        let page = get(&world, &[("resource", resource)]).await;
        assert!(
            page.redirect().unwrap().path().ends_with("/login"),
            "{resource}"
        );
    }
}

// AS-22, SEC-6: clients ignore the port that they were configured with.
#[tokio::test]
async fn any_port_is_accepted_on_loopback() {
    let mut realm = realm();
    realm
        .clients
        .push(registered("native", "http://localhost/callback"));
    let world = World::with(realm).await;
    for uri in [
        "http://localhost:1/callback",
        "http://localhost:65535/callback",
        "http://localhost/callback",
    ] {
        let page = get(&world, &[("client_id", "native"), ("redirect_uri", uri)]).await;
        assert!(page.redirect().unwrap().path().ends_with("/login"), "{uri}");
    }
}

// SEC-1
#[tokio::test]
async fn challenges_are_optional_only_where_that_is_dangerously_configured() {
    let mut realm = realm();
    realm.danger_pkce_optional = true;
    realm.clients[0].authentication =
        model::client::Authentication::secret(&model::secret::Secret::new("s".to_owned()));
    let world = World::with(realm).await;
    let page = get(
        &world,
        &[
            ("client_id", APP),
            ("code_challenge", ""),
            ("code_challenge_method", ""),
        ],
    )
    .await;
    assert!(page.redirect().unwrap().path().ends_with("/login"));
}
