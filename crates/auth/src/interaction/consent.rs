//! Consent: what is asked, by whom, for which resource, and where the browser goes; and the user's decision.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use model::client::Provenance;
use model::consent::Missing;
use model::interaction::{ConsentReason, Event, Stage, Step};
use model::secret::TokenHash;
use model::session::Session;
use oauth::error::ErrorCode;
use oauth::scope::ScopeSet;
use store::consent::{Agreed, Basis};

use crate::client::KnownClient;
use crate::client::refusal::ClientRefusal;
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::FormAction;
use crate::identified::Identified;
use crate::interaction::error_page::PageRefusal;
use crate::interaction::session::Browser;
use crate::interaction::{self, FLOW, Visit, asker, forgery};
use crate::pages::{self, Asker, ConsentPage, ScopeLine};
use crate::request_body;
use crate::texts::Texts;

/// The field that stands for what was on the page.
const SEEN: &str = "seen";

/// `GET /consent`
pub(crate) async fn get_consent(cx: Cx, headers: HeaderMap, uri: Uri) -> Response {
    let flow = interaction::flow_of(&uri);
    let mut identified = Identified::default();
    let outcome = show(&cx, &headers, flow.as_deref(), &mut identified).await;
    interaction::answer(&cx, outcome, identified)
}

async fn show(
    cx: &Cx,
    headers: &HeaderMap,
    flow: Option<&str>,
    identified: &mut Identified,
) -> Result<Response, PageRefusal> {
    let (visit, browser) = interaction::visit(cx, headers, flow, identified).await?;
    identified.browser(browser.as_ref());
    let Step::Consent(reason) = visit.step(cx) else {
        return interaction::proceed(cx, headers, visit).await;
    };
    let Some(Browser { session, user, .. }) = &browser else {
        return Err(PageRefusal::FlowLost);
    };
    let frame = interaction::frame(cx, &visit.interaction);
    let page = ConsentPage {
        asker: asker(cx, &visit.known).await?,
        returns_to: asker::returns_to(&visit.interaction.redirect_uri),
        only_this_device: visit.interaction.redirect_uri.is_loopback()
            && visit.known.client.provenance != Provenance::Configured,
        resources: visit
            .interaction
            .terms
            .resources
            .iter()
            .map(ToString::to_string)
            .collect(),
        scopes: scope_lines(cx, &visit.interaction.terms.scope, frame.texts),
        each_time: visit
            .known
            .client
            .anybody_can_pose(&visit.interaction.redirect_uri),
        changed: reason == ConsentReason::Missing(Missing::Document),
        user: user.username.to_string(),
        action: cx.realm.path("/consent"),
        flow: visit.interaction.id.to_string(),
        csrf: forgery::token(&visit.interaction),
        seen: seen(&visit, session),
        frame,
    };
    Ok(pages::html(
        StatusCode::OK,
        &page,
        &FormAction::to_client(&visit.interaction.redirect_uri),
    ))
}

/// `POST /consent`
pub(crate) async fn post_consent(cx: Cx, headers: HeaderMap, body: Body) -> Response {
    let mut identified = Identified::default();
    let outcome = submit(&cx, &headers, body, &mut identified).await;
    interaction::answer(&cx, outcome, identified)
}

async fn submit(
    cx: &Cx,
    headers: &HeaderMap,
    body: Body,
    identified: &mut Identified,
) -> Result<Response, PageRefusal> {
    let form = request_body::read_form(headers, body)
        .await
        .map_err(PageRefusal::Request)?;
    let (mut visit, browser) = interaction::visit(cx, headers, form.get(FLOW), identified).await?;
    identified.browser(browser.as_ref());
    forgery::check(headers, &cx.realm.origin(), &form, &visit.interaction)?;
    let (Step::Consent(_), Some(session)) = (visit.step(cx), visit.session.clone()) else {
        return interaction::proceed(cx, headers, visit).await;
    };
    match form.get("decision") {
        // Somebody else is signed in by now, or the client's document has changed: ask again.
        Some("allow") if form.get(SEEN) != Some(seen(&visit, &session).as_str()) => {
            interaction::proceed(cx, headers, visit).await
        }
        Some("allow") => {
            let document_hash = visit.known.client.document_hash();
            match agree(cx, &visit, &session).await? {
                Agreed::Stored => {}
                Agreed::SessionEnded => {
                    let visit = visit.with_session(cx, None).await?;
                    return interaction::proceed(cx, headers, visit).await;
                }
                Agreed::Unregistered => {
                    let client_id = visit.interaction.terms.client_id.to_string();
                    return Err(PageRefusal::client(
                        ClientRefusal::NotRegistered.into(),
                        &client_id,
                    ));
                }
            }
            cx.app.metrics.consents.inc();
            tracing::info!(client.id = %visit.interaction.terms.client_id, user.id = %session.user, scope = %visit.interaction.terms.scope, "user consented");
            visit.interaction = visit
                .interaction
                .after(Event::Consented(session.id, document_hash));
            interaction::proceed(cx, headers, visit).await
        }
        Some("switch") => {
            // The next step is then a login, whoever is signed in now.
            visit.interaction.prompt.select_account = true;
            visit.interaction.stage = Stage::Started;
            interaction::proceed(cx, headers, visit).await
        }
        _ => Ok(interaction::refuse(
            cx,
            &visit,
            ErrorCode::AccessDenied,
            "the user did not consent",
        )),
    }
}

/// Writes down what the user agrees to, if session and client are still there.
async fn agree(cx: &Cx, visit: &Visit, session: &Session) -> Result<Agreed, Internal> {
    let client = &visit.known.client;
    let agreed = visit
        .interaction
        .ask(client.document_hash())
        .agree(session.user, cx.now);
    let registered = matches!(client.provenance, Provenance::Registered { .. });
    let basis = Basis {
        session: session.id,
        registered: registered.then(|| client.client_id.clone()),
    };
    Ok(store::consent::agree(&cx.app.store, &agreed, &basis, cx.now).await?)
}

/// Who asks, and whether anybody has agreed to that before (SEC-18).
async fn asker(cx: &Cx, known: &KnownClient) -> Result<Asker, Internal> {
    let mut asker = asker::asker(known);
    if let Asker::Verified { first_seen, .. } = &mut asker
        && !known.trusted
    {
        *first_seen = !store::consent::knows_client(&cx.app.store, &known.client.client_id).await?;
    }
    Ok(asker)
}

/// Stands for what the page showed: a decision counts only for that.
fn seen(visit: &Visit, session: &Session) -> String {
    let document = visit
        .known
        .client
        .document_hash()
        .map(|hash| hash.to_string())
        .unwrap_or_default();
    let (interaction, session) = (visit.interaction.id.to_string(), session.id.to_string());
    TokenHash::of_all(&[&interaction, &session, &document]).to_string()
}

/// The scopes in plain words: the operator's, or ours for those of OpenID Connect.
fn scope_lines(cx: &Cx, scope: &ScopeSet, texts: &'static Texts) -> Vec<ScopeLine> {
    scope
        .iter()
        .map(|scope| {
            let configured = cx
                .realm
                .config
                .scope(scope.as_str())
                .and_then(|scope| scope.consent_text_in(texts.language_tag));
            ScopeLine {
                name: scope.as_str().to_owned(),
                text: configured
                    .unwrap_or_else(|| texts.scope(scope.as_str()))
                    .to_owned(),
            }
        })
        .collect()
}
