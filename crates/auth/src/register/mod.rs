//! Dynamic client registration (RFC 7591): from what a client says of itself to its id, or to a refusal that says what to do.
//!
//! Is it switched on; does the asker have the token that it takes; read the body; check it by the same rules as a document;
//! keep it within the bounds. Nobody vouches for what a client says here: the consent page tells people so.

pub(crate) mod manage;

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::client_policy;
use model::rate::TooOften;
use model::registration::{self, FIRST_USE, Mode, Registered};
use model::secret::{self, Secret, TokenHash};
use oauth::auth_method::AuthMethod;
use oauth::challenge::Challenge;
use oauth::error::{ErrorCode, OauthError};
use oauth::metadata::registration::Registration;
use serde_json::{Map, Value};
use store::registration::{Bounds, Inserted};

use crate::answer;
use crate::bearer;
use crate::client::refusal::ClientRefusal;
use crate::client::registered;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::guesses;
use crate::headers;
use crate::identified::Identified;
use crate::request_body;
use crate::source;

/// Why nothing is registered, read, changed or deleted.
#[derive(Debug)]
enum Refused {
    /// The realm registers nobody.
    Off,
    /// It takes a token, and there is none: a challenge without an error (RFC 6750 §3.1).
    NoToken,
    /// The token is not one of those that it takes. An unknown client looks alike (RFC 7592 §2.1).
    Token(&'static str),
    /// Its network has done something too often.
    TooOften {
        /// What, and what to do.
        description: &'static str,
        /// How long to wait.
        retry_after: Duration,
    },
    /// The client's fault.
    Oauth(OauthError),
    /// Ours.
    Internal(Internal),
}

impl From<OauthError> for Refused {
    fn from(error: OauthError) -> Self {
        Self::Oauth(error)
    }
}

impl From<Internal> for Refused {
    fn from(internal: Internal) -> Self {
        Self::Internal(internal)
    }
}

impl From<ClientRefusal> for Refused {
    fn from(refusal: ClientRefusal) -> Self {
        Self::Oauth(registered::refused(&refusal))
    }
}

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

/// Reads the members of a body, whatever its media type says: nothing but JSON is understood.
async fn read(body: Body) -> Result<Map<String, Value>, Refused> {
    let bytes = request_body::read_json(body).await?;
    oauth::metadata::registration::members(&bytes)
        .map_err(|error| Refused::from(ClientRefusal::from(error)))
}

/// A secret, if that is how the client wants to authenticate.
fn new_secret(cx: &Cx, registration: &Registration) -> Result<Option<Secret<String>>, Internal> {
    match registration.auth_method() {
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            Ok(Some(secret::token(&cx.random()?)))
        }
        AuthMethod::None | AuthMethod::PrivateKeyJwt => Ok(None),
    }
}

/// What the client is told (RFC 7591 §3.2.1, RFC 7592 §3). Secrets are told once, when they are made (SEC-33).
fn answer_of(
    cx: &Cx,
    kept: &Registered,
    mut document: Map<String, Value>,
    access_token: &str,
    new_secret: Option<&Secret<String>>,
) -> Map<String, Value> {
    let client_id = kept.client_id.as_str();
    let uri = cx
        .realm
        .config
        .issuer
        .join(&format!("/register/{client_id}"));
    document.insert("client_id".to_owned(), client_id.into());
    document.insert(
        "client_id_issued_at".to_owned(),
        kept.created_at.seconds().into(),
    );
    document.insert("registration_client_uri".to_owned(), uri.into());
    document.insert("registration_access_token".to_owned(), access_token.into());
    if let Some(secret) = new_secret {
        document.insert("client_secret".to_owned(), secret.expose().as_str().into());
        // It lives as long as the registration.
        document.insert("client_secret_expires_at".to_owned(), 0.into());
    }
    document
}

fn refuse(cx: &Cx, refused: Refused) -> Response {
    let issuer = cx.realm.config.issuer.as_str();
    let mut later = None;
    let (status, error, challenge) = match refused {
        Refused::Internal(internal) => {
            return answer::refuse(cx, &internal.into(), answer::Tried::Otherwise);
        }
        Refused::Off => (StatusCode::FORBIDDEN, off(cx), None),
        Refused::NoToken => (
            StatusCode::UNAUTHORIZED,
            OauthError::new(
                ErrorCode::InvalidToken,
                "registration takes a token that the operator of this server gives out; hint: send it as `Authorization: Bearer`",
            ),
            Some(Challenge::bearer().with("realm", issuer)),
        ),
        Refused::Token(description) => (
            StatusCode::UNAUTHORIZED,
            OauthError::new(ErrorCode::InvalidToken, description),
            Some(Challenge::bearer().with_error(ErrorCode::InvalidToken, description)),
        ),
        Refused::TooOften {
            description,
            retry_after,
        } => {
            later = Some(retry_after);
            (
                StatusCode::TOO_MANY_REQUESTS,
                OauthError::new(ErrorCode::TemporarilyUnavailable, description),
                None,
            )
        }
        Refused::Oauth(error) => (StatusCode::BAD_REQUEST, error, None),
    };
    tracing::info!(%error, "registration refused");
    let mut response = answer::error(status, &error);
    if let Some(challenge) = challenge {
        answer::challenge(&mut response, &challenge);
    }
    if let Some(retry_after) = later {
        headers::retry_after(&mut response, retry_after);
    }
    response
}

fn off(cx: &Cx) -> OauthError {
    let hint = if cx.realm.config.cimd.mode == client_policy::Mode::Off {
        "this server registers no clients by itself; hint: ask its operator for a client_id"
    } else {
        "this server registers no clients by itself; hint: use the https URL of a client metadata document as client_id, or ask its operator for a client_id or to set `registration`"
    };
    OauthError::new(ErrorCode::AccessDenied, hint)
}
