//! Login with a password: the page, and the form it sends.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use model::interaction::{Event, Step};
use model::password::{self, PasswordHash};
use model::rate::{LoginDelay, TooOften};
use model::secret::Secret;
use model::user::{User, Username};
use oauth::error::ErrorCode;
use store::counter::{self, CounterName};

use crate::cx::Cx;
use crate::failure::Internal;
use crate::headers::{self, FormAction};
use crate::interaction::error_page::PageRefusal;
use crate::interaction::{self, FLOW, Visit, forgery, session};
use crate::pages::{self, LoginPage, LoginProblem};
use crate::password_pool::PoolError;
use crate::request_body;
use crate::source;

/// `GET /login`
pub(crate) async fn get_login(cx: Cx, headers: HeaderMap, uri: Uri) -> Response {
    let flow = interaction::flow_of(&uri);
    match show(&cx, &headers, flow.as_deref()).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(&cx),
    }
}

async fn show(cx: &Cx, headers: &HeaderMap, flow: Option<&str>) -> Result<Response, PageRefusal> {
    let (visit, _) = interaction::visit(cx, headers, flow).await?;
    if !matches!(visit.step(cx), Step::Login(_)) {
        return interaction::proceed(cx, headers, visit).await;
    }
    let username = visit.interaction.login_hint.clone().unwrap_or_default();
    Ok(render(cx, &visit, username, None))
}

