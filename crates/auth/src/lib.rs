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
mod server;
mod settings;

mod cors;
mod jwks;
mod keys;
mod metadata;
mod origin;
pub mod rotation;

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

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::cx::Cx;
pub use crate::declared_users::DeclaredUsers;
pub use crate::failure::Internal;
use crate::interaction::error_page::PageRefusal;
pub use crate::metrics::Metrics;
pub use crate::origin::{AtOrigin, PATHS as ORIGIN_PATHS};
pub use crate::server::{AuthServer, RealmSite};
pub use crate::settings::{Outgoing, Parts, Settings};

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

impl AuthServer {
    /// Puts the server together.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self::with_routes(parts, settings, router())
    }
}
