//! From an accepted request to its answer: which page comes next, and how a browser gets there.
//!
//! The state is in a sealed cookie ([`flow`]); what comes next is decided by [`model::interaction::next_step`], a pure
//! function; every page asks it anew, so that no page can be skipped by knowing its address.

pub(crate) mod asker;
mod attempt;
pub(crate) mod consent;
mod device;
pub(crate) mod error_page;
pub(crate) mod flow;
pub(crate) mod forgery;
pub(crate) mod login;
pub(crate) mod session;
pub(crate) mod visit;

use axum::response::Response;
use http::{HeaderMap, Uri};
use model::consent::Consent;
use model::interaction::{Interaction, Step};
use model::session::Session;
use oauth::error::{ErrorCode, OauthError};
use oauth::form::Form;

use crate::authorize::redirect::VerifiedRedirect;
use crate::authorize::respond::Granting;
use crate::authorize::{departure, respond};
use crate::client::{self, Purpose};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers;
use crate::identified::Identified;
use crate::interaction::error_page::PageRefusal;
use crate::interaction::flow::KeepError;
use crate::interaction::session::Browser;
pub(crate) use crate::interaction::visit::Visit;
use crate::pages::Frame;
use crate::texts::Language;

/// What the pages of a flow have around them, in the language that the client or else the browser asks for.
pub(crate) fn frame(cx: &Cx, interaction: &Interaction) -> Frame {
    let chosen = interaction
        .ui_locales
        .as_deref()
        .and_then(Language::from_ui_locales);
    Frame::new(&cx.realm, chosen.unwrap_or(cx.language))
}

/// Names the flow in the query of a page and in its forms.
pub(crate) const FLOW: &str = "flow";

/// Begins a flow in this browser.
pub(crate) async fn enter(
    cx: &Cx,
    headers: &HeaderMap,
    mut visit: Visit,
    identified: &mut Identified,
) -> Result<Response, PageRefusal> {
    match of_browser(cx, headers, &visit.interaction, identified).await {
        Ok((session, consents)) => {
            visit.session = session;
            visit.consents = consents;
            proceed(cx, headers, visit).await
        }
        // The client can wait for the store; the user of a page could only do the same (SEC-90).
        Err(internal) if internal.is_outage() => {
            refuse_at_once(cx, headers, &visit, &internal.told()).await
        }
        Err(internal) => Err(internal.into()),
    }
}

/// The session of this browser, and what its user agreed to before.
async fn of_browser(
    cx: &Cx,
    headers: &HeaderMap,
    interaction: &Interaction,
    identified: &mut Identified,
) -> Result<(Option<Session>, Vec<Consent>), Internal> {
    let Some(browser) = session::of_browser(cx, headers).await? else {
        return Ok((None, Vec::new()));
    };
    identified.user(&browser.user);
    let session = browser.session;
    let consents =
        store::consent::list(&cx.app.store, session.user, &interaction.terms.client_id).await?;
    Ok((Some(session), consents))
}

/// Finds the flow that a page or form names, and everything its next step depends on. The client is asked for again:
/// its document may have changed, its host may have been refused.
pub(crate) async fn visit(
    cx: &Cx,
    headers: &HeaderMap,
    flow: Option<&str>,
    identified: &mut Identified,
) -> Result<(Visit, Option<Browser>), PageRefusal> {
    let interaction = flow::open(cx, headers, flow.ok_or(PageRefusal::FlowLost)?)?;
    let known = client::find(
        cx,
        &interaction.terms.client_id,
        Purpose::Authorize(Some(&interaction.redirect_uri)),
    )
    .await
    .map_err(|error| PageRefusal::client(error, interaction.terms.client_id.as_str()))?;
    identified.client(&known.client.client_id);
    let requested = Some(&interaction.redirect_uri);
    let state = interaction.state.clone();
    let redirect = VerifiedRedirect::check(&known.client, requested, state)
        .map_err(|refusal| PageRefusal::redirect(refusal, &known.client, requested))?;
    let browser = session::of_browser(cx, headers).await?;
    let visit = Visit::new(interaction, known, redirect);
    let session = browser.as_ref().map(|browser| browser.session.clone());
    Ok((visit.with_session(cx, session).await?, browser))
}

/// The page or redirect that something came to, or the page that says why not.
pub(crate) fn answer(
    cx: &Cx,
    outcome: Result<Response, PageRefusal>,
    identified: Identified,
) -> Response {
    identified.said_beside(outcome.unwrap_or_else(|refusal| refusal.into_response(cx)))
}

/// The flow that the query of a page names.
pub(crate) fn flow_of(uri: &Uri) -> Option<String> {
    Form::parse_query(uri.query())
        .ok()?
        .get(FLOW)
        .map(str::to_owned)
}

/// Goes to the next step: a page of ours, or back to the client.
pub(crate) async fn proceed(
    cx: &Cx,
    headers: &HeaderMap,
    visit: Visit,
) -> Result<Response, PageRefusal> {
    let page = match visit.step(cx) {
        Step::Expired => return Err(PageRefusal::FlowLost),
        Step::Login(_) => "/login",
        Step::Consent(_) => "/consent",
        Step::LoginRequired => {
            let error = OauthError::new(ErrorCode::LoginRequired, "the user is not signed in");
            return refuse_at_once(cx, headers, &visit, &error).await;
        }
        Step::ConsentRequired => {
            let error = OauthError::new(
                ErrorCode::ConsentRequired,
                "the user has not consented to this",
            );
            return refuse_at_once(cx, headers, &visit, &error).await;
        }
        Step::Done => {
            let Some(session) = &visit.session else {
                return Err(PageRefusal::FlowLost);
            };
            let granted = match respond::grant(cx, &visit, session).await {
                Err(internal) if internal.is_outage() => {
                    return refuse_at_once(cx, headers, &visit, &internal.told()).await;
                }
                granted => granted?,
            };
            let mut response = match granted {
                Granting::Done(response) => response,
                Granting::Withheld(error) => {
                    return refuse_at_once(cx, headers, &visit, &error).await;
                }
            };
            flow::end(cx, &mut response, &visit.interaction);
            return Ok(response);
        }
    };
    let mut response = headers::see_other(&format!(
        "{}?{FLOW}={}",
        cx.realm.path(page),
        visit.interaction.id
    ));
    match flow::keep(cx, headers, &mut response, &visit.interaction) {
        Ok(()) => Ok(response),
        Err(KeepError::TooLong) => {
            let error = OauthError::new(
                ErrorCode::InvalidRequest,
                "the request is too long; hint: shorten `state`",
            );
            refuse_at_once(cx, headers, &visit, &error).await
        }
        Err(KeepError::Internal(internal)) => Err(internal.into()),
    }
}

/// Ends a flow with an error before anybody has acted in it.
async fn refuse_at_once(
    cx: &Cx,
    headers: &HeaderMap,
    visit: &Visit,
    error: &OauthError,
) -> Result<Response, PageRefusal> {
    let mut response = departure::refuse(cx, headers, &visit.known, &visit.redirect, error).await?;
    flow::end(cx, &mut response, &visit.interaction);
    Ok(response)
}

/// Ends a flow as the user decided, with an error for the client.
pub(crate) fn refuse(
    cx: &Cx,
    visit: &Visit,
    code: ErrorCode,
    description: &'static str,
) -> Response {
    let mut response = respond::refuse(cx, &visit.redirect, &OauthError::new(code, description));
    flow::end(cx, &mut response, &visit.interaction);
    response
}
