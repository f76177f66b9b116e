//! What a client does with its registration afterwards (RFC 7592): read it, change it, delete it, with the token that it
//! got when it registered.

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::rate::TooOften;
use model::registration::{Mode, Registered, may_be_registered};
use model::secret::{Secret, TokenHash};
use oauth::auth_method::AuthMethod;
use oauth::client_id::ClientId;
use oauth::error::{ErrorCode, OauthError};
use serde_json::{Map, Value};

use crate::answer;
use crate::bearer;
use crate::client::registered;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::register::reply::{self, Refused};
use crate::source;

/// `GET /register/{client_id}`
pub(crate) async fn get_registration(
    cx: Cx,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut identified = Identified::default();
    let answer = async {
        let (kept, token) = authorize(&cx, &client_id, &headers, &mut identified).await?;
        let document = registered::document_of(&kept)?;
        Ok(reply::answer_of(&cx, &kept, document, token, None))
    };
    let answer = answer.await;
    identified.said_beside(respond(&cx, answer))
}

/// `PUT /register/{client_id}`
pub(crate) async fn put_registration(
    cx: Cx,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut identified = Identified::default();
    let answer = async {
        let (kept, token) = authorize(&cx, &client_id, &headers, &mut identified).await?;
        replace(&cx, kept, token, body).await
    };
    let answer = answer.await;
    identified.said_beside(respond(&cx, answer))
}

/// `DELETE /register/{client_id}`
pub(crate) async fn delete_registration(
    cx: Cx,
    Path(client_id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut identified = Identified::default();
    let done = async {
        let (kept, _) = authorize(&cx, &client_id, &headers, &mut identified).await?;
        count_change(&cx)?;
        delete(&cx, &kept).await?;
        Ok(())
    };
    let response = match done.await {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(refused) => reply::refuse(&cx, refused),
    };
    identified.said_beside(response)
}

fn respond(cx: &Cx, answer: Result<Map<String, Value>, Refused>) -> Response {
    match answer {
        Ok(answer) => answer::json(StatusCode::OK, &answer),
        Err(refused) => reply::refuse(cx, refused),
    }
}

/// The registration that a token belongs to. A client that is gone looks like a wrong token (RFC 7592 §2.1).
async fn authorize<'h>(
    cx: &Cx,
    client_id: &str,
    headers: &'h HeaderMap,
    identified: &mut Identified,
) -> Result<(Registered, &'h str), Refused> {
    let realm = &cx.realm.config;
    if realm.registration.mode == Mode::Off {
        return Err(Refused::Off);
    }
    let token = bearer::token(headers).ok_or(Refused::NoToken)?;
    let unknown = || Refused::Token("the registration access token is unknown");
    let client_id: ClientId = client_id.parse().map_err(|_| unknown())?;
    if !may_be_registered(&client_id) {
        return Err(unknown());
    }
    let kept = store::registration::load(&cx.app.store, &realm.name, &client_id, cx.now)
        .await
        .map_err(Internal::from)?;
    let kept = kept.filter(|kept| kept.access_token.is(&TokenHash::of(token)));
    let kept = kept.ok_or_else(unknown)?;
    identified.client(&kept.client_id);
    Ok((kept, token))
}

/// Changes are as frequent as registrations may be, and no more: otherwise whoever registers once may write without end, and
/// whoever deletes may register without end (SEC-33).
fn count_change(cx: &Cx) -> Result<(), Refused> {
    let realm = &cx.realm.config;
    let (changes, limit) = (&cx.app.registration_changes, realm.registration.changes());
    let name = (realm.name.clone(), source::widest(cx.peer.address));
    match changes.spend(name, &limit, cx.now, || false) {
        Ok(_) => Ok(()),
        Err(TooOften { retry_after }) => Err(Refused::TooOften {
            description: "too many registrations were changed or deleted from this network; hint: wait as long as `Retry-After` says",
            retry_after,
        }),
    }
}

/// Puts other metadata in the place of all that was registered (RFC 7592 §2.2). Users are asked again where it matters to
/// them (SEC-19).
async fn replace(
    cx: &Cx,
    mut kept: Registered,
    token: &str,
    body: Body,
) -> Result<Map<String, Value>, Refused> {
    let document = reply::read(body).await?;
    let invalid =
        |description: &'static str| OauthError::new(ErrorCode::InvalidClientMetadata, description);
    if document.get("client_id").and_then(Value::as_str) != Some(kept.client_id.as_str()) {
        return Err(invalid("`client_id` must be that of the registration").into());
    }
    if let Some(secret) = document.get("client_secret").and_then(Value::as_str)
        && !kept
            .secret
            .is_some_and(|stored| stored.is(&TokenHash::of(secret)))
    {
        return Err(invalid("`client_secret` is not that of the registration").into());
    }
    let registration = registered::check(cx, document)?;
    let mut new_secret: Option<Secret<String>> = None;
    match registration.auth_method() {
        AuthMethod::None | AuthMethod::PrivateKeyJwt => kept.secret = None,
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost if kept.secret.is_some() => {}
        AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => {
            new_secret = reply::new_secret(cx, &registration)?;
            kept.secret = new_secret
                .as_ref()
                .map(|secret| TokenHash::of(secret.expose()));
        }
    }
    count_change(cx)?;
    let document = registration.document();
    let metadata = Value::Object(document.clone()).to_string();
    let there =
        store::registration::replace(&cx.app.store, &kept.client_id, &metadata, kept.secret)
            .await
            .map_err(Internal::from)?;
    if !there {
        return Err(Refused::Token("the registration access token is unknown"));
    }
    tracing::info!(client.id = %kept.client_id, "registration changed");
    Ok(reply::answer_of(
        cx,
        &kept,
        document,
        token,
        new_secret.as_ref(),
    ))
}

/// Forgets the client, and ends all that was granted to it (RFC 7592 §2.3).
async fn delete(cx: &Cx, kept: &Registered) -> Result<(), Internal> {
    let (store, lifetimes) = (&cx.app.store, &cx.realm.config.lifetimes);
    let grants = store::registration::delete(store, &kept.client_id, lifetimes, cx.now).await?;
    tracing::info!(client.id = %kept.client_id, grants, "registration deleted");
    Ok(())
}
