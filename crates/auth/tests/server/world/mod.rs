//! A world for the tests: an authorization server reached through its router, and the web that its clients publish on.

pub(crate) mod client;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use auth::password_pool::PasswordPool;
use auth::{AuthServer, DeclaredUsers, Metrics, Outgoing, Parts, Settings};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::client::{Authentication, Client, Provenance};
use model::clock::{Clock as _, SystemClock, TestClock, Timestamp};
use model::id::Id;
use model::password::{Cost, Memory, PasswordHash};
use model::realm::{ClientScope, ConsentText, Realm, ResourceServer, ScopeKind, SigningAlgorithm};
use model::user::User;
use net::edge::local_ca::LocalCa;
use net::edge::tls::{Certificates, Tls};
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::Resolver;
use net::egress::rules::Rules;
use parking_lot::Mutex;
use serde_json::{Value, json};
use store::Store;
use testkit::browser::{Browser, Page};
use testkit::fake_http::{FakeHttp, Reply};
use tokio::sync::OnceCell;

/// The issuer of most tests.
pub(crate) const ISSUER: &str = "http://127.0.0.1:8480/realms/mcp-demo";
/// The resource of the realm.
pub(crate) const RESOURCE: &str = "http://127.0.0.1:8480/mcp";
/// The challenge of RFC 7636, appendix B.
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The verifier that belongs to it.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Where the registered client of the tests gets its answers.
pub(crate) const CALLBACK: &str = "https://app.example/callback";
/// The registered public client of the tests.
pub(crate) const APP: &str = "app";

/// The moment at which every test begins.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Hosts that the web of the tests has certificates for.
const HOSTS: [&str; 7] = [
    "claude.ai",
    "vscode.dev",
    "chatgpt.com",
    "opencode.ai",
    "client.example",
    "other.example",
    "www.client.example",
];

/// Everything a test needs.
pub(crate) struct World {
    pub(crate) server: Arc<AuthServer>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<TestClock>,
    /// What the web answers, by URL.
    pub(crate) web: Web,
    pub(crate) realm: Realm,
    pub(crate) declared_users: DeclaredUsers,
    /// From 1.
    reloads: AtomicU64,
}

/// The web that clients publish on: HTTPS by name, served from loopback.
#[derive(Clone)]
pub(crate) struct Web {
    pages: Arc<Mutex<HashMap<String, Reply>>>,
    answers: Arc<Answers>,
    origin: Arc<FakeHttp>,
}

/// Every name is this origin, unless a test says otherwise.
struct Answers {
    origin: SocketAddr,
    others: Mutex<HashMap<String, Vec<IpAddr>>>,
}

impl Resolver for Answers {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let answer = match self.others.lock().get(host) {
            Some(addresses) => addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port))
                .collect(),
            None => vec![self.origin],
        };
        std::future::ready(Ok(answer)).boxed()
    }
}

/// A CA and a certificate for all hosts, made once for all tests.
static CERTIFICATES: OnceCell<(String, Tls)> = OnceCell::const_new();

async fn certificates() -> (String, Tls) {
    let folder: PathBuf = [
        env!("CARGO_TARGET_TMPDIR"),
        &format!("web-{}", std::process::id()),
    ]
    .iter()
    .collect();
    let now = SystemClock.now();
    let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap());
    let ca = LocalCa::open(&folder, now).await.unwrap();
    let certificate = ca.issue(&HOSTS.map(str::to_owned), now).unwrap();
    let tls = Tls::new(Certificates::new(vec![certificate])).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    (ca.certificate_pem().to_owned(), tls)
}

/// Hashing is slow on purpose, and these tests are about something else.
pub(crate) fn hashed(password: &str) -> PasswordHash {
    let hashed = Memory::default().hash(password, &[7; 16], Cost::DANGER_LEAST);
    hashed.unwrap()
}

impl Web {
    async fn start() -> (Self, Arc<Connector>) {
        let (ca, tls) = CERTIFICATES.get_or_init(certificates).await.clone();
        let pages: Arc<Mutex<HashMap<String, Reply>>> = Arc::default();
        let served = Arc::clone(&pages);
        let origin = FakeHttp::start_tls(tls, move |seen| {
            let url = format!(
                "https://{}{}",
                seen.header("host").unwrap_or_default(),
                seen.target
            );
            served
                .lock()
                .get(&url)
                .cloned()
                .unwrap_or_else(|| Reply::status(404))
        })
        .await
        .unwrap();
        let answers = Arc::new(Answers {
            origin: origin.address(),
            others: Mutex::default(),
        });
        let mut roots = ExtraRoots::default();
        roots.add_pem(ca.as_bytes()).unwrap();
        let connector = Arc::new(Connector::new(
            Arc::clone(&answers) as Arc<dyn Resolver>,
            roots,
        ));
        (
            Self {
                pages,
                answers,
                origin: Arc::new(origin),
            },
            connector,
        )
    }

