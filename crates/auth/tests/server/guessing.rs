//! Guessing: it is slow, and holds nobody up who does not guess.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::FutureExt as _;
use model::clock::Clock as _;
use net::edge::Site as _;
use testkit::browser::{Browser, Cookie, Page};

use crate::login::{login_page, try_password};
use crate::world::{START, World, hashed, realm, realm_at};

fn address(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))
}

fn assert_in(page: &Page) {
    assert!(page.url.path().ends_with("/consent"), "{}", page.text());
}

/// Leaves the browser nothing but what it is known by.
fn forget_session(browser: &mut Browser) {
    let cookie = device_cookie(browser);
    browser.forget_cookies();
    browser.put_cookie(cookie);
}

fn device_cookie(browser: &Browser) -> Cookie {
    let mut cookies = browser.cookies().iter();
    cookies
        .find(|cookie| cookie.name.contains("device"))
        .unwrap()
        .clone()
}

// SEC-53
#[tokio::test]
async fn guessing_an_account_is_slowed_down_and_its_owner_is_not_locked_out() {
    let world = World::new().await;
    let mut guesser = world.browser();
    let mut delayed = None;
    for attempt in 0..10 {
        let page = try_password(&world, &mut guesser, "alice", "guess").await;
        if page.status == 429 {
            delayed = Some(attempt);
            break;
        }
        assert_eq!(page.status, 403);
    }
    assert_eq!(
        delayed,
        Some(6),
        "five failures are free, the sixth has a consequence"
    );
    // Beside the guesser she has to wait a little, elsewhere not at all.
    let mut neighbour = world.browser();
    assert_eq!(
        try_password(&world, &mut neighbour, "alice", "alice")
            .await
            .status,
        429
    );
    let mut elsewhere = world.browser().at(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    for (browser, wait) in [(&mut elsewhere, 0), (&mut neighbour, 61)] {
        world.clock.advance(Duration::from_secs(wait));
        let page = try_password(&world, browser, "alice", "alice").await;
        assert!(page.url.path().ends_with("/consent"), "{}", page.text());
    }
}

// SEC-53
#[tokio::test]
async fn one_guesser_who_never_rests_locks_nobody_out() {
    let world = World::new().await;
    let mut guesser = world.browser();
    for _ in 0..90 {
        try_password(&world, &mut guesser, "alice", "guess").await;
        world.clock.advance(Duration::from_secs(1));
    }
    let mut alice = world.browser().at(address(7));
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
    // Attempts that were refused count for nothing where they came from.
    let page = try_password(&world, &mut guesser, "bob", "guess").await;
    assert_eq!(page.status, 403);
}

/// From 21 addresses, 105 guesses in the first moment; the last address goes on as soon as it is admitted.
async fn guess_from_many_addresses(world: &World) -> Browser {
    for n in 100..121 {
        let mut browser = world.browser().at(address(n));
        for _ in 0..5 {
            let page = try_password(world, &mut browser, "alice", "guess").await;
            assert!(matches!(page.status.as_u16(), 403 | 429), "{}", page.status);
        }
    }
    world.browser().at(address(120))
}

// SEC-87
#[tokio::test]
async fn guessing_from_many_addresses_holds_up_no_address_without_failures() {
    let world = World::new().await;
    let mut guesser = guess_from_many_addresses(&world).await;
    for _ in 0..190 {
        try_password(&world, &mut guesser, "alice", "guess").await;
        world.clock.advance(Duration::from_secs(1));
    }
    let mut alice = world.browser().at(address(7));
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
}

// SEC-53, SEC-87
#[tokio::test]
async fn while_an_account_is_guessed_at_a_failure_costs_a_minute_and_no_more() {
    let world = World::new().await;
    let mut guesser = guess_from_many_addresses(&world).await;
    let mut alice = world.browser().at(address(7));
    let typo = try_password(&world, &mut alice, "alice", "alcie").await;
    assert_eq!(typo.status, 403);
    let held = try_password(&world, &mut alice, "alice", "alice").await;
    assert_eq!(held.status, 429);
    assert_eq!(held.header("retry-after"), Some("60"));
    // However often others try meanwhile.
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        try_password(&world, &mut guesser, "alice", "guess").await;
    }
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
}

