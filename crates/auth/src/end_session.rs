//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): ends the login session of a browser.
//!
//! Whoever brings an ID token of this very session is believed; otherwise the user is asked first, with a form that no
//! other site can send (SEC-15). The browser goes on only to an address that the client registered for this; and if the
//! client registered itself, with a document, only where an ID token shows that somebody has let it in (SEC-6).

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use oauth::client_id::ClientId;
use oauth::error::{ErrorCode, OauthError};
use oauth::form::Form;
use oauth::jose::alg::AlgSet;
use oauth::jose::jwk::JwkSet;
use oauth::jose::jwt::{AbsentType, AcceptedTypes, PLAIN, VerifiedJwt};
use oauth::redirect_uri::RedirectUri;
use oauth::request::authorization::State;

use crate::client::refusal::ClientRefusal;
use crate::client::{self, Purpose};
use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::{self, FormAction};
use crate::identified::Identified;
use crate::interaction;
use crate::interaction::error_page::PageRefusal;
use crate::interaction::forgery;
use crate::interaction::session::{self, Browser};
use crate::keys::Need;
use crate::pages::{self, CarriedField, LoggedOutPage, LogoutPage};
use crate::request_body;

/// Binds the form to its session.
const PURPOSE: &str = "auth/logout";
const ID_TOKEN_TYPES: AcceptedTypes<'static> = AcceptedTypes {
    named: &[PLAIN],
    absent: AbsentType::Refused,
};

/// What was asked for.
#[derive(Debug)]
struct Request {
    client_id: Option<ClientId>,
    return_to: Option<RedirectUri>,
    state: Option<State>,
    /// The ID token, if it is one of ours.
    hint: Option<Hint>,
}

impl Request {
    /// Whether the ID token is one of this session.
    fn speaks_of(&self, browser: &Browser) -> bool {
        let session = self.hint.as_ref().and_then(|hint| hint.session.as_deref());
        session == Some(browser.session.id.to_string().as_str())
    }
}

/// `GET /logout`
pub(crate) async fn get_logout(cx: Cx, headers: HeaderMap, uri: Uri) -> Response {
    let mut identified = Identified::default();
    let outcome = match Form::parse_query(uri.query()) {
        Ok(form) => begin(&cx, &headers, &form, &mut identified).await,
        Err(error) => Err(PageRefusal::Request(error.into())),
    };
    interaction::answer(&cx, outcome, identified)
}

/// `POST /logout`: the client's request by form (RP-Initiated Logout §2), or our own form with the user's answer.
pub(crate) async fn post_logout(cx: Cx, headers: HeaderMap, body: Body) -> Response {
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
    let Some(token) = form.get(forgery::FIELD) else {
        return begin(cx, headers, &form, identified).await;
    };
    forgery::check_sender(headers, &cx.realm.origin())?;
    let request = read(cx, &form, identified).await?;
    let Some(browser) = session::of_browser(cx, headers).await? else {
        return Ok(leave(cx, &request));
    };
    identified.user(&browser.user);
    if open(cx, token).as_deref() != Some(browser.session.id.to_string().as_str()) {
        return Err(PageRefusal::Forged);
    }
    end(cx, &browser, &request).await
}

/// Ends the session at once where that is safe, and asks where it is not.
async fn begin(
    cx: &Cx,
    headers: &HeaderMap,
    form: &Form,
    identified: &mut Identified,
) -> Result<Response, PageRefusal> {
    let request = read(cx, form, identified).await?;
    let Some(browser) = session::of_browser(cx, headers).await? else {
        return Ok(leave(cx, &request));
    };
    identified.user(&browser.user);
    if request.speaks_of(&browser) {
        return end(cx, &browser, &request).await;
    }
    ask(cx, &browser, &request).await
}

/// Reads a request, and makes sure that its address belongs to its client.
async fn read(cx: &Cx, form: &Form, identified: &mut Identified) -> Result<Request, PageRefusal> {
    let invalid = |description: &'static str| {
        PageRefusal::Request(OauthError::new(ErrorCode::InvalidRequest, description))
    };
    let hint = match form.get("id_token_hint") {
        Some(hint) => read_hint(
            hint,
            cx.keys(Need::AccessTokens).await?.published(),
            cx.realm.config.issuer.as_str(),
        ),
        None => None,
    };
    let named = form
        .get("client_id")
        .map(str::parse::<ClientId>)
        .transpose();
    let named = named.map_err(|_| invalid("`client_id` is malformed"))?;
    let hinted = hint.as_ref().map(|hint| &hint.client_id);
    if let (Some(named), Some(hinted)) = (&named, hinted)
        && named != hinted
    {
        return Err(invalid(
            "`client_id` is not the audience of `id_token_hint`",
        ));
    }
    let client_id = named.or_else(|| hinted.cloned());
    let state = form
        .get("state")
        .map(State::new)
        .transpose()
        .map_err(PageRefusal::Request)?;
    let return_to = match form.get("post_logout_redirect_uri") {
        None => None,
        Some(text) => {
            let client_id = client_id.as_ref().ok_or_else(|| {
                invalid("`post_logout_redirect_uri` needs `id_token_hint` or `client_id`")
            })?;
            if hint.is_some() || client::is_configured(cx, client_id) {
                Some(registered(cx, client_id, text).await?)
            } else if client::may_be_a_strangers(client_id) {
                // Anybody can publish a document, or register, with any address. Nothing is looked up for it here.
                None
            } else {
                return Err(PageRefusal::client(
                    ClientRefusal::Unknown.into(),
                    client_id.as_str(),
                ));
            }
        }
    };
    // One that shows nothing and wants nothing is only a name.
    if let Some(client_id) = &client_id
        && (hint.is_some() || return_to.is_some())
    {
        identified.client(client_id);
    }
    Ok(Request {
        client_id,
        return_to,
        state,
        hint,
    })
}

