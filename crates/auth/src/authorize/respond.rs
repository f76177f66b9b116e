//! The two answers a client can get: a code, or an error. Both demand a verified redirect, both carry `iss` (AS-7, SEC-8).

use axum::response::Response;
use model::client::Provenance;
use model::grant::{Grant, Stage};
use model::granted::Granted;
use model::registration;
use model::secret::{self, TokenHash};
use model::session::Session;
use oauth::error::{ErrorCode, OauthError};
use oauth::response::authorization::{AuthorizationResponse, Outcome};
use store::grant::Issued;

use crate::authorize::redirect::VerifiedRedirect;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers;
use crate::interaction::visit::Visit;

/// What came of a request that nothing speaks against any more.
pub(crate) enum Granting {
    /// The way back with a code.
    Done(Response),
    /// Something speaks against it after all.
    Withheld(OauthError),
}

/// Issues a code: 256 random bits, of which only the hash is stored (SEC-3). An error for the client if the session has
/// ended, or the consent was taken back, meanwhile (SEC-46).
pub(crate) async fn grant(cx: &Cx, visit: &Visit, session: &Session) -> Result<Granting, Internal> {
    let interaction = &visit.interaction;
    let code = secret::token(&cx.random()?);
    let grant = Grant {
        granted: Granted {
            terms: interaction.terms.clone(),
            user: session.user,
            session: Some(session.id),
            auth_time: session.auth_time,
            may_refresh: visit.known.client.may_refresh,
        },
        redirect_uri: interaction.redirect_uri.clone(),
        challenge: interaction.challenge,
        issued_at: cx.now,
        expires_at: cx.now + cx.realm.config.lifetimes.code,
        stage: Stage::Issued,
    };
    if let Provenance::Registered { expires_at, .. } = visit.known.client.provenance
        && registration::needs_touch(expires_at, cx.now)
    {
        store::registration::logged_in(&cx.app.store, &grant.granted.terms.client_id, cx.now)
            .await?;
    }
    let client = &visit.known.client;
    let ask = (!client.skip_consent).then(|| interaction.ask(client.document_hash()));
    let hash = TokenHash::of(code.expose());
    let (error, description) = match store::grant::issue(&cx.app.store, hash, &grant, ask.as_ref())
        .await?
    {
        Issued::Stored => {
            cx.app.metrics.codes.inc();
            tracing::info!(client.id = %grant.granted.terms.client_id, user.id = %grant.granted.user, scope = %grant.granted.terms.scope, "issued a code");
            let code = Outcome::Code(code.expose());
            return Ok(Granting::Done(send(cx, &visit.redirect, code)));
        }
        Issued::SessionEnded => (
            ErrorCode::LoginRequired,
            "the session of the user has ended meanwhile",
        ),
        Issued::ConsentRevoked => (
            ErrorCode::ConsentRequired,
            "the consent of the user was taken back meanwhile",
        ),
    };
    Ok(Granting::Withheld(OauthError::new(error, description)))
}

/// Tells the client that it gets nothing, and why.
pub(crate) fn refuse(cx: &Cx, redirect: &VerifiedRedirect, error: &OauthError) -> Response {
    cx.app.metrics.refusals.inc();
    tracing::info!(%error, "authorization refused by redirect");
    send(cx, redirect, Outcome::Error(error))
}

/// Where [`refuse`] sends the browser.
pub(crate) fn refusal_url(cx: &Cx, redirect: &VerifiedRedirect, error: &OauthError) -> String {
    url(cx, redirect, Outcome::Error(error))
}

fn send(cx: &Cx, redirect: &VerifiedRedirect, outcome: Outcome<'_>) -> Response {
    headers::see_other(&url(cx, redirect, outcome))
}

fn url(cx: &Cx, redirect: &VerifiedRedirect, outcome: Outcome<'_>) -> String {
    let response = AuthorizationResponse {
        issuer: &cx.realm.config.issuer,
        state: redirect.state(),
        outcome,
    };
    response.redirect_url(redirect.uri())
}
