//! The realm's policy for clients with a document: modes, and the article's settings.

use std::net::IpAddr;

use model::client_policy::Mode;
use model::realm::Realm;
use serde_json::json;
use store::approval::{self, Verdict};
use testkit::browser::Page;

use crate::world::{World, assert_refused_with_page, document, realm, sign_in};

const ID: &str = "https://client.example/oauth/client.json";
const REDIRECT: &str = "http://localhost:6274/oauth/callback";

async fn world(configure: impl FnOnce(&mut Realm)) -> World {
    let mut realm = realm();
    configure(&mut realm);
    let world = World::with(realm).await;
    world.web.publish(&document(ID));
    world
}

async fn ask(world: &World, redirect: &str) -> Page {
    world
        .browser()
        .get(&world.authorize(&[("client_id", ID), ("redirect_uri", redirect)]))
        .await
        .unwrap()
}

fn is_accepted(page: &Page) -> bool {
    page.redirect()
        .is_some_and(|target| target.path().ends_with("/login"))
}

// SEC-34
#[tokio::test]
async fn documents_can_be_switched_off() {
    let world = world(|realm| realm.cimd.mode = Mode::Off).await;
    assert_refused_with_page(
        &ask(&world, REDIRECT).await,
        "does not accept client metadata documents",
    );
    assert_eq!(world.web.fetches(), 0);
}

// SEC-34, CI-19, AS-27
#[tokio::test]
async fn an_allowlist_admits_its_domains_and_fetches_from_no_others() {
    let world = world(|realm| {
        realm.cimd.mode = Mode::Allowlist;
        realm.cimd.trusted_domains = vec!["other.example".parse().unwrap()];
    })
    .await;
    let page = ask(&world, REDIRECT).await;
    assert_refused_with_page(&page, "not among the trusted domains");
    assert_eq!(page.status, 403);
    assert_eq!(world.web.fetches(), 0);
    let mut realm = world.realm.clone();
    realm.cimd.trusted_domains = vec!["*.client.example".parse().unwrap()];
    world.reload(realm);
    assert!(is_accepted(&ask(&world, REDIRECT).await));
}

// SEC-33
#[tokio::test]
async fn only_who_wants_to_log_in_puts_a_host_before_an_administrator() {
    let world = world(|realm| realm.cimd.mode = Mode::Approval).await;
    for path in ["/token", "/revoke"] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "x"),
            ("token", "x"),
            ("client_id", ID),
        ];
        let page = world
            .browser()
            .post_form(&world.url(path), &form)
            .await
            .unwrap();
        assert!(page.status.is_client_error(), "{}", page.text());
    }
    let waiting = approval::list(&world.store, &world.realm.name).await;
    assert_eq!(waiting.unwrap(), []);
}

// SEC-34, CI-19
#[tokio::test]
async fn a_host_that_needs_approval_waits_for_an_administrator() {
    let world = world(|realm| realm.cimd.mode = Mode::Approval).await;
    let page = ask(&world, REDIRECT).await;
    assert_refused_with_page(&page, "An administrator has to approve this application");
    assert_eq!(
        world.web.fetches(),
        0,
        "nothing is fetched before the approval"
    );
    let waiting = approval::list(&world.store, &world.realm.name)
        .await
        .unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (waiting[0].host.as_str(), waiting[0].verdict),
        ("client.example", Verdict::Pending)
    );
    approval::decide(
        &world.store,
        &world.realm.name,
        "client.example",
        Verdict::Approved,
        crate::world::START,
    )
    .await
    .unwrap();
    assert!(is_accepted(&ask(&world, REDIRECT).await));
    approval::decide(
        &world.store,
        &world.realm.name,
        "client.example",
        Verdict::Denied,
        crate::world::START,
    )
    .await
    .unwrap();
    assert_refused_with_page(
        &ask(&world, REDIRECT).await,
        "does not admit the application",
    );
}

// SEC-33, SEC-34
#[tokio::test]
async fn one_visitor_cannot_fill_the_list_of_the_administrator() {
    let world = world(|realm| realm.cimd.mode = Mode::Approval).await;
    for n in 0..15 {
        let url = world.authorize(&[("client_id", &format!("https://host{n}.example/c"))]);
        let page = world.browser().get(&url).await.unwrap();
        assert_refused_with_page(&page, "An administrator has to approve");
    }
    let waiting = approval::list(&world.store, &world.realm.name)
        .await
        .unwrap();
    assert_eq!(waiting.len(), 10);
    let mut other = world.browser().at("192.0.2.9".parse().unwrap());
    other
        .get(&world.authorize(&[("client_id", ID), ("redirect_uri", REDIRECT)]))
        .await
        .unwrap();
    let waiting = approval::list(&world.store, &world.realm.name)
        .await
        .unwrap();
    assert_eq!(waiting.len(), 11);
}

