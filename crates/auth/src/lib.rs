//! The authorization server: OAuth 2.1 and OpenID Connect endpoints, login and consent.
//!
//! The map, in the order of a request:
//!
//! - [`router`] lists every URL; [`AuthServer`] finds the realm by host and path and hands it over ([`realm`], [`cx`]);
//! - `metadata`, `jwks`, `cors`: what clients read first;
//! - `authorize`: from an authorization request to its first page or its refusal; `client`: who is asking, known by the
//!   configuration, by a metadata document or by a registration;
//! - `interaction`: login, consent and what comes next; `pages`, `texts`, `stylesheet`, `headers`: what people see;
//! - `register`: how clients make themselves known;
//! - `token`, `revoke`, `userinfo`, `end_session`: what clients and users do afterwards.
//!
//! To add one more endpoint: its file, its line in [`router`], its member in `metadata`, its file in `tests/`. To add
//! one more page: a template, a context with samples in `pages`, its sentences in `texts`. To add a rule about
//! authorization requests: a line in `authorize::rules::RULES`.
//!
//! Invariants: nothing is sent to a client without a `VerifiedRedirect`; nothing is stored for a client that nobody has
//! consented to, but a bounded number of registrations for an hour; no page loads anything from elsewhere or needs a script.

mod cx;
mod failure;
mod metrics;
mod realm;

mod cors;
mod jwks;
mod keys;
mod metadata;
mod origin;

mod authorize;
mod client;

mod about;
mod cookies;
mod declared_users;
mod headers;
mod identified;
mod interaction;
mod pages;
pub mod password_pool;
mod queues;
mod request_body;
mod source;
mod stylesheet;
mod texts;

mod access_token;
mod answer;
mod bearer;
mod buckets;
mod end_session;
mod guesses;
mod register;
mod revoke;
mod token;
mod userinfo;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode, Uri};
use model::clock::Clock;
use model::realm::{Realm, RealmName};
use net::body::Body;
use net::edge::hosts::host_of;
use net::edge::{Peer, Site};
use net::egress::budget;
use net::egress::connect::Connector;
use net::egress::documents::WallClock;
use net::egress::rules::Rules;
use tower::ServiceExt as _;

use crate::cx::{App, Cx};
pub use crate::declared_users::DeclaredUsers;
pub use crate::failure::Internal;
use crate::interaction::error_page::PageRefusal;
use crate::keys::Need;
pub use crate::metrics::Metrics;
pub use crate::origin::{AtOrigin, PATHS as ORIGIN_PATHS};
use crate::password_pool::PasswordPool;
use crate::realm::ServedRealm;

/// What is configured about the authorization server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The realms to serve.
    pub realms: Vec<Realm>,
    /// Which addresses may be dialled for what the operator configured: the `jwks_uri` of registered clients.
    pub operators_rules: Rules,
    /// How much fetching strangers may cause, over all realms (SEC-27).
    pub budgets: budget::Settings,
}

impl Settings {
    /// These realms, and the defaults of everything else.
    pub fn new(realms: Vec<Realm>) -> Self {
        Self {
            realms,
            operators_rules: Rules::default(),
            budgets: budget::Settings::default(),
        }
    }
}

/// What the authorization server needs of the process that it lives in.
pub struct Parts {
    /// Where everything is kept, and what seals cookies.
    pub store: store::Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Dials out to what the operator named.
    pub connector: Arc<Connector>,
    /// Dials out to what strangers name.
    pub strangers: Arc<Connector>,
    /// Tells the wall time to caches of documents.
    pub wall: WallClock,
    /// What is counted.
    pub metrics: Metrics,
    /// Checks passwords (SEC-53, SEC-79).
    pub passwords: PasswordPool,
    /// Says when logins may begin.
    pub declared_users: DeclaredUsers,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

/// Every URL of the authorization server, below the issuer of a realm.
fn router() -> Router {
    let for_scripts = Router::new()
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::get_metadata),
        )
        .route(
            "/.well-known/openid-configuration",
            get(metadata::get_metadata),
        )
        .route("/jwks", get(jwks::get_jwks))
        .route("/token", post(token::post_token))
        .route("/revoke", post(revoke::post_revoke))
        .route("/register", post(register::post_register))
        .route(
            "/register/{client_id}",
            get(register::manage::get_registration)
                .put(register::manage::put_registration)
                .delete(register::manage::delete_registration),
        )
        .route(
            "/userinfo",
            get(userinfo::get_userinfo).post(userinfo::get_userinfo),
        )
        .layer(from_fn(cors::layer));
    let for_people = Router::new()
        .route("/", get(about::get_about))
        .route(
            "/authorize",
            get(authorize::get_authorize).post(authorize::post_authorize),
        )
        .route(
            "/login",
            get(interaction::login::get_login).post(interaction::login::post_login),
        )
        .route(
            "/consent",
            get(interaction::consent::get_consent).post(interaction::consent::post_consent),
        )
        .route(
            "/logout",
            get(end_session::get_logout).post(end_session::post_logout),
        )
        .route(stylesheet::ROUTE, get(stylesheet::get_stylesheet));
    for_scripts.merge(for_people).fallback(not_found)
}

