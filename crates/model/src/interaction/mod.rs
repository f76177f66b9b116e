//! An authorization in flight: from the request to the code. It lives in a sealed cookie, so that an abandoned login
//! leaves nothing behind.

mod codec;
mod flight;

use crate::clock::Timestamp;
use crate::consent::{Ask, Consent, Missing, redirect_origin};
use crate::id::Id;
use crate::lifetimes::Lifetimes;
use crate::secret::TokenHash;
use crate::session::Session;

pub use codec::BadInteraction;
pub use flight::{Interaction, Stage};

/// What the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Logged in; a session began.
    LoggedIn(Id<Session>),
    /// Agreed, in this session, to this state of the client's document.
    Consented(Id<Session>, Option<TokenHash>),
}

impl Interaction {
    /// The interaction after an event. A later login undoes a consent: it may be another user's.
    #[must_use]
    pub fn after(self, event: Event) -> Self {
        let stage = match (self.stage, event) {
            (_, Event::LoggedIn(session)) => Stage::LoggedIn { session },
            (_, Event::Consented(session, document_hash)) => Stage::Consented {
                session,
                document_hash,
            },
        };
        Self { stage, ..self }
    }

    /// What it needs consent to, given the state of the client's document.
    pub fn ask(&self, document_hash: Option<TokenHash>) -> Ask {
        Ask {
            client_id: self.terms.client_id.clone(),
            redirect_origin: redirect_origin(&self.redirect_uri),
            resources: self.terms.resources.clone(),
            scope: self.terms.scope.clone(),
            document_hash,
        }
    }

    /// From when on it is over.
    pub fn expires_at(&self, lifetimes: &Lifetimes) -> Timestamp {
        self.started_at + lifetimes.interaction
    }
}

/// What else the next step depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The login session of the browser, if any.
    pub session: Option<&'a Session>,
    /// What the session's user agreed to before.
    pub consents: &'a [Consent],
    /// The state of the client's document; `None` for a configured client.
    pub document_hash: Option<TokenHash>,
    /// Whether users are not asked about this client.
    pub skip_consent: bool,
    /// Whether any program on the user's machine can pose as this client (SEC-88).
    pub anybody_can_pose: bool,
}

/// Why the user must log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginReason {
    /// There is no session, or it is over.
    NoSession,
    /// The client insists (`prompt=login`).
    Prompt,
    /// The client wants the user to choose (`prompt=select_account`).
    SelectAccount,
    /// The login is older than the client accepts (`max_age`).
    TooLongAgo,
}

/// Why the user must be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentReason {
    /// Earlier agreements leave something open.
    Missing(Missing),
    /// The client insists (`prompt=consent`).
    Prompt,
    /// Nobody can tell whether it is the client that was agreed to (RFC 8252 §8.6, SEC-88).
    Unproven,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It took too long; the user has to begin anew.
    Expired,
    /// Ask for credentials.
    Login(LoginReason),
    /// Ask for consent.
    Consent(ConsentReason),
    /// `prompt=none`, but a login is needed: `login_required`.
    LoginRequired,
    /// `prompt=none`, but consent is needed: `consent_required`.
    ConsentRequired,
    /// Issue the code, for the user of the session.
    Done,
}

/// Decides what comes next.
pub fn next_step(
    interaction: &Interaction,
    facts: &Facts<'_>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Step {
    if now >= interaction.expires_at(lifetimes) {
        return Step::Expired;
    }
    let prompt = &interaction.prompt;
    let session = match login_needed(interaction, facts.session, lifetimes, now) {
        Err(_) if prompt.none => return Step::LoginRequired,
        Err(reason) => return Step::Login(reason),
        Ok(session) => session,
    };
    let agreed_just_now = interaction.stage
        == Stage::Consented {
            session: session.id,
            document_hash: facts.document_hash,
        };
    if agreed_just_now {
        return Step::Done;
    }
    if prompt.consent {
        return Step::Consent(ConsentReason::Prompt);
    }
    if facts.skip_consent {
        return Step::Done;
    }
    match interaction.ask(facts.document_hash).missing(facts.consents) {
        // Agreements of the past speak of a client, and this may be another program that took its name.
        None if facts.anybody_can_pose && prompt.none => Step::ConsentRequired,
        None if facts.anybody_can_pose => Step::Consent(ConsentReason::Unproven),
        None => Step::Done,
        Some(_) if prompt.none => Step::ConsentRequired,
        Some(missing) => Step::Consent(ConsentReason::Missing(missing)),
    }
}

fn login_needed<'a>(
    interaction: &Interaction,
    session: Option<&'a Session>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<&'a Session, LoginReason> {
    let live = |session: &&Session| {
        session.realm == interaction.terms.realm && session.check(lifetimes, now).is_ok()
    };
    let session = session.filter(live).ok_or(LoginReason::NoSession)?;
    let logged_in_just_now = match interaction.stage {
        Stage::Started => false,
        Stage::LoggedIn { session: id } | Stage::Consented { session: id, .. } => {
            id == session.id && session.auth_time >= interaction.started_at
        }
    };
    if logged_in_just_now {
        return Ok(session);
    }
    if interaction.prompt.login {
        return Err(LoginReason::Prompt);
    }
    if interaction.prompt.select_account {
        return Err(LoginReason::SelectAccount);
    }
    // OpenID Connect Core §3.1.2.1; `max_age=0` means the same as `prompt=login`.
    let too_old =
        |max_age: u32| max_age == 0 || now.since(session.auth_time).as_secs() > u64::from(max_age);
    if interaction.max_age.is_some_and(too_old) {
        Err(LoginReason::TooLongAgo)
    } else {
        Ok(session)
    }
}

#[cfg(test)]
mod tests;