// SEC-34
#[tokio::test]
async fn a_trusted_domain_needs_no_approval_and_is_not_called_new() {
    let world = world(|realm| {
        realm.cimd.mode = Mode::Approval;
        realm.cimd.trusted_domains = vec!["client.example".parse().unwrap()];
    })
    .await;
    let mut browser = world.browser();
    let login = browser
        .open(&world.authorize(&[("client_id", ID), ("redirect_uri", REDIRECT)]))
        .await
        .unwrap();
    let page = sign_in(&mut browser, &login).await;
    assert!(page.url.path().ends_with("/consent"));
    assert!(!page.text().contains("First time here"));
}

// CI-1, SEC-21: the article's `allow http`, for development.
#[tokio::test]
async fn plain_http_is_admitted_where_it_is_allowed() {
    let origin = testkit::fake_http::FakeHttp::start(|seen| {
        let id = format!("http://{}{}", seen.header("host").unwrap(), seen.target);
        testkit::fake_http::Reply::json(document(&id).to_string())
    })
    .await
    .unwrap();
    let id = origin.url("/oauth/client-metadata.json");
    let world = world(|realm| {
        realm.cimd.allow_http = true;
        realm.cimd.ports = vec![origin.address().port()];
    })
    .await;
    let page = world
        .browser()
        .get(&world.authorize(&[("client_id", &id), ("redirect_uri", REDIRECT)]))
        .await
        .unwrap();
    assert!(is_accepted(&page), "{}", page.text());
}

// The article's `restrict same domain`.
#[tokio::test]
async fn everything_must_lie_in_one_domain_where_that_is_demanded() {
    let world = world(|realm| realm.cimd.restrict_same_domain = true).await;
    let mut web_client = document(ID);
    web_client["redirect_uris"] =
        json!(["https://www.client.example/cb", "https://other.example/cb"]);
    world.web.publish(&web_client);
    assert!(is_accepted(
        &ask(&world, "https://www.client.example/cb").await
    ));
    assert_refused_with_page(
        &ask(&world, "https://other.example/cb").await,
        "does not lie in the domain of the client id",
    );
    web_client["tos_uri"] = "https://other.example/tos".into();
    world.web.publish(&web_client);
    world.reload(world.realm.clone());
    assert_refused_with_page(
        &ask(&world, "https://www.client.example/cb").await,
        "`tos_uri` of the client does not lie in the domain",
    );
}

// The article's `required properties`.
#[tokio::test]
async fn more_properties_can_be_demanded() {
    let world = world(|realm| realm.cimd.required_properties.push("tos_uri".to_owned())).await;
    assert_refused_with_page(&ask(&world, REDIRECT).await, "lacks the property `tos_uri`");
}

// The article's `confidential only`.
#[tokio::test]
async fn public_clients_can_be_excluded() {
    let world = world(|realm| realm.cimd.only_confidential = true).await;
    assert_refused_with_page(
        &ask(&world, REDIRECT).await,
        "only clients that authenticate with `private_key_jwt` are admitted",
    );
    let mut confidential = document(ID);
    confidential["token_endpoint_auth_method"] = "private_key_jwt".into();
    confidential["jwks_uri"] = "https://client.example/jwks.json".into();
    world.web.publish(&confidential);
    world.reload(world.realm.clone());
    assert!(is_accepted(&ask(&world, REDIRECT).await));
}

// SEC-34: leaving the redirect URI out must not leave the policy out.
#[tokio::test]
async fn the_policy_is_asked_even_without_a_redirect_uri() {
    let world = world(|realm| realm.cimd.only_confidential = true).await;
    let mut single = document(ID);
    single["redirect_uris"] = json!([REDIRECT]);
    world.web.publish(&single);
    assert_refused_with_page(&ask(&world, "").await, "only clients that authenticate");
}

// SEC-27
#[tokio::test]
async fn addresses_that_invent_urls_keep_no_first_time_client_of_that_host_out() {
    let world = world(|_| {}).await;
    let ask = async |id: &str, address: [u8; 4]| {
        let url = world.authorize(&[("client_id", id), ("redirect_uri", REDIRECT)]);
        let mut browser = world.browser().at(IpAddr::from(address));
        browser.get(&url).await.unwrap()
    };
    let mut refused_for_now = 0;
    for attacker in 0..6 {
        for number in 0..8 {
            let invented = format!("https://client.example/x/{attacker}-{number}");
            let page = ask(&invented, [198, 51, 100, attacker]).await;
            assert!(!is_accepted(&page));
            refused_for_now += u32::from(page.text().contains("too many fetches"));
        }
    }
    assert!(refused_for_now > 0, "what they may cause has an end");
    for victim in 0..4 {
        let id = format!("https://client.example/oauth/victim-{victim}.json");
        world.web.publish(&document(&id));
        let page = ask(&id, [203, 0, 113, victim]).await;
        assert!(is_accepted(&page), "{}", page.text());
    }
}
