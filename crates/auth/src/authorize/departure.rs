//! Before an error leaves for a place that nobody here trusts, the human is told and decides (AS-23, RFC 9700 §4.11.2).

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use oauth::error::{ErrorCode, OauthError};
use oauth::redirect_uri::RedirectUri;

use crate::answer;
use crate::authorize::redirect::VerifiedRedirect;
use crate::authorize::respond;
use crate::client::KnownClient;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::FormAction;
use crate::interaction::{asker, session};
use crate::pages::{self, DeparturePage};

/// Refuses a request on which no human has acted yet: by redirect, or with a page that has the same redirect behind a
/// link. Otherwise whoever publishes a document could have this server send people anywhere.
pub(crate) async fn refuse(
    cx: &Cx,
    headers: &HeaderMap,
    known: &KnownClient,
    redirect: &VerifiedRedirect,
    error: &OauthError,
) -> Result<Response, Internal> {
    let trusted = match is_trusted(cx, headers, known, redirect.uri()).await {
        // Whom the user has let in can't be known now.
        Err(internal) if internal.is_outage() => false,
        known => known?,
    };
    if trusted {
        return Ok(respond::refuse(cx, redirect, error));
    }
    tracing::info!(client.id = %known.client.client_id, %error, "authorization refused with a page before the redirect");
    let page = DeparturePage {
        frame: cx.frame(),
        returns_to: asker::returns_to(redirect.uri()),
        asker: asker::asker(known),
        error: error.code().as_str(),
        description: error.description().to_owned(),
        target: respond::refusal_url(cx, redirect, error),
    };
    let response = pages::html(StatusCode::BAD_REQUEST, &page, &FormAction::None);
    Ok(match error.code() {
        ErrorCode::TemporarilyUnavailable => answer::unavailable(response),
        _ => response,
    })
}

/// Whether an answer may go there by itself: to the user's own machine; to a client that the configuration or an
/// administrator trusts; and to one that the user of this browser has let in before.
async fn is_trusted(
    cx: &Cx,
    headers: &HeaderMap,
    known: &KnownClient,
    uri: &RedirectUri,
) -> Result<bool, Internal> {
    if known.trusted || uri.is_loopback() {
        return Ok(true);
    }
    let Some(browser) = session::of_browser(cx, headers).await? else {
        return Ok(false);
    };
    let client_id = &known.client.client_id;
    let consents = store::consent::list(&cx.app.store, browser.session.user, client_id).await?;
    Ok(!consents.is_empty())
}
