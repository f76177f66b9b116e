//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

use oauth::form;

use crate::world::client::{Answer, ClientWorld};

const BYE: &str = "http://127.0.0.1:6274/bye";

/// An ID token of the session that is under way.
async fn id_token(world: &ClientWorld, session: &model::session::Session) -> String {
    let (code, mut grant) = world.grant("app");
    grant.granted.session = Some(session.id);
    world.store_code(&code, &grant).await;
    world.token(&code.form("app")).await.text("id_token")
}

async fn logout(world: &ClientWorld, cookie: &str, query: &[(&str, &str)]) -> Answer {
    world
        .get(
            &format!("/logout?{}", form::encode(query.iter().copied())),
            &[("cookie", cookie)],
        )
        .await
}

/// Whether the cookie still belongs to somebody: otherwise there is nothing to ask.
async fn is_signed_in(world: &ClientWorld, cookie: &str) -> bool {
    logout(world, cookie, &[]).await.body.contains("<form")
}

fn field(page: &str, name: &str) -> String {
    let tag = page
        .split("<input ")
        .find(|tag| tag.contains(&format!("name=\"{name}\"")))
        .unwrap();
    tag.split("value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn an_id_token_of_the_session_ends_it_and_returns_to_the_client() {
    let world = ClientWorld::new().await;
    let (session, cookie) = world.session().await;
    let hint = id_token(&world, &session).await;
    let answer = logout(
        &world,
        &cookie,
        &[
            ("id_token_hint", &hint),
            ("post_logout_redirect_uri", BYE),
            ("state", "a b"),
        ],
    )
    .await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(answer.header("location"), format!("{BYE}?state=a+b"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert!(!is_signed_in(&world, &cookie).await);
}

#[tokio::test]
async fn an_expired_id_token_is_as_good() {
    let world = ClientWorld::new().await;
    let (session, cookie) = world.session().await;
    let hint = id_token(&world, &session).await;
    world.advance(1200);
    let answer = logout(&world, &cookie, &[("id_token_hint", &hint)]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("Signed out"), "{answer:?}");
    assert!(!is_signed_in(&world, &cookie).await);
}

// SEC-15
#[tokio::test]
async fn without_an_id_token_the_user_is_asked_first() {
    let world = ClientWorld::new().await;
    let (_, cookie) = world.session().await;
    let page = logout(
        &world,
        &cookie,
        &[
            ("client_id", "app"),
            ("post_logout_redirect_uri", BYE),
            ("state", "s"),
        ],
    )
    .await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert!(is_signed_in(&world, &cookie).await);

    let form = [
        ("csrf", field(&page.body, "csrf")),
        ("client_id", field(&page.body, "client_id")),
        (
            "post_logout_redirect_uri",
            field(&page.body, "post_logout_redirect_uri"),
        ),
        ("state", field(&page.body, "state")),
        ("decision", "logout".to_owned()),
    ];
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = world
        .post(
            "/logout",
            &[("cookie", &cookie), ("origin", "http://127.0.0.1:8480")],
            &form,
        )
        .await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, &*format!("{BYE}?state=s"))
    );
    assert!(!is_signed_in(&world, &cookie).await);
}

// SEC-15
#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let world = ClientWorld::new().await;
    let (_, cookie) = world.session().await;
    let page = logout(&world, &cookie, &[]).await;
    let token = field(&page.body, "csrf");
    for (origin, token) in [
        ("https://evil.example", token.as_str()),
        ("http://127.0.0.1:8480", "forged"),
    ] {
        let answer = world
            .post(
                "/logout",
                &[("cookie", &cookie), ("origin", origin)],
                &[("csrf", token), ("decision", "logout")],
            )
            .await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    // Without its token it is a request to ask, not an answer.
    let asked = world
        .post("/logout", &[("cookie", &cookie)], &[("decision", "logout")])
        .await;
    assert_eq!(asked.status, 200);
    assert!(is_signed_in(&world, &cookie).await);
}

// SEC-15: an ID token of another session proves nothing about this one.
#[tokio::test]
async fn an_id_token_of_another_session_is_not_enough() {
    let world = ClientWorld::new().await;
    let (mut session, cookie) = world.session().await;
    session.id = model::id::Id::from_bytes([9; 16]);
    let hint = id_token(&world, &session).await;
    logout(&world, &cookie, &[("id_token_hint", &hint)]).await;
    assert!(is_signed_in(&world, &cookie).await);
}

// SEC-40
#[tokio::test]
async fn an_access_token_is_no_id_token() {
    let world = ClientWorld::new().await;
    let (session, cookie) = world.session().await;
    let (code, mut grant) = world.grant("app");
    grant.granted.session = Some(session.id);
    world.store_code(&code, &grant).await;
    let token = world.token(&code.form("app")).await.text("access_token");
    logout(&world, &cookie, &[("id_token_hint", &token)]).await;
    assert!(is_signed_in(&world, &cookie).await);
}

// SEC-6
#[tokio::test]
async fn the_browser_is_sent_only_where_the_client_registered() {
    let world = ClientWorld::new().await;
    let (session, cookie) = world.session().await;
    let hint = id_token(&world, &session).await;
    for (query, address) in [
        (
            vec![("id_token_hint", hint.as_str())],
            "https://evil.example/",
        ),
        (
            vec![("client_id", "app")],
            "http://127.0.0.1:6274/oauth/callback",
        ),
        (vec![("client_id", "app")], "javascript:alert(1)"),
        (vec![("client_id", "nobody")], BYE),
        (vec![], BYE),
    ] {
        let mut query = query.clone();
        query.push(("post_logout_redirect_uri", address));
        let answer = logout(&world, &cookie, &query).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (400, ""),
            "{query:?}"
        );
    }
    assert!(is_signed_in(&world, &cookie).await);
}

#[tokio::test]
async fn a_client_cannot_speak_for_another() {
    let world = ClientWorld::new().await;
    let (session, cookie) = world.session().await;
    let hint = id_token(&world, &session).await;
    let answer = logout(
        &world,
        &cookie,
        &[("id_token_hint", &hint), ("client_id", "other")],
    )
    .await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn who_is_not_signed_in_is_signed_out_already() {
    let world = ClientWorld::new().await;
    let answer = logout(&world, "", &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("Signed out"));
    let answer = logout(
        &world,
        "",
        &[("client_id", "app"), ("post_logout_redirect_uri", BYE)],
    )
    .await;
    assert_eq!((answer.status, answer.header("location")), (303, BYE));
}
