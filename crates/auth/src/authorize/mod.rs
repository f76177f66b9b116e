//! The authorization endpoint (OAuth 2.1 §4.1): the story from a request to its first page, or to its refusal.
//!
//! Read the parameters that say who asks and where the answer goes; find the client; verify the redirect URI. Until
//! then a refusal is a page for the human, from then on a redirect to the client: [`respond`] demands a
//! [`VerifiedRedirect`]. Only [`departure`] comes between, where nobody trusts the place that the redirect leads to.
//! Then apply the [`rules`], and go on with the interaction.

pub(crate) mod departure;
pub(crate) mod redirect;
pub(crate) mod respond;
pub(crate) mod rules;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Uri};
use model::id::Id;
use model::interaction::{Interaction, Stage};
use oauth::error::OauthError;
use oauth::form::Form;
use oauth::request::authorization::Addressing;

use crate::authorize::redirect::VerifiedRedirect;
use crate::authorize::rules::Asked;
use crate::client::{self, KnownClient, Purpose};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::identified::Identified;
use crate::interaction::error_page::PageRefusal;
use crate::interaction::{self, Visit};
use crate::request_body;

/// `GET /authorize`
pub(crate) async fn get_authorize(cx: Cx, headers: HeaderMap, uri: Uri) -> Response {
    let form = Form::parse_query(uri.query()).map_err(OauthError::from);
    answer(&cx, &headers, form).await
}

/// `POST /authorize` (OpenID Connect Core §3.1.2.1): the same parameters in the body.
pub(crate) async fn post_authorize(cx: Cx, headers: HeaderMap, body: Body) -> Response {
    let form = request_body::read_form(&headers, body).await;
    answer(&cx, &headers, form).await
}

async fn answer(cx: &Cx, headers: &HeaderMap, form: Result<Form, OauthError>) -> Response {
    cx.app.metrics.authorizations.inc();
    let mut identified = Identified::default();
    let outcome = start(cx, headers, form, &mut identified).await;
    interaction::answer(cx, outcome, identified)
}

async fn start(
    cx: &Cx,
    headers: &HeaderMap,
    form: Result<Form, OauthError>,
    identified: &mut Identified,
) -> Result<Response, PageRefusal> {
    let form = form.map_err(PageRefusal::Request)?;
    let addressing = Addressing::parse(&form).map_err(PageRefusal::Request)?;
    let known = client::find(
        cx,
        &addressing.client_id,
        Purpose::Authorize(addressing.redirect_uri.as_ref()),
    )
    .await
    .map_err(|error| PageRefusal::client(error, addressing.client_id.as_str()))?;
    identified.client(&known.client.client_id);
    let requested = addressing.redirect_uri.as_ref();
    let redirect = VerifiedRedirect::check(&known.client, requested, addressing.state)
        .map_err(|refusal| PageRefusal::redirect(refusal, &known.client, requested))?;
    match begin(cx, &form, &known, &redirect) {
        Ok(interaction) => {
            let visit = Visit::new(interaction, known, redirect);
            interaction::enter(cx, headers, visit, identified).await
        }
        Err(NotBegun::Failed(error)) => Err(error.into()),
        Err(NotBegun::Refused(error)) => {
            Ok(departure::refuse(cx, headers, &known, &redirect, &error).await?)
        }
    }
}

/// Why there is no interaction.
enum NotBegun {
    /// The client is told.
    Refused(OauthError),
    Failed(Internal),
}

impl From<OauthError> for NotBegun {
    fn from(error: OauthError) -> Self {
        Self::Refused(error)
    }
}

impl From<Internal> for NotBegun {
    fn from(error: Internal) -> Self {
        Self::Failed(error)
    }
}

/// Applies the rules, and writes down what was asked for.
fn begin(
    cx: &Cx,
    form: &Form,
    known: &KnownClient,
    redirect: &VerifiedRedirect,
) -> Result<Interaction, NotBegun> {
    let asked = Asked {
        form,
        realm: &cx.realm.config,
        client: &known.client,
    };
    let grantable = rules::apply(&asked)?;
    Ok(Interaction {
        id: Id::new(cx.now, cx.random()?),
        terms: grantable.terms(&asked),
        redirect_uri: redirect.uri().clone(),
        state: redirect.state().cloned(),
        challenge: grantable.challenge,
        prompt: grantable.prompt,
        max_age: grantable.max_age,
        login_hint: grantable.login_hint,
        ui_locales: grantable.ui_locales,
        form_key: cx.random()?,
        started_at: cx.now,
        stage: Stage::Started,
    })
}
