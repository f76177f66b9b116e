//! The user information (OpenID Connect Core §5.3): claims about the user, for whoever holds a token with `openid`.

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use model::claims;
use model::scope_grant::OPENID;
use oauth::challenge::Challenge;
use oauth::error::ErrorCode;
use oauth::scope::ScopeSet;

use crate::access_token;
use crate::answer;
use crate::bearer;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::keys::Need;

/// Why there is no user information (RFC 6750 §3).
#[derive(Debug)]
enum Refused {
    /// No token at all: a challenge without an error.
    NoToken,
    /// The token is not good.
    Token(&'static str),
    /// The token lacks `openid`.
    Scope,
    /// Our fault.
    Internal(Internal),
}

impl From<Internal> for Refused {
    fn from(internal: Internal) -> Self {
        Self::Internal(internal)
    }
}

/// `GET /userinfo` and `POST /userinfo`
pub(crate) async fn get_userinfo(cx: Cx, headers: HeaderMap) -> Response {
    let mut identified = Identified::default();
    let response = match load(&cx, &headers, &mut identified).await {
        Ok(claims) => answer::json(StatusCode::OK, &claims),
        Err(Refused::NoToken) => challenged(
            StatusCode::UNAUTHORIZED,
            &Challenge::bearer().with("realm", cx.realm.config.issuer.as_str()),
        ),
        Err(Refused::Token(description)) => challenged(
            StatusCode::UNAUTHORIZED,
            &Challenge::bearer().with_error(ErrorCode::InvalidToken, description),
        ),
        Err(Refused::Scope) => challenged(
            StatusCode::FORBIDDEN,
            &Challenge::bearer()
                .with_error(ErrorCode::InsufficientScope, "the token lacks a scope")
                .with("scope", OPENID),
        ),
        Err(Refused::Internal(internal)) => {
            answer::refuse(&cx, &internal.into(), answer::Tried::Otherwise)
        }
    };
    identified.said_beside(response)
}

fn challenged(status: StatusCode, challenge: &Challenge) -> Response {
    let mut response = answer::empty(status);
    answer::challenge(&mut response, challenge);
    response
}

async fn load(
    cx: &Cx,
    headers: &HeaderMap,
    identified: &mut Identified,
) -> Result<claims::Claims, Refused> {
    let realm = &cx.realm.config;
    let unverified_jwt = bearer::token(headers).ok_or(Refused::NoToken)?;
    let keys = cx.keys(Need::AccessTokens).await?;
    let token = access_token::verify_signature(unverified_jwt, &keys, realm.issuer.as_str())
        .map_err(|_| Refused::Token("the token is not an access token of this server"))?;
    access_token::check_dates(&token, cx.now)
        .map_err(|_| Refused::Token("the token has expired"))?;
    if let Some(client_id) = token.client_id().and_then(|id| id.parse().ok()) {
        identified.client(&client_id);
    }
    let token_id = token.token_id().unwrap_or_default();
    if token_id.is_empty() || cx.app.store.revocations().is_revoked(token_id) {
        return Err(Refused::Token("the token has been revoked"));
    }
    if !token.has_scope(OPENID) {
        return Err(Refused::Scope);
    }
    let unknown = Refused::Token("the user of the token does not exist any more");
    let Some(id) = token.subject().and_then(|subject| subject.parse().ok()) else {
        return Err(unknown);
    };
    let user = store::user::by_id(&cx.app.store, id)
        .await
        .map_err(Internal::new)?;
    let Some(user) = user.filter(|user| user.realm == realm.name && !user.disabled) else {
        return Err(unknown);
    };
    identified.user(&user);
    let scope: ScopeSet = token
        .scopes()
        .into_iter()
        .filter_map(|scope| scope.parse().ok())
        .collect();
    Ok(claims::user_info(realm, &user, &scope))
}
