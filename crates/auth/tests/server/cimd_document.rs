//! The fetch of a client's document and the rules of its content: every refusal is a page, and nothing is kept of it.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::browser::Page;
use testkit::fake_http::Reply;

use crate::world::{World, assert_refused_with_page, document};

const ID: &str = "https://client.example/oauth/client.json";
const REDIRECT: &str = "http://localhost:6274/oauth/callback";

async fn ask(world: &World) -> Page {
    ask_as(world, ID).await
}

async fn ask_as(world: &World, client_id: &str) -> Page {
    world
        .browser()
        .get(&world.authorize(&[("client_id", client_id), ("redirect_uri", REDIRECT)]))
        .await
        .unwrap()
}

fn assert_accepted(page: &Page) {
    assert_eq!(page.status, 303, "{}", page.text());
    assert!(page.redirect().unwrap().path().ends_with("/login"));
}

/// The document with some members changed, or taken out by `null`.
fn changed(changes: &Value) -> Value {
    let mut document = document(ID);
    for (member, value) in changes.as_object().unwrap() {
        if value.is_null() {
            document.as_object_mut().unwrap().remove(member);
        } else {
            document[member] = value.clone();
        }
    }
    document
}

async fn refused_document(changes: Value, rule: &str) {
    let world = World::new().await;
    world
        .web
        .put(ID, Reply::json(changed(&changes).to_string()));
    assert_refused_with_page(&ask(&world).await, rule);
}

async fn accepted_document(changes: Value) {
    let world = World::new().await;
    world
        .web
        .put(ID, Reply::json(changed(&changes).to_string()));
    assert_accepted(&ask(&world).await);
}

async fn refused_answer(reply: Reply, rule: &str) {
    let world = World::new().await;
    world.web.put(ID, reply);
    assert_refused_with_page(&ask(&world).await, rule);
}

mod fetching {
    use super::*;

    // AS-9, CI-4
    #[tokio::test]
    async fn a_proper_document_is_fetched_once_and_accepted() {
        let world = World::new().await;
        world.web.publish(&document(ID));
        assert_accepted(&ask(&world).await);
        assert_accepted(&ask(&world).await);
        assert_eq!(
            world.web.fetches(),
            1,
            "AS-11, CI-11: the second one comes from the cache"
        );
    }

    // CI-5, CI-10, SEC-23
    #[tokio::test]
    async fn an_answer_that_is_not_200_is_refused() {
        for status in [201, 204, 206, 400, 401, 403, 404, 410, 500, 503] {
            let reply = match status {
                204 => Reply::status(204),
                _ => Reply::status(status)
                    .header("content-type", "application/json")
                    .body(document(ID).to_string()),
            };
            refused_answer(reply, &format!("answered with status {status}, not 200")).await;
        }
    }

    // CI-5, SEC-23
    #[tokio::test]
    async fn redirects_are_not_followed() {
        for status in [301, 302, 303, 307, 308] {
            let world = World::new().await;
            let elsewhere = "https://www.client.example/oauth/client.json";
            world.web.put(ID, Reply::redirect(status, elsewhere));
            world
                .web
                .put(elsewhere, Reply::json(document(ID).to_string()));
            let page = ask(&world).await;
            assert_refused_with_page(&page, &format!("answered with status {status}, not 200"));
            assert!(page.text().contains("redirects are not followed"));
            assert_eq!(world.web.fetches(), 1);
        }
    }

    // CI-6
    #[tokio::test]
    async fn only_json_media_types_are_accepted() {
        let text = document(ID).to_string();
        for media_type in [
            "text/html",
            "text/plain",
            "application/octet-stream",
            "text/json",
            "application/jsonp",
        ] {
            let reply = Reply::status(200)
                .header("content-type", media_type)
                .body(text.clone());
            refused_answer(reply, "not `application/json`").await;
        }
        let plain = Reply::status(200).body(text);
        let typed = [
            "application/json",
            "application/json; charset=utf-8",
            "application/cimd+json",
            "Application/JSON",
        ]
        .map(|media_type| plain.clone().header("content-type", media_type));
        // Nothing said about it is nothing wrong about it.
        for reply in typed.into_iter().chain([plain]) {
            let world = World::new().await;
            world.web.put(ID, reply);
            assert_accepted(&ask(&world).await);
        }
    }