    /// Publishes an answer under a URL.
    pub(crate) fn put(&self, url: &str, reply: Reply) {
        self.pages.lock().insert(url.to_owned(), reply);
    }

    /// Publishes a client metadata document under its own client id.
    pub(crate) fn publish(&self, document: &Value) {
        self.put(
            document["client_id"].as_str().unwrap(),
            Reply::json(document.to_string()),
        );
    }

    /// Lets a name resolve to other addresses than the origin's.
    pub(crate) fn resolve(&self, host: &str, addresses: &[&str]) {
        self.answers.others.lock().insert(
            host.to_owned(),
            addresses
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
        );
    }

    /// How many requests arrived.
    pub(crate) fn fetches(&self) -> usize {
        self.origin.count()
    }
}

/// The realm of the article, with one registered client.
pub(crate) fn realm() -> Realm {
    realm_at(ISSUER)
}

/// The same under another issuer.
pub(crate) fn realm_at(issuer: &str) -> Realm {
    let mut realm = Realm::new("mcp-demo".parse().unwrap(), issuer.parse().unwrap());
    realm.cimd.mode = model::client_policy::Mode::Open;
    let mut tools = ClientScope::new("mcp:tools".parse().unwrap(), ScopeKind::Optional);
    tools.consent_text = Some(ConsentText::Same(
        "Call tools through the gateway".to_owned(),
    ));
    tools.audiences = vec!["mcp-gateway-demo".to_owned()];
    realm.scopes.push(tools);
    realm.resources = vec![ResourceServer {
        uri: RESOURCE.parse().unwrap(),
        default_scopes: "mcp:tools".parse().unwrap(),
    }];
    realm.clients = vec![registered(APP, CALLBACK)];
    realm.cimd.danger_allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    realm
}

/// A public client that the administrator registered.
pub(crate) fn registered(id: &str, callback: &str) -> Client {
    Client {
        name: Some("The App".to_owned()),
        ..configured(id, callback)
    }
}

/// The same without a name.
fn configured(id: &str, callback: &str) -> Client {
    Client {
        client_id: id.parse().unwrap(),
        name: None,
        provenance: Provenance::Configured,
        authentication: Authentication::none(),
        redirect_uris: vec![callback.parse().unwrap()],
        post_logout_redirect_uris: Vec::new(),
        id_token_algorithm: SigningAlgorithm::Rs256,
        may_refresh: true,
        skip_consent: false,
        traits: model::traits::Traits::default(),
    }
}

