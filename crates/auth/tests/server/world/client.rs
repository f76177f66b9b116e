//! A realm with some clients and a user, a clock that stands still, and short ways to ask for things.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use auth::DeclaredUsers;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Request};
use model::claims::mapper::Source;
use model::client::{Authentication, Client, KeySource};
use model::clock::TestClock;
use model::grant::{Grant, Stage};
use model::granted::{Granted, Terms};
use model::id::Id;
use model::realm::{Realm, ResourceServer, SigningAlgorithm};
use model::secret::{Secret, TokenHash};
use model::session::Session;
use model::signing_key::KeyState;
use model::user::User;
use net::body::{self, Body};
use net::edge::{Peer, Site as _};
use net::egress::rules::Rules;
use oauth::form;
use oauth::jose::alg::Alg;
use oauth::jose::claims::Claims;
use oauth::jose::jwk::JwkSet;
use oauth::jose::jws::UnverifiedJws;
use oauth::jose::signing::SigningKey;
use oauth::pkce::CodeVerifier;
use serde_json::Value;
use store::Store;

pub(crate) use super::{ISSUER, RESOURCE, START};
use super::{World, configured};

pub(crate) const OTHER_RESOURCE: &str = "http://127.0.0.1:8480/other";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:6274/oauth/callback";
pub(crate) const SECRET: &str = "s3cret +%";
/// The world as clients see it once the user has agreed.
pub(crate) struct ClientWorld {
    world: World,
    pub(crate) user: User,
    /// The key of the client `signer`.
    pub(crate) signer: SigningKey,
}

impl Deref for ClientWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// A member of the JSON body that must be a string.
    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member]
            .as_str()
            .unwrap_or_else(|| panic!("no `{member}` in {self:?}"))
            .to_owned()
    }

    /// Status and error code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.text("error"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A code with what redeems it.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) verifier: String,
}

impl Code {
    /// The form that redeems it for a public client.
    pub(crate) fn form<'a>(&'a self, client_id: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("code", &self.code),
            ("code_verifier", &self.verifier),
            ("redirect_uri", REDIRECT),
        ]
    }
}

/// Puts values over a form; an empty one takes a parameter away.
pub(crate) fn with<'a>(
    mut form: Vec<(&'a str, &'a str)>,
    over: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    form.retain(|(name, _)| over.iter().all(|(other, _)| other != name));
    form.extend(over.iter().copied().filter(|(_, value)| !value.is_empty()));
    form
}

/// The form that refreshes for a public client.
pub(crate) fn refresh_form<'a>(client_id: &'a str, token: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", token),
    ]
}

pub(crate) fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| {
        form::encode([("", text)])
            .trim_start_matches('=')
            .to_owned()
    };
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encode(id), encode(secret)))
    )
}

/// The claims of a token, without asking whether they are true.
pub(crate) fn claims(token: &str) -> Claims {
    Claims::parse(UnverifiedJws::parse(token).unwrap().payload()).unwrap()
}

fn client(id: &str, authentication: Authentication) -> Client {
    Client {
        authentication,
        post_logout_redirect_uris: vec!["http://127.0.0.1:6274/bye".parse().unwrap()],
        ..configured(id, REDIRECT)
    }
}

/// The realm of all tests, before their changes.
fn realm(signer: &SigningKey) -> Realm {
    let mut realm = super::realm();
    realm.resources.push(ResourceServer {
        uri: OTHER_RESOURCE.parse().unwrap(),
        default_scopes: "mcp:tools".parse().unwrap(),
    });
    let keys = JwkSet::new(vec![signer.public().clone()])
        .to_value()
        .to_string();
    realm.clients = vec![
        client("app", Authentication::none()),
        client("other", Authentication::none()),
        Client {
            may_refresh: false,
            ..client("brief", Authentication::none())
        },
        client(
            "keeper",
            Authentication::secret(&Secret::new(SECRET.to_owned())),
        ),
        client(
            "signer",
            Authentication::private_key_jwt(KeySource::Inline(keys)),
        ),
    ];
    assert!(
        realm
            .scopes
            .iter()
            .any(|scope| scope.mappers().any(|one| one.from == Source::Username))
    );
    realm
}

/// An RSA key takes long to make, so all worlds of a process begin with the same one.
static RSA_KEY: OnceLock<(String, Vec<u8>)> = OnceLock::new();

async fn with_an_rsa_key(store: &Store) {
    let (kid, private) = RSA_KEY.get_or_init(|| {
        let key = SigningKey::generate(Alg::Rs256).unwrap();
        (key.kid().to_owned(), key.to_pkcs8().unwrap().to_vec())
    });
    let row = model::signing_key::SigningKey {
        kid: kid.clone(),
        realm: "mcp-demo".parse().unwrap(),
        algorithm: SigningAlgorithm::Rs256,
        private: Secret::new(private.clone()),
        state: KeyState::Active { since: START },
    };
    store::key::insert(store, &row).await.unwrap();
}

/// A server of this realm over this store. What the operator configured may be on this machine.
async fn node(store: Store, clock: &Arc<TestClock>, realm: Realm) -> World {
    let on_this_machine = Rules {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        allow_http: true,
        ports: None,
    };
    let users = DeclaredUsers::default();
    users.arrived();
    World::node(store, Arc::clone(clock), realm, users, on_this_machine).await
}

