//! Clients that register themselves, with the world that they register in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request};
use model::realm::Realm;
use model::registration::Mode;
use oauth::client_id::ClientId;
use serde_json::{Value, json};
use testkit::browser::{Browser, Page};

use crate::world::{ISSUER, VERIFIER, World, code_of, realm};

/// The realm of the tests, where anybody may register.
pub(crate) fn open() -> Realm {
    let mut realm = realm();
    realm.registration.mode = Mode::Open;
    realm.registration.private_schemes = vec!["cursor".to_owned()];
    realm
}

/// A client on the user's machine, like most.
pub(crate) fn native(port: u16) -> Value {
    json!({
        "client_name": "Some Client",
        "redirect_uris": [format!("http://localhost:{port}/callback")],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

/// Sends a request about a registration.
pub(crate) async fn send(
    browser: &mut Browser,
    method: Method,
    url: &str,
    token: Option<&str>,
    body: &Value,
) -> Page {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    browser.send(request.body(body).unwrap()).await.unwrap()
}

/// Registers without a token, from the usual address.
pub(crate) async fn register(world: &World, body: &Value) -> Page {
    register_from(world, &mut world.browser(), body).await
}

/// The same from anywhere.
pub(crate) async fn register_from(world: &World, browser: &mut Browser, body: &Value) -> Page {
    send(browser, Method::POST, &world.url("/register"), None, body).await
}

/// Sends a form to the token endpoint.
pub(crate) async fn token(world: &World, form: &[(&str, &str)]) -> Page {
    let url = world.url("/token");
    world.browser().post_form(&url, form).await.unwrap()
}

/// The status and the code of a refusal, after checking that it says why.
pub(crate) fn error(page: &Page) -> (u16, String) {
    let body = page.json().unwrap();
    assert!(body["error_description"].is_string(), "{body}");
    (
        page.status.as_u16(),
        body["error"].as_str().unwrap().to_owned(),
    )
}

/// A member that has to be a text.
pub(crate) fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer[member]
        .as_str()
        .unwrap_or_else(|| panic!("no `{member}` in {answer}"))
}

/// What an access token says.
pub(crate) fn claims(tokens: &Value) -> Value {
    let payload = text(tokens, "access_token").split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A client that has registered itself.
pub(crate) struct Registrant<'w> {
    world: &'w World,
    /// What it was answered.
    pub(crate) answer: Value,
    /// Where it waits for codes: the first of its redirect URIs, unless a test says otherwise.
    pub(crate) redirect: String,
    /// The token with which it manages its registration.
    pub(crate) access_token: String,
}

impl<'w> Registrant<'w> {
    /// Registers, and is let in.
    pub(crate) async fn new(world: &'w World, body: &Value) -> Self {
        Self::of(world, &register(world, body).await)
    }

    /// The client that such an answer makes.
    pub(crate) fn of(world: &'w World, page: &Page) -> Self {
        assert_eq!(page.status, 201, "{}", page.text());
        assert_eq!(page.header("content-type"), Some("application/json"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let answer = page.json().unwrap();
        Self {
            world,
            redirect: answer["redirect_uris"][0].as_str().unwrap().to_owned(),
            access_token: text(&answer, "registration_access_token").to_owned(),
            answer,
        }
    }

    /// One that somebody has logged in with, and what it got.
    pub(crate) async fn in_use(world: &'w World) -> (Self, Value) {
        let client = Self::new(world, &native(1)).await;
        let tokens = client.log_in(&[]).await;
        (client, tokens)
    }

    pub(crate) fn id(&self) -> &str {
        text(&self.answer, "client_id")
    }

    /// What is its own in an authorization request.
    pub(crate) fn parameters(&self) -> Vec<(&str, &str)> {
        vec![("client_id", self.id()), ("redirect_uri", &self.redirect)]
    }

    /// What its authorization request is answered with at once.
    pub(crate) async fn asks(&self, changes: &[(&str, &str)]) -> Page {
        let all = [&self.parameters(), changes].concat();
        self.world.asked(&all).await
    }

    /// Alice logs in with it, and it gets its tokens.
    pub(crate) async fn log_in(&self, changes: &[(&str, &str)]) -> Value {
        let all = [&self.parameters(), changes].concat();
        let answer = self.world.log_in(&mut self.world.browser(), &all).await;
        let tokens = self.redeem(&code_of(&answer, ISSUER)).await;
        assert_eq!(tokens.status, 200, "{}: {}", self.answer, tokens.text());
        tokens.json().unwrap()
    }

    pub(crate) async fn redeem(&self, code: &str) -> Page {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", self.id()),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", &self.redirect),
        ];
        token(self.world, &form).await
    }

    pub(crate) async fn refresh(&self, tokens: &Value) -> Page {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", self.id()),
            ("refresh_token", text(tokens, "refresh_token")),
        ];
        token(self.world, &form).await
    }

    /// Reads, changes or deletes its registration.
    pub(crate) async fn manage(&self, method: Method, body: &Value) -> Page {
        let uri = text(&self.answer, "registration_client_uri");
        self.manage_at(uri, method, body).await
    }

    /// The same of another client.
    pub(crate) async fn manage_at(&self, uri: &str, method: Method, body: &Value) -> Page {
        let mut browser = self.world.browser();
        send(&mut browser, method, uri, Some(&self.access_token), body).await
    }

    /// Whether its registration is still there.
    pub(crate) async fn is_kept(&self) -> bool {
        let (world, id): (_, ClientId) = (self.world, self.id().parse().unwrap());
        let found =
            store::registration::load(&world.store, &world.realm.name, &id, world.now()).await;
        found.unwrap().is_some()
    }
}