// SEC-53
#[tokio::test]
async fn guessing_from_many_networks_of_one_site_is_slowed_down() {
    let world = World::new().await;
    guess_from_many_addresses(&world).await;
    let mut checked = 0;
    for n in 0..80 {
        let network: IpAddr = format!("2001:db8:1:{n:x}::1").parse().unwrap();
        let mut browser = world.browser().at(network);
        let page = try_password(&world, &mut browser, "alice", "guess").await;
        checked += usize::from(page.status == 403);
    }
    assert_eq!(checked, 65);
    let elsewhere: IpAddr = "2001:db8:2::1".parse().unwrap();
    let mut alice = world.browser().at(elsewhere);
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
}

// SEC-87
#[tokio::test]
async fn a_browser_that_has_logged_in_before_is_not_held_up_by_its_neighbours() {
    let world = World::new().await;
    let (mut alice, mut guesser) = (world.browser(), world.browser());
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
    forget_session(&mut alice);
    for n in 0..60 {
        try_password(&world, &mut guesser, &format!("user{n}"), "guess").await;
        try_password(&world, &mut guesser, "alice", "guess").await;
    }
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
    let mut new = world.browser();
    let page = try_password(&world, &mut new, "alice", "alice").await;
    assert_eq!(page.status, 429);
    // It is known for those who have logged in with it.
    world.add_user("bob", "bob").await;
    forget_session(&mut alice);
    let page = try_password(&world, &mut alice, "bob", "bob").await;
    assert_eq!(page.status, 429);
}

// SEC-53
#[tokio::test]
async fn guessing_in_a_browser_that_has_logged_in_before_is_slowed_down() {
    let world = World::new().await;
    let mut browser = world.browser();
    assert_in(&try_password(&world, &mut browser, "alice", "alice").await);
    forget_session(&mut browser);
    let mut checked = 0;
    // Whoever has its cookie may be anywhere.
    for n in 0..20 {
        let mut thief = browser.clone().at(address(n));
        for _ in 0..6 {
            let page = try_password(&world, &mut thief, "alice", "guess").await;
            checked += usize::from(page.status == 403);
        }
    }
    // As many as without it, until the account is guessed at.
    assert_eq!(checked, 100 + 3);
}

// SEC-77, SEC-87
#[tokio::test]
async fn a_changed_or_renamed_device_cookie_is_of_no_use() {
    let world = World::new().await;
    let mut alice = world.browser();
    assert_in(&try_password(&world, &mut alice, "alice", "alice").await);
    let cookie = device_cookie(&alice);
    let mut guesser = world.browser();
    for _ in 0..12 {
        try_password(&world, &mut guesser, "alice", "guess").await;
    }
    let mut changed = cookie.clone();
    let last = if changed.value.pop() == Some('A') {
        'B'
    } else {
        'A'
    };
    changed.value.push(last);
    for (cookie, status) in [(changed, 429), (cookie.clone(), 303)] {
        let mut browser = world.browser();
        let page = login_page(&world, &mut browser).await;
        browser.put_cookie(cookie);
        let page = browser
            .submit_once(
                &page,
                &[("username", "alice"), ("password", "alice")],
                "login",
            )
            .await
            .unwrap();
        assert_eq!(page.status, status);
    }
    let mut other = realm();
    other.name = "other".parse().unwrap();
    world.reload(other);
    for _ in 0..12 {
        try_password(&world, &mut guesser, "alice", "guess").await;
    }
    let mut browser = world.browser();
    let page = login_page(&world, &mut browser).await;
    browser.put_cookie(Cookie {
        name: cookie.name.replace("mcp-demo", "other"),
        ..cookie
    });
    let page = browser
        .submit_once(
            &page,
            &[("username", "alice"), ("password", "alice")],
            "login",
        )
        .await
        .unwrap();
    assert_eq!(page.status, 429);
}

