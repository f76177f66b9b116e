//! Dynamic client registration (RFC 7591): from what a client says of itself to its id, or to a refusal that says what to do.
//!
//! Is it switched on; does the asker have the token that it takes; read the body; check it by the same rules as a document;
//! keep it within the bounds. Nobody vouches for what a client says here: the consent page tells people so.

pub(crate) mod manage;
mod reply;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::rate::TooOften;
use model::registration::{self, FIRST_USE, Mode, Registered};
use model::secret::{self, TokenHash};
use serde_json::{Map, Value};
use store::registration::{Bounds, Inserted};

use crate::answer;
use crate::bearer;
use crate::client::registered;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::guesses;
use crate::identified::Identified;
use crate::register::reply::{Refused, answer_of, new_secret, read, refuse};
use crate::source;

/// `POST /register`
pub(crate) async fn post_register(cx: Cx, headers: HeaderMap, body: Body) -> Response {
    let mut identified = Identified::default();
    let response = match register(&cx, &headers, body, &mut identified).await {
        Ok(answer) => answer::json(StatusCode::CREATED, &answer),
        Err(refused) => refuse(&cx, refused),
    };
    identified.said_beside(response)
}

async fn register(
    cx: &Cx,
    headers: &HeaderMap,
    body: Body,
    identified: &mut Identified,
) -> Result<Map<String, Value>, Refused> {
    let realm = &cx.realm.config;
    let policy = &realm.registration;
    match policy.mode {
        Mode::Off => return Err(Refused::Off),
        Mode::Open => {}
        Mode::Token => {
            let token = bearer::token(headers).ok_or(Refused::NoToken)?;
            check_initial_access_token(cx, token)?;
        }
    }
    let document = read(body).await?;
    let registration = registered::check(cx, document)?;
    let secret = new_secret(cx, &registration)?;
    let access_token = secret::token(&cx.random()?);
    let client_id = registration::client_id(&cx.random()?)
        .ok_or_else(|| Internal::new("a client id that is none"))?;
    let kept = Registered {
        client_id,
        realm: realm.name.clone(),
        metadata: Value::Object(registration.document()).to_string(),
        secret: secret.as_ref().map(|secret| TokenHash::of(secret.expose())),
        access_token: TokenHash::of(access_token.expose()),
        source: source::name(cx.peer.address),
        site: source::widest(cx.peer.address),
        created_at: cx.now,
        used_at: None,
        expires_at: cx.now + FIRST_USE,
    };
    let bounds = Bounds {
        per_source: policy.unused_per_address,
        per_site: policy.unused_per_site(),
        in_all: policy.unused,
    };
    match store::registration::insert(&cx.app.store, &kept, bounds)
        .await
        .map_err(Internal::from)?
    {
        Inserted::Kept => {}
        Inserted::TooMany { until } => {
            return Err(Refused::TooOften {
                description: "too many registrations of this network that nobody logged in with; hint: use the one you have, or try again later",
                retry_after: until.since(cx.now),
            });
        }
    }
    cx.app.metrics.registrations.inc();
    identified.client(&kept.client_id);
    tracing::info!(
        client.id = %kept.client_id, client.name = registration.metadata.client_name.as_ref().map(ToString::to_string),
        "registered a client"
    );
    Ok(answer_of(
        cx,
        &kept,
        registration.document(),
        access_token.expose(),
        secret.as_ref(),
    ))
}

/// Guessing is slow (SEC-53).
fn check_initial_access_token(cx: &Cx, token: &str) -> Result<(), Refused> {
    let realm = &cx.realm.config;
    let secret = guesses::Secret::InitialAccessToken(realm.name.clone());
    let is_right = || realm.registration.knows_token(token);
    match cx
        .app
        .guesses
        .check(secret, cx.peer.address, cx.now, is_right)
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refused::Token("the initial access token is unknown")),
        Err(TooOften { retry_after }) => Err(Refused::TooOften {
            description: "too many wrong initial access tokens came from this network; hint: wait as long as `Retry-After` says",
            retry_after,
        }),
    }
}
