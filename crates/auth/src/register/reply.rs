//! What the endpoints of registration have in common: how a body is read, and what clients are told.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use model::client_policy;
use model::registration::Registered;
use model::secret::{self, Secret};
use oauth::auth_method::AuthMethod;
use oauth::challenge::Challenge;
use oauth::error::{ErrorCode, OauthError};
use oauth::metadata::registration::Registration;
use serde_json::{Map, Value};

use crate::answer;
use crate::client::refusal::ClientRefusal;
use crate::client::registered;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers;
use crate::request_body;

/// Why nothing is registered, read, changed or deleted.
#[derive(Debug)]
pub(super) enum Refused {
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

/// Reads the members of a body, whatever its media type says: nothing but JSON is understood.
pub(super) async fn read(body: Body) -> Result<Map<String, Value>, Refused> {
    let bytes = request_body::read_json(body).await?;
    oauth::metadata::registration::members(&bytes)
        .map_err(|error| Refused::from(ClientRefusal::from(error)))
}

/// A secret, if that is how the client wants to authenticate.
pub(super) fn new_secret(
    cx: &Cx,
    registration: &Registration,
) -> Result<Option<Secret<String>>, Internal> {
    match registration.auth_method() {
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            Ok(Some(secret::token(&cx.random()?)))
        }
        AuthMethod::None | AuthMethod::PrivateKeyJwt => Ok(None),
    }
}

/// What the client is told (RFC 7591 §3.2.1, RFC 7592 §3). Secrets are told once, when they are made (SEC-33).
pub(super) fn answer_of(
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

pub(super) fn refuse(cx: &Cx, refused: Refused) -> Response {
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

pub(super) fn off(cx: &Cx) -> OauthError {
    let hint = if cx.realm.config.cimd.mode == client_policy::Mode::Off {
        "this server registers no clients by itself; hint: ask its operator for a client_id"
    } else {
        "this server registers no clients by itself; hint: use the https URL of a client metadata document as client_id, or ask its operator for a client_id or to set `registration`"
    };
    OauthError::new(ErrorCode::AccessDenied, hint)
}