/// Everything else below an issuer.
async fn not_found(cx: Cx) -> axum::response::Response {
    PageRefusal::NotFound.into_response(&cx)
}

/// The authorization server, as a site for all hosts of its realms.
#[derive(Debug, Clone)]
pub struct AuthServer {
    app: Arc<App>,
    router: Router,
}

impl AuthServer {
    /// Puts the server together.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self {
            app: Arc::new(App::new(parts, settings)),
            router: router(),
        }
    }

    /// Makes the keys for the access tokens of all realms, or reads them. Without it, the first request that needs a key
    /// does so.
    pub async fn prepare(&self) -> Result<(), Internal> {
        self.prepare_keys(Need::AccessTokens).await
    }

    /// Makes the other keys, which can take a second, so that no request has to wait for them.
    pub async fn prepare_rest(&self) -> Result<(), Internal> {
        self.prepare_keys(Need::All).await
    }

    async fn prepare_keys(&self, need: Need) -> Result<(), Internal> {
        let now = self.app.clock.now();
        for realm in self.app.realms().iter() {
            self.app
                .keys
                .of(&self.app.store, &realm.config, need, now)
                .await?;
        }
        Ok(())
    }

    /// Serves other realms from now on; requests under way keep theirs.
    pub fn replace_realms(&self, realms: Vec<Realm>) {
        self.app.replace_realms(realms);
    }

    /// The hosts of the realms, without ports: where this site wants to be found.
    pub fn hosts(&self) -> Vec<String> {
        self.app.realms().hosts()
    }

    /// Whether a path of a host belongs to a realm, for who serves several sites under one host.
    pub fn serves(&self, host: &str, uri: &Uri) -> bool {
        self.app.realms().find(host, None, uri).is_some()
    }

    /// The site of one realm and nothing else, for who has found out which realm a request is for: a host
    /// may have another name outside, and a port another number (SEC-84).
    pub fn realm(&self, name: &str) -> RealmSite {
        RealmSite {
            server: self.clone(),
            realm: name.into(),
        }
    }

    /// A realm under [`ORIGIN_PATHS`] of an origin that is not its own.
    pub fn at_origin(&self, realm: RealmName) -> AtOrigin {
        AtOrigin {
            server: self.clone(),
            realm,
        }
    }

    async fn answer(
        &self,
        request: http::Request<Body>,
        peer: Peer,
        realm: Option<&str>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let located = if let Some(name) = realm {
            self.app.realms().find_in(name, &parts.uri)
        } else {
            let probe = http::Request::from_parts(parts.clone(), ());
            let port = port_of(&parts);
            host_of(&probe)
                .ok()
                .and_then(|host| self.app.realms().find(&host, port, &parts.uri))
        };
        let Some(located) = located else {
            return headers::bare(StatusCode::NOT_FOUND, "not found\n").map(Body::new);
        };
        let request = http::Request::from_parts(parts, body);
        self.answer_in(located.realm, located.target, request, peer)
            .await
    }

    /// Answers for a realm; the target is the path and query within it.
    async fn answer_in(
        &self,
        realm: Arc<ServedRealm>,
        target: Uri,
        request: http::Request<Body>,
        peer: Peer,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let cx = Cx::new(Arc::clone(&self.app), realm, peer, &parts.headers);
        parts.uri = target;
        parts.extensions.insert(cx);
        let request = Request::from_parts(parts, axum::body::Body::new(body));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// The port that the request was sent to, as the client wrote it.
fn port_of(parts: &http::request::Parts) -> Option<u16> {
    let stated = parts
        .headers
        .get(http::header::HOST)
        .and_then(|value| value.to_str().ok());
    let authority = parts
        .uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or(stated)?;
    authority.parse::<http::uri::Authority>().ok()?.port_u16()
}

impl Site for AuthServer {
    fn call(&self, request: http::Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.answer(request, peer.clone(), None).boxed()
    }
}

/// One realm of the server; made by [`AuthServer::realm`].
#[derive(Debug, Clone)]
pub struct RealmSite {
    server: AuthServer,
    realm: Box<str>,
}

impl Site for RealmSite {
    fn call(&self, request: http::Request<Body>, peer: &Peer) -> BoxFuture<'_, Response<Body>> {
        self.server
            .answer(request, peer.clone(), Some(&self.realm))
            .boxed()
    }
}
