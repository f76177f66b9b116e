//! Login with a password: the page, and the form it sends.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use model::interaction::{Event, Step};
use model::password::PasswordHash;
use model::rate::TooOften;
use model::secret::Secret;
use model::user::{User, Username};
use oauth::client_id::ClientId;
use oauth::error::ErrorCode;

use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::{self, FormAction};
use crate::identified::Identified;
use crate::interaction::attempt::{Attempt, Held};
use crate::interaction::error_page::PageRefusal;
use crate::interaction::{self, FLOW, Visit, asker, device, forgery, session};
use crate::pages::{self, LoginPage, LoginProblem};
use crate::password_pool::PoolError;
use crate::request_body;

/// `GET /login`
pub(crate) async fn get_login(cx: Cx, headers: HeaderMap, uri: Uri) -> Response {
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
    if !matches!(visit.step(cx), Step::Login(_)) {
        return interaction::proceed(cx, headers, visit).await;
    }
    let username = visit.interaction.login_hint.clone().unwrap_or_default();
    Ok(render(cx, &visit, username, None))
}

fn render(cx: &Cx, visit: &Visit, username: String, problem: Option<LoginProblem>) -> Response {
    let page = LoginPage {
        frame: interaction::frame(cx, &visit.interaction),
        asker: Some(asker::asker(&visit.known)),
        action: cx.realm.path("/login"),
        flow: visit.interaction.id.to_string(),
        csrf: forgery::token(&visit.interaction),
        username,
        problem,
    };
    let mut response = pages::html(
        problem.map_or(StatusCode::OK, LoginProblem::status),
        &page,
        &FormAction::to_client(&visit.interaction.redirect_uri),
    );
    if let Some(after) = problem.and_then(LoginProblem::retry_after) {
        headers::retry_after(&mut response, after);
    }
    response
}

/// `POST /login`
pub(crate) async fn post_login(cx: Cx, headers: HeaderMap, body: Body) -> Response {
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
    let (visit, browser) = interaction::visit(cx, headers, form.get(FLOW), identified).await?;
    forgery::check(headers, &cx.realm.origin(), &form, &visit.interaction)?;
    if form.get("decision") == Some("cancel") {
        identified.browser(browser.as_ref());
        return Ok(interaction::refuse(
            cx,
            &visit,
            ErrorCode::AccessDenied,
            "the user did not sign in",
        ));
    }
    if !matches!(visit.step(cx), Step::Login(_)) {
        identified.browser(browser.as_ref());
        return interaction::proceed(cx, headers, visit).await;
    }
    let typed = form.get("username").unwrap_or_default().to_owned();
    let (Ok(username), Some(password)) = (typed.parse::<Username>(), form.get("password")) else {
        return Ok(render(cx, &visit, typed, Some(LoginProblem::Again)));
    };
    let password = Secret::new(password.to_owned());
    drop(form);
    let client = &visit.interaction.terms.client_id;
    match check(cx, headers, &username, password, client).await {
        Ok(user) => {
            let Some(begun) = session::begin(cx, &user, browser).await? else {
                return Ok(render(cx, &visit, typed, Some(LoginProblem::Wrong)));
            };
            identified.user(&user);
            let mut visit = visit;
            visit.interaction = visit.interaction.after(Event::LoggedIn(begun.session.id));
            let visit = visit.with_session(cx, Some(begun.session.clone())).await?;
            let mut response = interaction::proceed(cx, headers, visit).await?;
            session::set_cookie(cx, &mut response, &begun);
            device::remember(cx, headers, &mut response, &user)?;
            Ok(response)
        }
        Err(NotSignedIn::Because(problem)) => Ok(render(cx, &visit, typed, Some(problem))),
        Err(NotSignedIn::Failed(error)) => Err(error.into()),
    }
}

/// Why nobody is signed in.
enum NotSignedIn {
    /// What the page says.
    Because(LoginProblem),
    Failed(Internal),
}

impl From<LoginProblem> for NotSignedIn {
    fn from(problem: LoginProblem) -> Self {
        Self::Because(problem)
    }
}

impl From<Internal> for NotSignedIn {
    fn from(error: Internal) -> Self {
        Self::Failed(error)
    }
}

impl From<store::error::Error> for NotSignedIn {
    fn from(error: store::error::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Who has this name and password. Unknown users, users without a password and disabled users cost and answer the same
/// as a wrong password (SEC-54).
async fn check(
    cx: &Cx,
    headers: &HeaderMap,
    username: &Username,
    password: Secret<String>,
    client: &ClientId,
) -> Result<User, NotSignedIn> {
    if !cx.app.declared_users.wait().await {
        return Err(LoginProblem::Starting.into());
    }
    let user = store::user::by_username(&cx.app.store, &cx.realm.config.name, username).await?;
    // Only of users that there are: some type their password in the other field.
    let name = user.as_ref().map(|user| user.username.to_string());
    let name = name.as_deref().unwrap_or("(unknown)");
    let user = user.filter(|user| !user.disabled);
    let hash = user.as_ref().and_then(|user| user.password.clone());
    let attempt = match Attempt::begin(cx, headers, username, hash.as_ref()).await {
        Ok(attempt) => attempt,
        Err(Held::Back(TooOften { retry_after })) => {
            cx.app.metrics.logins_delayed.inc();
            tracing::warn!(
                user.name = name, client.id = %client, peer = %cx.peer.address,
                "login delayed after too many failures"
            );
            return Err(LoginProblem::Wait { retry_after }.into());
        }
        Err(Held::Up) => return Err(LoginProblem::Busy.into()),
        Err(Held::Uncounted(error)) => return Err(error.into()),
    };
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(|| cx.app.passwords.cost().dummy());
    let verified = match cx
        .app
        .passwords
        .verify(password.clone(), hash.clone())
        .await
    {
        Ok(verified) => verified && known,
        Err(PoolError::Busy) => {
            attempt.not_made().await?;
            return Err(LoginProblem::Busy.into());
        }
        Err(error) => return Err(Internal::new(error).into()),
    };
    match user {
        Some(mut user) if verified => {
            attempt.succeeded().await?;
            if cx.app.passwords.cost().is_above(&hash) {
                user.password = Some(renew_hash(cx, &user, password, hash).await?);
            }
            cx.app.metrics.logins.inc();
            tracing::info!(
                user.id = %user.id, user.name = %user.username, client.id = %client, peer = %cx.peer.address,
                "user signed in"
            );
            Ok(user)
        }
        _ => {
            attempt.failed().await?;
            cx.app.metrics.logins_failed.inc();
            tracing::info!(
                user.name = name, client.id = %client, peer = %cx.peer.address,
                "login failed"
            );
            Err(LoginProblem::Wrong.into())
        }
    }
}

/// Hashes a password that is known to be right with today's parameters, and gives the hash that is stored then. When all
/// workers are busy, another login will do; what was changed meanwhile stays as it is.
async fn renew_hash(
    cx: &Cx,
    user: &User,
    password: Secret<String>,
    before: PasswordHash,
) -> Result<PasswordHash, Internal> {
    match cx.app.passwords.hash(password, cx.random()?).await {
        Ok(after) => {
            let store = &cx.app.store;
            let renewed = store::user::renew_password(store, user.id, &before, &after).await?;
            Ok(if renewed { after } else { before })
        }
        Err(PoolError::Busy) => Ok(before),
        Err(error) => Err(Internal::new(error)),
    }
}