impl ClientWorld {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose realm was changed.
    pub(crate) async fn with(change: impl FnOnce(&mut Realm)) -> Self {
        let store = store::testing::open().await;
        let signer = SigningKey::generate(Alg::Es256).unwrap();
        let mut realm = realm(&signer);
        change(&mut realm);
        let clock = Arc::new(TestClock::at(START));
        let mut user = User::new(
            Id::from_bytes([7; 16]),
            realm.name.clone(),
            "alice".parse().unwrap(),
            START,
        );
        user.profile.name = Some("Alice".to_owned());
        user.profile.email = Some("alice@example.org".parse().unwrap());
        store::user::insert(&store, &user).await.unwrap();
        with_an_rsa_key(&store).await;
        let world = node(store, &clock, realm).await;
        world.server.prepare().await.unwrap();
        Self {
            world,
            user,
            signer,
        }
    }

    /// Two nodes over one database, neither of which has done anything yet.
    pub(crate) async fn two_nodes() -> (Self, Self) {
        let (first, second) = store::testing::open_twice().await;
        let signer = SigningKey::generate(Alg::Es256).unwrap();
        let pkcs8 = signer.to_pkcs8().unwrap();
        let clock = Arc::new(TestClock::at(START));
        let user = User::new(
            Id::from_bytes([7; 16]),
            "mcp-demo".parse().unwrap(),
            "alice".parse().unwrap(),
            START,
        );
        store::user::insert(&first, &user).await.unwrap();
        let [first, second] = [first, second].map(|store| node(store, &clock, realm(&signer)));
        let world = |world, signer| Self {
            world,
            user: user.clone(),
            signer,
        };
        let same = SigningKey::from_pkcs8(Alg::Es256, &pkcs8).unwrap();
        (world(first.await, signer), world(second.await, same))
    }

    /// Serves the realm with these changes from now on, as after a reload.
    pub(crate) fn reload(&self, change: impl FnOnce(&mut Realm)) {
        let mut realm = realm(&self.signer);
        change(&mut realm);
        self.server
            .replace_realms(vec![realm], self.server.outgoing());
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Any request below the issuer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/realms/mcp-demo{path}"))
            .header("host", "127.0.0.1:8480");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::full(body.to_owned())).unwrap();
        let peer = Peer {
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            listener: "main".into(),
            arrival: net::edge::Arrival::Direct,
            tls: false,
            client_certificate: false,
        };
        let response = self.server.call(request, &peer).await;
        let (parts, body) = response.into_parts();
        let bytes = body::read_bounded(body, 1 << 20, Duration::from_secs(5))
            .await
            .unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers, "").await
    }

    /// Posts a form.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answer {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        self.send(
            Method::POST,
            path,
            &all,
            &form::encode(form.iter().copied()),
        )
        .await
    }

    /// Posts a form to the token endpoint.
    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/token", &[], form).await
    }

    /// What a user grants to `app` unless a test says otherwise.
    pub(crate) fn grant(&self, client_id: &str) -> (Code, Grant) {
        let mut random = [0; 64];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let (first, second) = random.split_at(32);
        let verifier = CodeVerifier::from_bytes(first.try_into().unwrap());
        let code = model::secret::token(second.try_into().unwrap())
            .expose()
            .clone();
        let now = self.now();
        let grant = Grant {
            granted: Granted {
                terms: Terms {
                    realm: "mcp-demo".parse().unwrap(),
                    client_id: client_id.parse().unwrap(),
                    scope: "openid profile email mcp:tools".parse().unwrap(),
                    id_token: true,
                    resources: vec![RESOURCE.parse().unwrap(), OTHER_RESOURCE.parse().unwrap()],
                    nonce: Some("nonce-1".to_owned()),
                },
                user: self.user.id,
                session: None,
                auth_time: now,
                may_refresh: true,
            },
            redirect_uri: REDIRECT.parse().unwrap(),
            challenge: Some(verifier.challenge()),
            issued_at: now,
            expires_at: now + Duration::from_mins(1),
            stage: Stage::Issued,
        };
        (
            Code {
                code,
                verifier: verifier.as_str().to_owned(),
            },
            grant,
        )
    }

    /// A code that was issued to this client.
    pub(crate) async fn code_for(&self, client_id: &str) -> Code {
        let (code, grant) = self.grant(client_id);
        self.store_code(&code, &grant).await;
        code
    }

    /// A code that was issued to the public client `app`.
    pub(crate) async fn code(&self) -> Code {
        self.code_for("app").await
    }

    pub(crate) async fn store_code(&self, code: &Code, grant: &Grant) {
        store::grant::insert(&self.store, TokenHash::of(&code.code), grant)
            .await
            .unwrap();
    }

    /// The tokens of a fresh grant to `app`.
    pub(crate) async fn tokens(&self) -> Answer {
        let code = self.code().await;
        let answer = self.token(&code.form("app")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// A login session of the user, and the cookie that holds it.
    pub(crate) async fn session(&self) -> (Session, String) {
        let token = "t".repeat(43);
        let session = Session::begin(
            Id::from_bytes([8; 16]),
            "mcp-demo".parse().unwrap(),
            self.user.id,
            self.now(),
        );
        let expires_at = self.now() + Duration::from_hours(10);
        store::session::insert(&self.store, TokenHash::of(&token), &session, expires_at)
            .await
            .unwrap();
        (session, format!("sekisho-session-mcp-demo={token}"))
    }

    /// Whether the gateway would still believe this access token.
    pub(crate) fn is_revoked(&self, access_token: &str) -> bool {
        self.store
            .revocations()
            .is_revoked(claims(access_token).token_id().unwrap())
    }
}