    // CI-16, AS-14, SEC-24
    #[tokio::test]
    async fn a_document_of_six_kilobytes_is_refused() {
        let large = changed(&json!({ "padding": "x".repeat(6 * 1024) })).to_string();
        refused_answer(Reply::json(large.clone()), "longer than 5120 bytes").await;
        refused_answer(Reply::chunked([large]), "longer than 5120 bytes").await;
    }

    // CI-16, SEC-24
    #[tokio::test]
    async fn a_document_that_just_fits_is_accepted() {
        let mut text = document(ID).to_string();
        text.push_str(&" ".repeat(5120 - text.len()));
        let world = World::new().await;
        world.web.put(ID, Reply::json(text));
        assert_accepted(&ask(&world).await);
    }

    // SEC-24
    #[tokio::test]
    async fn a_lying_length_is_refused() {
        refused_answer(
            Reply::lying_length(10_000, document(ID).to_string()),
            "longer than 5120 bytes",
        )
        .await;
        let world = World::new().await;
        world
            .web
            .put(ID, Reply::lying_length(5000, document(ID).to_string()));
        assert_refused_with_page(&ask(&world).await, "its host did not answer properly");
    }

    // SEC-25
    #[tokio::test]
    async fn a_compressed_document_is_refused() {
        refused_answer(Reply::gzip_bomb(), "compressed").await;
    }

    // SEC-26
    #[tokio::test]
    async fn a_slow_origin_is_given_five_seconds() {
        let world = World::new().await;
        world.web.put(
            ID,
            Reply::drip(document(ID).to_string(), Duration::from_secs(1)),
        );
        let before = tokio::time::Instant::now();
        assert_refused_with_page(&ask(&world).await, "did not answer completely in time");
        assert!(before.elapsed() < Duration::from_secs(8));
    }

    // CI-10
    #[tokio::test]
    async fn an_origin_that_hangs_up_is_refused() {
        refused_answer(Reply::hang_up(), "could not be fetched").await;
        refused_answer(Reply::raw("nonsense"), "could not be fetched").await;
    }

    // CI-10
    #[tokio::test]
    async fn a_host_without_trusted_certificate_is_refused() {
        let world = World::new().await;
        assert_refused_with_page(
            &ask_as(&world, "https://unknown.example/c").await,
            "no certificate that is trusted",
        );
    }

    // CI-11, SEC-27, SEC-28
    #[tokio::test]
    async fn a_failure_is_remembered_for_a_while_and_never_as_a_document() {
        let world = World::new().await;
        assert_refused_with_page(&ask(&world).await, "status 404");
        world.web.publish(&document(ID));
        assert_refused_with_page(&ask(&world).await, "status 404");
        assert_eq!(world.web.fetches(), 1);
        world.reload(world.realm.clone());
        assert_accepted(&ask(&world).await);
    }

    // SEC-27
    #[tokio::test]
    async fn one_visitor_cannot_cause_many_fetches() {
        let world = World::new().await;
        let mut statuses = Vec::new();
        for n in 0..40 {
            let host = if n % 2 == 0 {
                "client.example"
            } else {
                "other.example"
            };
            statuses.push(
                ask_as(&world, &format!("https://{host}/{n}"))
                    .await
                    .status
                    .as_u16(),
            );
        }
        assert!(world.web.fetches() <= 10, "{}", world.web.fetches());
        assert_eq!(statuses.last(), Some(&429));
        world.web.publish(&document(ID));
        let mut other = world.browser().at("192.0.2.1".parse().unwrap());
        let page = other
            .get(&world.authorize(&[("client_id", ID), ("redirect_uri", REDIRECT)]))
            .await
            .unwrap();
        assert_accepted(&page);
    }

    // SEC-27
    #[tokio::test]
    async fn many_at_once_share_one_fetch() {
        let world = World::new().await;
        world.web.put(
            ID,
            Reply::json(document(ID).to_string()).after(Duration::from_millis(200)),
        );
        let url = world.authorize(&[("client_id", ID), ("redirect_uri", REDIRECT)]);
        let visits = (0..50).map(|_| {
            let mut browser = world.browser();
            let url = url.clone();
            async move { browser.get(&url).await.unwrap() }
        });
        for page in futures_util::future::join_all(visits).await {
            assert_accepted(&page);
        }
        assert_eq!(world.web.fetches(), 1);
    }
}

mod addresses {
    use super::*;
    use crate::world::realm;

    /// A world in which no special-use network is allowed.
    async fn strict() -> World {
        let mut realm = realm();
        realm.cimd.danger_allow_networks.clear();
        World::with(realm).await
    }