// SEC-55
#[tokio::test]
async fn the_device_cookie_is_hidden_and_bound_to_the_host() {
    let world = World::with(realm_at("https://auth.example/realms/mcp-demo")).await;
    let mut browser = world.browser();
    world.log_in(&mut browser, &[]).await;
    let cookie = device_cookie(&browser);
    assert_eq!(cookie.name, "__Host-sekisho-device-mcp-demo");
    assert!(cookie.attributes.contains_key("httponly"));
    assert!(cookie.attributes.contains_key("secure"));
    assert_eq!(cookie.attributes["samesite"], "Lax");
    assert_eq!(cookie.attributes["max-age"], "15552000");
}

// SEC-53
#[tokio::test]
async fn right_passwords_at_once_hold_nobody_up() {
    let world = World::new().await;
    for _ in 0..5 {
        try_password(&world, &mut world.browser(), "alice", "typo").await;
    }
    let logins = (0..20).map(|_| {
        let (world, mut browser) = (&world, world.browser());
        async move { try_password(world, &mut browser, "alice", "alice").await }
    });
    for page in futures_util::future::join_all(logins).await {
        assert_in(&page);
    }
}

// SEC-53
#[tokio::test]
async fn a_right_password_makes_no_delay_at_its_address_longer() {
    let world = World::new().await;
    world.add_user("bob", "bob").await;
    for n in 0..51 {
        try_password(&world, &mut world.browser(), &format!("user{n}"), "guess").await;
    }
    world.clock.advance(Duration::from_secs(1));
    for name in ["alice", "bob", "alice"] {
        assert_in(&try_password(&world, &mut world.browser(), name, name).await);
    }
}

// SEC-80
#[tokio::test]
async fn a_clock_that_is_turned_back_holds_nobody_up() {
    let world = World::new().await;
    let mut browser = world.browser();
    for _ in 0..90 {
        try_password(&world, &mut browser, "alice", "guess").await;
        world.clock.advance(Duration::from_secs(1));
    }
    let held = try_password(&world, &mut browser, "alice", "alice").await;
    assert_eq!(held.status, 429);
    world.clock.set(START - Duration::from_secs(2 * 60 * 60));
    assert_in(&try_password(&world, &mut browser, "alice", "alice").await);
}

// SEC-53
#[tokio::test]
async fn a_request_that_was_begun_before_a_failure_is_no_way_around_its_delay() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = login_page(&world, &mut browser).await;
    let fields = page.forms().remove(0).fields;
    let form = fields.iter().map(|field| match field.name.as_str() {
        "username" | "password" => (field.name.as_str(), "alice"),
        name => (name, field.value.as_str()),
    });
    let body = oauth::form::encode(form.chain([("decision", "login")]));
    let cookies = browser.cookies().iter();
    let cookies: Vec<_> = cookies
        .map(|cookie| format!("{}={}", cookie.name, cookie.value))
        .collect();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let body =
        futures_util::stream::once(
            async move { finished.await.map(|()| body.into_bytes().into()) },
        );
    let request = http::Request::post(world.url("/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", world.realm.issuer.origin())
        .header("cookie", cookies.join("; "))
        .header("host", "127.0.0.1:8480")
        .body(net::body::Body::from_stream(body))
        .unwrap();
    let peer = browser.peer().clone();
    let mut begun = world.server.call(request, &peer);
    assert!((&mut begun).now_or_never().is_none());
    for _ in 0..90 {
        world.clock.advance(Duration::from_secs(1));
        try_password(&world, &mut browser, "alice", "guess").await;
    }
    finish.send(()).unwrap();
    assert_eq!(begun.await.status(), 429);
}

