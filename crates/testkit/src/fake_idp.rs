//! An issuer of tokens on loopback: discovery document, key set, signing keys that rotate; it counts who fetches what.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use net::body::Body;
use net::edge::listen::{Listener, Settings};
use net::edge::{Peer, Site};
use oauth::jose::alg::Alg;
use oauth::jose::jwk::JwkSet;
use oauth::jose::signing::SigningKey;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running issuer. Dropping it ends it.
#[derive(Debug)]
pub struct FakeIdp {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
}

/// How often each document was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// The discovery document.
    pub discovery: u32,
    /// The key set.
    pub keys: u32,
}

#[derive(Debug)]
struct State {
    issuer: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The last one signs; all are published.
    keys: Vec<SigningKey>,
    fetches: Fetches,
    broken: bool,
}

const PATH: &str = "/realms/test";

impl FakeIdp {
    /// Starts an issuer on a free port of 127.0.0.1 that signs with ES256.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Alg::Es256).await
    }

    /// Starts an issuer that signs with this algorithm.
    pub async fn start_with(alg: Alg) -> anyhow::Result<Self> {
        let settings = Settings::plain("fake-idp", SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = Listener::bind(settings)
            .await
            .context("bind the fake issuer")?;
        let address = listener.address();
        let inner = Inner {
            keys: vec![SigningKey::generate(alg)?],
            fetches: Fetches::default(),
            broken: false,
        };
        let state = Arc::new(State {
            issuer: format!("http://{address}{PATH}"),
            inner: Mutex::new(inner),
        });
        let stop = CancellationToken::new();
        let site: Arc<dyn Site> = Arc::new(Documents(Arc::clone(&state)));
        TaskTracker::new().spawn(listener.serve(site, stop.clone()));
        Ok(Self {
            address,
            state,
            stop,
        })
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name.
    pub fn issuer(&self) -> &str {
        &self.state.issuer
    }

    /// Where its discovery document is.
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.state.issuer)
    }

    /// How often its documents were fetched so far.
    pub fn fetches(&self) -> Fetches {
        self.state.inner.lock().fetches
    }

    /// Answers everything with status 500, or no longer does.
    pub fn break_down(&self, broken: bool) {
        self.state.inner.lock().broken = broken;
    }

    /// Signs with a new key from now on; older ones stay published.
    pub fn rotate(&self, alg: Alg) -> anyhow::Result<()> {
        self.state
            .inner
            .lock()
            .keys
            .push(SigningKey::generate(alg)?);
        Ok(())
    }

    /// Publishes only the key that signs.
    pub fn withdraw_older_keys(&self) {
        let mut inner = self.state.inner.lock();
        let older = inner.keys.len().saturating_sub(1);
        inner.keys.drain(..older);
    }

    /// The published keys, as the key set says it.
    pub fn key_set(&self) -> Value {
        let inner = self.state.inner.lock();
        JwkSet::new(inner.keys.iter().map(|key| key.public().clone()).collect()).to_value()
    }

    /// Claims of an access token of `alice` for the audience `audience`, good for ten minutes from `now` (in seconds).
    pub fn claims(&self, audience: &str, now: i64) -> Value {
        json!({
            "iss": self.issuer(), "sub": "alice", "aud": audience, "client_id": "client",
            "iat": now, "exp": now + 600, "scope": "openid mcp:tools", "jti": "family.1",
        })
    }

    /// Signs claims as an access token (`at+jwt`).
    pub fn token(&self, claims: &Value) -> anyhow::Result<String> {
        self.token_of_type("at+jwt", claims)
    }

    /// Signs claims as a token of any type.
    pub fn token_of_type(&self, typ: &str, claims: &Value) -> anyhow::Result<String> {
        let inner = self.state.inner.lock();
        let key = inner.keys.last().context("a signing key")?;
        Ok(key.sign_jwt(typ, claims)?)
    }
}

impl Drop for FakeIdp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Documents(Arc<State>);

impl Site for Documents {
    fn call(&self, request: Request<Body>, _peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        let path = request.uri().path().to_owned();
        async move { self.0.answer(&path) }.boxed()
    }
}

impl State {
    fn answer(&self, path: &str) -> Response<Body> {
        let mut inner = self.inner.lock();
        let document = match path.strip_prefix(PATH) {
            Some("/.well-known/openid-configuration") => {
                inner.fetches.discovery += 1;
                json!({
                    "issuer": self.issuer,
                    "jwks_uri": format!("{}/jwks", self.issuer),
                    "authorization_endpoint": format!("{}/authorize", self.issuer),
                    "token_endpoint": format!("{}/token", self.issuer),
                    "code_challenge_methods_supported": ["S256"],
                })
            }
            Some("/jwks") => {
                inner.fetches.keys += 1;
                let keys = inner.keys.iter().map(|key| key.public().clone()).collect();
                JwkSet::new(keys).to_value()
            }
            _ => return status(StatusCode::NOT_FOUND),
        };
        if inner.broken {
            return status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mut response = Response::new(Body::full(document.to_string()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