    // CI-15, SEC-21, AS-14, AS-26
    #[tokio::test]
    async fn a_private_address_is_never_dialled() {
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:7f00:1]",
        ] {
            let world = strict().await;
            assert_refused_with_page(
                &ask_as(&world, &format!("https://{host}/c")).await,
                "no public address",
            );
            assert_eq!(world.web.fetches(), 0, "{host}");
        }
    }

    // CI-15, SEC-21
    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_never_dialled() {
        for address in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1"] {
            let world = strict().await;
            world.web.resolve("client.example", &[address]);
            let page = ask(&world).await;
            assert_refused_with_page(&page, "no public address");
            // What a name means inside is nobody's business (SEC-72).
            assert!(!page.text().contains(address), "{}", page.text());
            assert_eq!(world.web.fetches(), 0);
        }
    }

    // SEC-21, SEC-22
    #[tokio::test]
    async fn one_private_address_among_public_ones_is_enough_to_refuse() {
        let world = strict().await;
        world
            .web
            .resolve("client.example", &["93.184.216.34", "10.0.0.1"]);
        assert_refused_with_page(&ask(&world).await, "no public address");
    }

    // CI-15, SEC-35
    #[tokio::test]
    async fn urls_in_the_document_follow_the_same_rules() {
        for member in [
            "jwks_uri",
            "logo_uri",
            "client_uri",
            "tos_uri",
            "policy_uri",
        ] {
            for url in [
                "https://10.0.0.1/x",
                "https://[::1]/x",
                "https://169.254.169.254/latest/meta-data",
            ] {
                let world = World::new().await;
                let mut document = document(ID);
                document[member] = url.into();
                world.web.publish(&document);
                assert_refused_with_page(
                    &ask(&world).await,
                    &format!("`{member}` in the metadata document must not be used"),
                );
                assert_eq!(world.web.fetches(), 1);
            }
        }
    }

    // CI-15: loopback by name, where it is not allowed.
    #[tokio::test]
    async fn localhost_in_a_url_of_the_document_is_loopback() {
        let mut realm = realm();
        realm.cimd.danger_allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
        let world = World::with(realm.clone()).await;
        let mut with_logo = document(ID);
        with_logo["logo_uri"] = "https://localhost/logo.png".into();
        world.web.publish(&with_logo);
        assert_accepted(&ask(&world).await);
    }

    // CI-15
    #[tokio::test]
    async fn urls_in_the_document_are_https() {
        for url in [
            "http://client.example/logo.png",
            "ftp://client.example/x",
            "javascript:alert(1)",
            "not a url",
        ] {
            refused_document(
                json!({ "logo_uri": url }),
                "`logo_uri` of the client metadata document is not an `https` URL",
            )
            .await;
        }
    }
}

mod content {
    use super::*;

    // CI-7, AS-10, SEC-29
    #[tokio::test]
    async fn the_client_id_must_be_the_url_exactly() {
        for other in [
            "https://client.example/oauth/client.json/",
            "https://client.example/oauth/Client.json",
            "https://client.example:443/oauth/client.json",
            "https://CLIENT.example/oauth/client.json",
            "https://other.example/oauth/client.json",
            "http://client.example/oauth/client.json",
        ] {
            refused_document(
                json!({ "client_id": other }),
                "is not the URL of the document",
            )
            .await;
        }
        refused_document(
            json!({ "client_id": null }),
            "is not the URL of the document",
        )
        .await;
    }

    // CI-3, CI-7: one address, two client ids. Whoever asks with the wrong one spoils nothing for the right one.
    #[tokio::test]
    async fn another_spelling_of_the_url_is_another_client() {
        let world = World::new().await;
        world.web.publish(&document(ID));
        for other in [
            "https://client.example:443/oauth/client.json",
            "https://Client.Example/oauth/client.json",
        ] {
            assert_refused_with_page(
                &ask_as(&world, other).await,
                "is not the URL of the document",
            );
            assert_accepted(&ask(&world).await);
        }
        assert_eq!(world.web.fetches(), 1);
    }

    // AS-13, CI-9
    #[tokio::test]
    async fn required_properties_must_be_there() {
        refused_document(
            json!({ "client_name": null }),
            "lacks the property `client_name`",
        )
        .await;
        refused_document(
            json!({ "client_name": "" }),
            "lacks the property `client_name`",
        )
        .await;
        refused_document(
            json!({ "redirect_uris": null }),
            "lacks the property `redirect_uris`",
        )
        .await;
        refused_document(
            json!({ "redirect_uris": [] }),
            "lacks the property `redirect_uris`",
        )
        .await;
    }