// SEC-53
#[tokio::test]
async fn guessing_many_accounts_from_one_network_is_slowed_down() {
    let world = World::new().await;
    let mut delayed = false;
    for attempt in 0..60_u8 {
        // Addresses of one /64 are one source.
        let address: IpAddr = format!("2001:db8:1:2::{attempt}").parse().unwrap();
        let mut browser = world.browser().at(address);
        let page = try_password(&world, &mut browser, &format!("user{attempt}"), "guess").await;
        if page.status == 429 {
            delayed = true;
            break;
        }
    }
    assert!(delayed);
    let mut elsewhere = world.browser().at("2001:db8:1:3::1".parse().unwrap());
    assert_eq!(
        try_password(&world, &mut elsewhere, "someone", "guess")
            .await
            .status,
        403
    );
}

// SEC-53
#[tokio::test]
async fn many_guesses_at_once_gain_nothing() {
    let world = World::new().await;
    let guesses = (0..30_u8).map(|_| {
        let mut browser = world.browser();
        let world = &world;
        async move {
            try_password(world, &mut browser, "alice", "guess")
                .await
                .status
                .as_u16()
        }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let checked = statuses.iter().filter(|status| **status == 403).count();
    assert!(checked <= 6, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 403 | 429)));
}

// SEC-53
#[tokio::test]
async fn one_guess_at_many_accounts_at_once_gains_nothing() {
    let world = World::new().await;
    let guesses = (0..150_u8).map(|n| {
        let (world, mut browser) = (&world, world.browser());
        async move {
            try_password(world, &mut browser, &format!("user{n}"), "guess")
                .await
                .status
                .as_u16()
        }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let checked = statuses.iter().filter(|status| **status == 403).count();
    assert!((1..=51).contains(&checked), "{statuses:?}");
    assert!(!statuses.contains(&303), "{statuses:?}");
}

// SEC-53
#[tokio::test]
async fn a_success_counts_for_nothing_at_its_source() {
    let world = World::new().await;
    for _ in 0..60 {
        let page = try_password(&world, &mut world.browser(), "alice", "alice").await;
        assert!(page.url.path().ends_with("/consent"), "{}", page.text());
    }
}

// SEC-53, SEC-54
#[tokio::test]
async fn unknown_accounts_are_slowed_down_like_known_ones() {
    let world = World::new().await;
    let mut browser = world.browser();
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(
            try_password(&world, &mut browser, "nobody", "guess")
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [403, 403, 403, 403, 403, 403, 429]);
}

#[tokio::test]
async fn a_success_forgives_the_failures_of_the_account() {
    let world = World::new().await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(
                try_password(&world, &mut world.browser(), "alice", "typo")
                    .await
                    .status,
                403
            );
        }
        let page = try_password(&world, &mut world.browser(), "alice", "alice").await;
        assert!(page.url.path().ends_with("/consent"));
    }
}

// SEC-53, SEC-87: whoever knew a password may have kept any number of cookies.
#[tokio::test]
async fn a_browser_is_not_known_any_more_when_the_password_has_changed() {
    let world = World::new().await;
    let user = world.add_user("bob", "bob").await;
    let (mut known, mut guesser) = (world.browser(), world.browser());
    assert_in(&try_password(&world, &mut known, "bob", "bob").await);
    forget_session(&mut known);
    for _ in 0..10 {
        try_password(&world, &mut guesser, "bob", "guess").await;
    }
    let lifetimes = model::realm::Lifetimes::default();
    let change = store::standing::Change::Password(hashed("bobby"));
    let now = world.clock.now();
    store::standing::change(&world.store, user.id, change, &lifetimes, now)
        .await
        .unwrap();
    let page = try_password(&world, &mut known, "bob", "bobby").await;
    assert_eq!(page.status, 429);
    let mut elsewhere = world.browser().at(address(7));
    assert_in(&try_password(&world, &mut elsewhere, "bob", "bobby").await);
    // It is known again, by the new one.
    forget_session(&mut elsewhere);
    let mut neighbour = world.browser().at(address(7));
    for _ in 0..10 {
        try_password(&world, &mut neighbour, "bob", "guess").await;
    }
    assert_in(&try_password(&world, &mut elsewhere, "bob", "bobby").await);
}
