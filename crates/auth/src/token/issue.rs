//! Makes the tokens of one answer: access token (RFC 9068), ID token when `openid` was requested, refresh token.

use model::claims::subject::Subject;
use model::claims::{self, Grounds};
use model::client::Client;
use model::clock::Timestamp;
use model::id::Id;
use model::refresh::Family;
use model::session::Session;
use model::user::User;
use oauth::resource::Resource;
use oauth::response::token::TokenResponse;
use oauth::scope::ScopeSet;

use crate::answer::Refusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::keys::Need;
use crate::token::refusal;

/// `typ` of access tokens (RFC 9068 §2.1).
const ACCESS_TOKEN: &str = "at+jwt";
/// `typ` of ID tokens.
const ID_TOKEN: &str = "JWT";

/// What to make.
pub(super) struct Order<'a> {
    pub(super) client: &'a Client,
    /// Whom they are about.
    pub(super) subject: Subject<'a>,
    /// What they are part of: revoking it revokes them.
    pub(super) family: Id<Family>,
    /// When the user logged in, if they are about one.
    pub(super) auth_time: Option<Timestamp>,
    /// The login session in which they were granted.
    pub(super) session: Option<Id<Session>>,
    /// What the access token may do: what was granted, or less.
    pub(super) scope: &'a ScopeSet,
    /// Where it may do it.
    pub(super) resources: &'a [Resource],
    /// Whether an ID token is among them.
    pub(super) id_token: bool,
    /// For the ID token; only the first has it.
    pub(super) nonce: Option<&'a str>,
    /// The refresh token that comes with it.
    pub(super) refresh_token: Option<String>,
}

/// The user of a grant, as long as they may have tokens.
pub(super) async fn user(cx: &Cx, id: Id<User>) -> Result<User, Refusal> {
    let user = store::user::by_id(&cx.app.store, id)
        .await
        .map_err(Internal::new)?;
    user.filter(|user| !user.disabled)
        .ok_or_else(|| refusal::invalid_grant("the user may not log in any more").into())
}

/// Makes and signs.
pub(super) async fn tokens(cx: &Cx, order: &Order<'_>) -> Result<TokenResponse, Internal> {
    let realm = &cx.realm.config;
    let keys = cx
        .keys(if order.id_token {
            Need::All
        } else {
            Need::AccessTokens
        })
        .await?;
    let grounds = Grounds {
        realm,
        subject: order.subject,
        client_id: &order.client.client_id,
        scope: order.scope,
        auth_time: order.auth_time,
        session: order.session,
    };
    let token_id = claims::token_id(order.family, &cx.random()?);
    let access_token = claims::access_token(&grounds, order.resources, &token_id, cx.now);
    let access_token = keys
        .for_access_tokens()
        .sign_jwt(ACCESS_TOKEN, &access_token)
        .map_err(Internal::new)?;
    let id_token = if order.id_token {
        let id_token = claims::id_token(&grounds, order.nonce, cx.now);
        Some(
            keys.for_id_tokens(order.client.id_token_algorithm)
                .sign_jwt(ID_TOKEN, &id_token)
                .map_err(Internal::new)?,
        )
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_in: Some(realm.lifetimes.access_token.as_secs()),
        refresh_token: order.refresh_token.clone(),
        scope: Some(order.scope.to_string()),
        id_token,
    })
}
