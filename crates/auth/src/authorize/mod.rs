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
use model::granted::Terms;
use model::id::Id;
use model::interaction::{Interaction, Stage};
use oauth::error::OauthError;
use oauth::form::Form;
use oauth::request::authorization::{Addressing, AuthorizationRequest};

use crate::authorize::redirect::VerifiedRedirect;
use crate::authorize::rules::Loaded;
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
    let redirect = verify_redirect(&known, &addressing)?;
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

fn verify_redirect(
    known: &KnownClient,
    addressing: &Addressing,
) -> Result<VerifiedRedirect, PageRefusal> {
    let requested = addressing.redirect_uri.as_ref();
    VerifiedRedirect::check(&known.client, requested, addressing.state.clone()).map_err(|refusal| {
        PageRefusal::Redirect {
            refusal,
            client_id: addressing.client_id.to_string(),
            requested: requested.map(ToString::to_string),
            registered: known
                .client
                .redirect_uris
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    })
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
    let request = AuthorizationRequest::parse(form)?;
    let loaded = Loaded {
        realm: &cx.realm.config,
        client: &known.client,
    };
    let grantable = rules::apply(&request, &loaded)?;
    Ok(Interaction {
        id: Id::new(cx.now, cx.random()?),
        terms: Terms {
            realm: cx.realm.config.name.clone(),
            client_id: known.client.client_id.clone(),
            scope: grantable.granted.scope,
            id_token: grantable.granted.openid_requested,
            resources: grantable.resources,
            nonce: request.nonce,
        },
        redirect_uri: redirect.uri().clone(),
        state: redirect.state().cloned(),
        challenge: request.code_challenge,
        prompt: request.prompt,
        max_age: request.max_age,
        login_hint: request.login_hint.filter(|hint| hint.len() <= 200),
        ui_locales: request.ui_locales.filter(|locales| locales.len() <= 100),
        form_key: cx.random()?,
        started_at: cx.now,
        stage: Stage::Started,
    })
}