/// A document like that of the article: a client on the user's own machine.
pub(crate) fn document(client_id: &str) -> Value {
    json!({
        "client_id": client_id,
        "client_name": "Some Client",
        "redirect_uris": ["http://localhost:6274/oauth/callback", "http://127.0.0.1:6274/oauth/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

impl World {
    /// The world with the usual realm.
    pub(crate) async fn new() -> Self {
        Self::with(realm()).await
    }

    /// The world with another realm, and the user `alice` with the password `alice`.
    pub(crate) async fn with(realm: Realm) -> Self {
        let world = Self::starting(realm, DeclaredUsers::default()).await;
        world.add_user("alice", "alice").await;
        world.declared_users.arrived();
        world
    }

    /// The world before the users that are declared have arrived.
    pub(crate) async fn starting(realm: Realm, declared_users: DeclaredUsers) -> Self {
        let store = store::testing::open().await;
        let clock = Arc::new(TestClock::at(START));
        Self::node(store, clock, realm, declared_users, Rules::default()).await
    }

    /// A node over this store. `rules` are those for addresses that the operator wrote.
    async fn node(
        store: Store,
        clock: Arc<TestClock>,
        realm: Realm,
        declared_users: DeclaredUsers,
        rules: Rules,
    ) -> Self {
        let (web, connector) = Web::start().await;
        let parts = Parts {
            store: store.clone(),
            clock: Arc::clone(&clock) as Arc<_>,
            outgoing: Outgoing {
                operators: Arc::clone(&connector),
                strangers: connector,
                operators_rules: rules,
            },
            wall: Arc::new(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            metrics: Metrics::default(),
            passwords: PasswordPool::default().costing(Cost::DANGER_LEAST),
            declared_users: declared_users.clone(),
        };
        let server = Arc::new(AuthServer::new(parts, Settings::new(vec![realm.clone()])));
        Self {
            server,
            store,
            clock,
            web,
            realm,
            declared_users,
            reloads: AtomicU64::new(1),
        }
    }

    /// Adds a user.
    pub(crate) async fn add_user(&self, name: &str, password: &str) -> User {
        let mut random = [0; 10];
        random
            .iter_mut()
            .zip(name.bytes())
            .for_each(|(to, from)| *to = from);
        let mut user = User::new(
            Id::new(START, random),
            self.realm.name.clone(),
            name.parse().unwrap(),
            START,
        );
        user.password = Some(hashed(password));
        user.profile.name = Some(format!("{name} the tester"));
        user.profile.email = format!("{name}@example.test").parse().ok();
        store::user::insert(&self.store, &user).await.unwrap();
        user
    }

    /// Serves another configuration of the realm, as after a reload. What is remembered of documents is so for a second
    /// more, so that they are fetched anew.
    pub(crate) fn reload(&self, mut realm: Realm) {
        realm.cimd.cache.max += Duration::from_secs(self.reloads.fetch_add(1, Ordering::Relaxed));
        self.server
            .replace_realms(vec![realm], self.server.outgoing());
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::over_site(Arc::clone(&self.server) as Arc<_>).with_header("accept-language", "en")
    }

    /// A URL of the realm.
    pub(crate) fn url(&self, path: &str) -> String {
        self.realm.issuer.join(path)
    }

    /// The URL of an authorization request: the usual parameters, with changes. An empty value leaves one out.
    pub(crate) fn authorize(&self, changes: &[(&str, &str)]) -> String {
        authorize_url(&self.url("/authorize"), changes)
    }

    /// What a browser without cookies gets for an authorization request at once.
    pub(crate) async fn asked(&self, changes: &[(&str, &str)]) -> Page {
        let url = self.authorize(changes);
        self.browser().get(&url).await.unwrap()
    }

    /// Logs in as alice, and gives the page that comes next.
    pub(crate) async fn signed_in(&self, browser: &mut Browser, changes: &[(&str, &str)]) -> Page {
        let login = browser.open(&self.authorize(changes)).await.unwrap();
        sign_in(browser, &login).await
    }

    /// Goes through login and consent as alice, and gives the redirect to the client.
    pub(crate) async fn log_in(&self, browser: &mut Browser, changes: &[(&str, &str)]) -> Page {
        let next = self.signed_in(browser, changes).await;
        if next.redirect().is_some() {
            return next;
        }
        assert_eq!(
            next.url.path(),
            self.realm.issuer.path().to_owned() + "/consent",
            "{}",
            next.text()
        );
        browser.submit(&next, &[], "allow").await.unwrap()
    }
}

/// Answers a login page as alice, and gives the page that comes next.
pub(crate) async fn sign_in(browser: &mut Browser, login: &Page) -> Page {
    let alice = [("username", "alice"), ("password", "alice")];
    browser.submit(login, &alice, "login").await.unwrap()
}

/// The parameters of a usual request of the registered client, with changes.
pub(crate) fn parameters<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("client_id", APP),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "mcp:tools"),
        ("state", "the state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", RESOURCE),
    ];
    pairs.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    pairs.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    pairs
}

fn authorize_url(endpoint: &str, changes: &[(&str, &str)]) -> String {
    format!("{endpoint}?{}", oauth::form::encode(parameters(changes)))
}

/// The code of an authorization response, after checking that the response is proper.
pub(crate) fn code_of(page: &Page, issuer: &str) -> String {
    assert_eq!(page.status, 303, "{}", page.text());
    assert_eq!(
        page.redirect_parameter("iss").as_deref(),
        Some(issuer),
        "{:?}",
        page.redirect()
    );
    assert_eq!(
        page.redirect_parameter("state").as_deref(),
        Some("the state")
    );
    assert_eq!(page.redirect_parameter("error"), None);
    page.redirect_parameter("code").expect("a code")
}

/// The error of an authorization response, after checking that the response is proper.
pub(crate) fn error_of(page: &Page, issuer: &str) -> String {
    assert_eq!(page.status, 303, "{}", page.text());
    assert_eq!(
        page.redirect_parameter("iss").as_deref(),
        Some(issuer),
        "{:?}",
        page.redirect()
    );
    assert_eq!(page.redirect_parameter("code"), None);
    page.redirect_parameter("error").expect("an error")
}

/// Asserts that a refusal is a page for the human: no redirect, no cookie, the rule named.
pub(crate) fn assert_refused_with_page(page: &Page, rule: &str) {
    assert!(
        page.status.is_client_error(),
        "{}: {}",
        page.status,
        page.text()
    );
    assert_eq!(page.header("location"), None);
    assert_eq!(page.header("set-cookie"), None);
    assert!(
        page.text().contains(&rule.replace('\'', "&#39;")),
        "expected `{rule}` in {}",
        page.text()
    );
}