/// The address, if this client registered it, any port on loopback (RP-Initiated Logout §3, RFC 8252 §7.3, SEC-6).
async fn registered(cx: &Cx, client_id: &ClientId, text: &str) -> Result<RedirectUri, PageRefusal> {
    let refused = || {
        PageRefusal::Request(OauthError::new(
            ErrorCode::InvalidRequest,
            "`post_logout_redirect_uri` is not registered for this client",
        ))
    };
    let requested = RedirectUri::parse_requested(text).map_err(|_| refused())?;
    let known = client::find(cx, client_id, Purpose::Logout(&requested))
        .await
        .map_err(|error| PageRefusal::client(error, client_id.as_str()))?;
    if known.client.may_return_to(&requested) {
        Ok(requested)
    } else {
        Err(refused())
    }
}

/// What an ID token of ours says about whom it was made for.
#[derive(Debug)]
struct Hint {
    client_id: ClientId,
    session: Option<String>,
    jwt: String,
}

/// An expired ID token is as good (RP-Initiated Logout §2); one that is not ours is as good as none.
fn read_hint(unverified_jwt: &str, keys: &JwkSet, issuer: &str) -> Option<Hint> {
    let claims = VerifiedJwt::verify(unverified_jwt, keys, AlgSet::ALL, ID_TOKEN_TYPES)
        .ok()?
        .into_claims();
    claims.check_issuer(issuer).ok()?;
    let [audience] = claims.audience() else {
        return None;
    };
    Some(Hint {
        client_id: audience.parse().ok()?,
        session: claims.text("sid").map(ToOwned::to_owned),
        jwt: unverified_jwt.to_owned(),
    })
}

/// The page with the question.
async fn ask(cx: &Cx, browser: &Browser, request: &Request) -> Result<Response, PageRefusal> {
    let user = store::user::by_id(&cx.app.store, browser.session.user)
        .await
        .map_err(Internal::new)?;
    let carried = [
        (
            "id_token_hint",
            request.hint.as_ref().map(|hint| hint.jwt.clone()),
        ),
        (
            "client_id",
            request.client_id.as_ref().map(ToString::to_string),
        ),
        (
            "post_logout_redirect_uri",
            request.return_to.as_ref().map(ToString::to_string),
        ),
        (
            "state",
            request
                .state
                .as_ref()
                .map(|state| state.as_str().to_owned()),
        ),
    ];
    let page = LogoutPage {
        frame: cx.frame(),
        user: user
            .map(|user| user.username.to_string())
            .unwrap_or_default(),
        action: cx.realm.path("/logout"),
        csrf: seal(cx, browser)?,
        carried: carried
            .into_iter()
            .filter_map(|(name, value)| {
                Some(CarriedField {
                    name,
                    value: value?,
                })
            })
            .collect(),
    };
    let form_action = request
        .return_to
        .as_ref()
        .map_or(FormAction::Here, FormAction::to_client);
    Ok(pages::html(StatusCode::OK, &page, &form_action))
}

/// A token that only a page of ours, shown to this session, contains.
fn seal(cx: &Cx, browser: &Browser) -> Result<String, Internal> {
    cx.app
        .store
        .sealer()
        .seal_text(PURPOSE, browser.session.id.to_string().as_bytes())
        .map_err(Internal::new)
}

fn open(cx: &Cx, token: &str) -> Option<String> {
    let plain = cx.app.store.sealer().open_text(PURPOSE, token).ok()?;
    String::from_utf8(plain.expose().clone()).ok()
}

async fn end(cx: &Cx, browser: &Browser, request: &Request) -> Result<Response, PageRefusal> {
    let realm = &cx.realm.config;
    let revoked = store::session::end(
        &cx.app.store,
        &realm.name,
        browser.session.id,
        realm.logout_ends,
        &realm.lifetimes,
        cx.now,
    )
    .await
    .map_err(Internal::new)?;
    let grants = revoked.unwrap_or_default();
    tracing::info!(user.id = %browser.session.user, grants, "user signed out");
    let mut response = leave(cx, request);
    session::clear_cookie(cx, &mut response);
    Ok(response)
}

/// Back to the client, or to the page that says that it is over.
fn leave(cx: &Cx, request: &Request) -> Response {
    match &request.return_to {
        Some(uri) => headers::see_other(
            &uri.with_parameters(request.state.iter().map(|state| ("state", state.as_str()))),
        ),
        None => pages::html(
            StatusCode::OK,
            &LoggedOutPage { frame: cx.frame() },
            &FormAction::None,
        ),
    }
}
