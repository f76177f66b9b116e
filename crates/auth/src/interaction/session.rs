//! The login session of a browser: a random token in a cookie, of which the store knows the hash (SEC-55).

use axum::response::Response;
use http::HeaderMap;
use model::id::Id;
use model::secret::{self, Secret, TokenHash};
use model::session::Session;
use model::user::User;

use crate::cx::Cx;
use crate::failure::Internal;

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    /// The hash of its cookie.
    pub(crate) hash: TokenHash,
    /// The session behind it.
    pub(crate) session: Session,
    /// Whose it is.
    pub(crate) user: User,
}

/// A session that has just begun, with the secret for its cookie.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) session: Session,
    token: Secret<String>,
}

/// The cookie: several realms may share a host.
fn cookie_name(cx: &Cx) -> String {
    format!("sekisho-session-{}", cx.realm.config.name)
}

/// The session of this browser, if it has one that still holds and its user may still log in. Its use is written down
/// from time to time.
pub(crate) async fn of_browser(cx: &Cx, headers: &HeaderMap) -> Result<Option<Browser>, Internal> {
    let name = cookie_name(cx);
    let Some(token) = cx.realm.cookies().get(headers, &name) else {
        return Ok(None);
    };
    let hash = TokenHash::of(token);
    let lifetimes = &cx.realm.config.lifetimes;
    let found = store::session::load(&cx.app.store, hash).await?;
    let Some(mut session) = found.filter(|session| {
        session.realm == cx.realm.config.name && session.check(lifetimes, cx.now).is_ok()
    }) else {
        return Ok(None);
    };
    if session.needs_touch(lifetimes, cx.now) {
        session.last_seen_at = cx.now;
        store::session::touch(
            &cx.app.store,
            session.id,
            cx.now,
            session.expires_at(lifetimes),
        )
        .await?;
    }
    let user = store::user::by_id(&cx.app.store, session.user)
        .await?
        .filter(|user| !user.disabled);
    Ok(user.map(|user| Browser {
        hash,
        session,
        user,
    }))
}

/// Begins a session under a new name, and ends the one that the browser had before (SEC-55). None if the user has got another
/// password meanwhile, or may not log in any more.
pub(crate) async fn begin(
    cx: &Cx,
    user: &User,
    before: Option<Browser>,
) -> Result<Option<Begun>, Internal> {
    let Some(password) = &user.password else {
        return Ok(None);
    };
    let token = secret::token(&cx.random()?);
    let session = Session::begin(
        Id::new(cx.now, cx.random()?),
        cx.realm.config.name.clone(),
        user.id,
        cx.now,
    );
    let expires_at = session.expires_at(&cx.realm.config.lifetimes);
    let begun = store::session::begin(
        &cx.app.store,
        TokenHash::of(token.expose()),
        &session,
        expires_at,
        password,
    )
    .await?;
    if !begun {
        return Ok(None);
    }
    if let Some(before) = before {
        store::session::delete(&cx.app.store, before.hash).await?;
    }
    Ok(Some(Begun { session, token }))
}

/// Gives the browser the secret of its new session. The cookie ends with the browser; the session ends by its times.
pub(crate) fn set_cookie(cx: &Cx, response: &mut Response, begun: &Begun) {
    cx.realm
        .cookies()
        .set(response, &cookie_name(cx), begun.token.expose(), None);
}

/// Takes the cookie away.
pub(crate) fn clear_cookie(cx: &Cx, response: &mut Response) {
    cx.realm.cookies().clear(response, &cookie_name(cx));
}