fn render(cx: &Cx, visit: &Visit, username: String, problem: Option<LoginProblem>) -> Response {
    let page = LoginPage {
        frame: interaction::frame(cx, &visit.interaction),
        asker: Some(interaction::asker(&visit.known)),
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
    match submit(&cx, &headers, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(&cx),
    }
}

async fn submit(cx: &Cx, headers: &HeaderMap, body: Body) -> Result<Response, PageRefusal> {
    let form = request_body::read_form(headers, body)
        .await
        .map_err(PageRefusal::Request)?;
    let (visit, browser) = interaction::visit(cx, headers, form.get(FLOW)).await?;
    forgery::check(headers, &cx.realm.origin(), &form, &visit.interaction)?;
    if form.get("decision") == Some("cancel") {
        return Ok(interaction::refuse(
            cx,
            &visit,
            ErrorCode::AccessDenied,
            "the user did not sign in",
        ));
    }
    if !matches!(visit.step(cx), Step::Login(_)) {
        return interaction::proceed(cx, headers, visit).await;
    }
    let typed = form.get("username").unwrap_or_default().to_owned();
    let (Ok(username), Some(password)) = (typed.parse::<Username>(), form.get("password")) else {
        return Ok(render(cx, &visit, typed, Some(LoginProblem::Again)));
    };
    let password = Secret::new(password.to_owned());
    drop(form);
    match check(cx, &username, password).await? {
        Ok(user) => {
            let begun = session::begin(cx, &user, browser).await?;
            let mut visit = visit;
            visit.interaction = visit.interaction.after(Event::LoggedIn(begun.session.id));
            let visit = visit.with_session(cx, Some(begun.session.clone())).await?;
            let mut response = interaction::proceed(cx, headers, visit).await?;
            session::set_cookie(cx, &mut response, &begun);
            Ok(response)
        }
        Err(problem) => Ok(render(cx, &visit, typed, Some(problem))),
    }
}

/// Who has this name and password. Unknown users, users without a password and disabled users cost and answer the same
/// as a wrong password (SEC-54).
async fn check(
    cx: &Cx,
    username: &Username,
    password: Secret<String>,
) -> Result<Result<User, LoginProblem>, Internal> {
    if !cx.app.declared_users.are_there() {
        return Ok(Err(LoginProblem::Starting));
    }
    let attempt = Attempt::of(cx, username);
    if let Err(TooOften { retry_after }) = attempt.begin(cx).await? {
        cx.app.metrics.logins_delayed.inc();
        tracing::warn!(peer = %cx.peer.address, "login delayed after too many failures");
        return Ok(Err(LoginProblem::Wait { retry_after }));
    }
    let user = store::user::by_username(&cx.app.store, &cx.realm.config.name, username)
        .await?
        .filter(|user| !user.disabled);
    let hash = user.as_ref().and_then(|user| user.password.clone());
    let known = hash.is_some();
    let hash = hash.unwrap_or_else(PasswordHash::dummy);
    let verified = match cx
        .app
        .passwords
        .verify(password.clone(), hash.clone())
        .await
    {
        Ok(verified) => verified && known,
        Err(PoolError::Busy) => {
            attempt.not_made(cx).await?;
            return Ok(Err(LoginProblem::Busy));
        }
        Err(error) => return Err(Internal::new(error)),
    };
    match user {
        Some(user) if verified => {
            attempt.succeeded(cx).await?;
            if password::is_outdated(&hash) {
                renew_hash(cx, &user, password).await?;
            }
            cx.app.metrics.logins.inc();
            tracing::info!(user.id = %user.id, "user signed in");
            Ok(Ok(user))
        }
        _ => {
            cx.app.metrics.logins_failed.inc();
            tracing::info!(peer = %cx.peer.address, "login failed");
            Ok(Err(LoginProblem::Wrong))
        }
    }
}

/// Hashes a password that is known to be right with today's parameters. When all workers are busy, another login will do.
async fn renew_hash(cx: &Cx, user: &User, password: Secret<String>) -> Result<(), Internal> {
    match cx.app.passwords.hash(password, cx.random()?).await {
        Ok(hash) => {
            store::user::set_password(&cx.app.store, user.id, &hash).await?;
            Ok(())
        }
        Err(PoolError::Busy) => Ok(()),
        Err(error) => Err(Internal::new(error)),
    }
}

/// One attempt to log in, as the counters that all nodes share see it (SEC-53).
struct Attempt {
    /// Whoever asks from this network, for whatever account.
    source: Line,
    /// This account, as it is guessed at from this network: nobody can hold up its owner who is elsewhere.
    account_at_source: Line,
    /// This account, as it is guessed at from everywhere.
    account: Line,
}

impl Attempt {
    fn of(cx: &Cx, username: &Username) -> Self {
        let (realm, username) = (cx.realm.config.name.as_str(), username.as_str());
        let source = source::name(cx.peer.address);
        Self {
            source: Line {
                counter: CounterName::new("login-source", &[realm, &source]),
                delay: LoginDelay::SOURCE,
            },
            account_at_source: Line {
                counter: CounterName::new("login-account-source", &[realm, username, &source]),
                delay: LoginDelay::ACCOUNT_AT_SOURCE,
            },
            account: Line {
                counter: CounterName::new("login-account", &[realm, username]),
                delay: LoginDelay::ACCOUNT,
            },
        }
    }

    /// Counts the attempt before it is made, so that many at once gain nothing. What an account refuses has been counted
    /// at its source: who asks again and again is soon held up there.
    async fn begin(&self, cx: &Cx) -> Result<Result<(), TooOften>, Internal> {
        for line in [&self.source, &self.account_at_source] {
            if let Err(refused) = line.count(cx).await? {
                return Ok(Err(refused));
            }
        }
        let admitted = self.account.count(cx).await?;
        if admitted.is_err() {
            // Others guess: that is not held against this network.
            self.account_at_source.take_back(cx).await?;
        }
        Ok(admitted)
    }

    /// The failures of the account are forgiven. Those of the source are not: whoever guesses may have an account too.
    async fn succeeded(&self, cx: &Cx) -> Result<(), Internal> {
        self.source.take_back(cx).await?;
        for line in [&self.account_at_source, &self.account] {
            counter::clear(&cx.app.store, &line.counter).await?;
        }
        Ok(())
    }

    /// Nobody looked at the password.
    async fn not_made(&self, cx: &Cx) -> Result<(), Internal> {
        for line in [&self.source, &self.account_at_source, &self.account] {
            line.take_back(cx).await?;
        }
        Ok(())
    }
}

/// One counter of failures, and the delay that they have.
struct Line {
    counter: CounterName,
    delay: LoginDelay,
}

impl Line {
    /// Counts an attempt as if it had failed already, unless it comes too early.
    async fn count(&self, cx: &Cx) -> Result<Result<(), TooOften>, Internal> {
        let before = counter::read_at(&cx.app.store, &self.counter, cx.now).await?;
        if let Err(refused) = self.delay.admit(before.n, before.last_at, cx.now) {
            return Ok(Err(refused));
        }
        let counted = counter::add(&cx.app.store, &self.counter, self.delay.window, cx.now).await?;
        let failures = counted.n.saturating_sub(1);
        if failures > before.n {
            // Others were faster: their attempts count as failures of this very moment.
            return Ok(self.delay.admit(failures, cx.now, cx.now));
        }
        Ok(Ok(()))
    }

    async fn take_back(&self, cx: &Cx) -> Result<(), Internal> {
        Ok(counter::take_back(&cx.app.store, &self.counter, cx.now).await?)
    }
}