    // AS-13, SEC-24
    #[tokio::test]
    async fn what_is_no_json_object_is_refused() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            "{\"client_id\": \"https://client.example/oauth/client.json\"",
            "\u{feff}{}",
        ] {
            let world = World::new().await;
            world.web.put(ID, Reply::json(text));
            assert_refused_with_page(&ask(&world).await, "client metadata document");
        }
        refused_answer(
            Reply::json(format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100))),
            "nested more than 16 deep",
        )
        .await;
        refused_document(
            json!({ "redirect_uris": "https://client.example/cb" }),
            "has the wrong type",
        )
        .await;
        let twice = document(ID)
            .to_string()
            .replacen('{', "{\"client_name\":\"x\",", 1);
        refused_answer(Reply::json(twice), "occurs twice").await;
    }

    // CI-8, SEC-31
    #[tokio::test]
    async fn shared_secrets_are_refused() {
        refused_document(json!({ "client_secret": "s" }), "contains a client secret").await;
        refused_document(
            json!({ "client_secret_expires_at": 0 }),
            "contains a client secret",
        )
        .await;
        for method in [
            "client_secret_basic",
            "client_secret_post",
            "client_secret_jwt",
        ] {
            refused_document(
                json!({ "token_endpoint_auth_method": method }),
                "shared secret",
            )
            .await;
            let listed = json!({ "token_endpoint_auth_method": null, "token_endpoint_auth_methods_supported": ["none", method] });
            refused_document(listed, "shared secret").await;
        }
    }

    // CI-8, SEC-31
    #[tokio::test]
    async fn private_keys_are_refused() {
        let key = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI" });
        let changes =
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [key] } });
        refused_document(changes, "private or symmetric key").await;
    }

    // CI-14, SEC-32
    #[tokio::test]
    async fn authentication_methods_need_something_in_common() {
        refused_document(
            json!({ "token_endpoint_auth_method": "tls_client_auth" }),
            "no authentication method in common",
        )
        .await;
        refused_document(
            json!({ "token_endpoint_auth_method": "private_key_jwt" }),
            "needs `jwks` or `jwks_uri`",
        )
        .await;
        let contradictory = json!({ "token_endpoint_auth_method": "none", "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "jwks_uri": "https://client.example/jwks" });
        refused_document(
            contradictory,
            "is not among `token_endpoint_auth_methods_supported`",
        )
        .await;
        accepted_document(json!({ "token_endpoint_auth_method": null })).await;
    }

    // CI-9, SEC-7, AS-21
    #[tokio::test]
    async fn dangerous_redirect_uris_are_refused() {
        for uri in [
            "javascript:alert(1)",
            "data:text/html,x",
            "http://client.example/cb",
            "https://*.client.example/cb",
            "https://client.example/cb#f",
        ] {
            refused_document(json!({ "redirect_uris": [uri] }), "redirect URI number 1").await;
        }
    }

    // One that can't be used is no reason to send everybody away.
    #[tokio::test]
    async fn a_redirect_uri_that_cannot_be_used_costs_that_one_and_not_the_document() {
        for uri in [
            "javascript:alert(1)",
            "http://client.example/cb",
            "https://*.client.example/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback",
        ] {
            accepted_document(json!({ "redirect_uris": [uri, REDIRECT] })).await;
        }
    }

    // SEC-20, SEC-32
    #[tokio::test]
    async fn what_a_document_asks_beyond_our_means_is_left_out() {
        accepted_document(json!({
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_credentials"],
            "response_types": ["code", "id_token"],
            "scope": "admin everything",
            "software_id": "x", "contacts": ["a@client.example"], "x_unknown": { "a": [1, 2, 3] },
        }))
        .await;
    }

    // AS-12, CI-9, SEC-6
    #[tokio::test]
    async fn the_redirect_uri_must_be_in_the_document() {
        let world = World::new().await;
        world.web.publish(&document(ID));
        for uri in [
            "http://localhost:6274/other",
            "https://client.example/cb",
            "http://[::1]:6274/oauth/callback",
        ] {
            let page = world
                .browser()
                .get(&world.authorize(&[("client_id", ID), ("redirect_uri", uri)]))
                .await
                .unwrap();
            assert_refused_with_page(&page, "not one of those that the client has registered");
        }
        let page = world
            .browser()
            .get(&world.authorize(&[("client_id", ID), ("redirect_uri", "")]))
            .await
            .unwrap();
        assert_refused_with_page(&page, "`redirect_uri` is missing");
    }
}
