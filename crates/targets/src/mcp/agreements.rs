//! Which era the server speaks: found out by asking, remembered, found out again when it fails.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::method::Method;
use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::agreement::{Agreement, Judgement, agreement, judge};
use super::ended::Ended;
use super::handshake::{Handshake, shake_hands};
use super::link::{Link, Said};
use super::oddity::Oddity;
use super::outgoing;
use super::session::Session;
use super::sessions::Sessions;
use super::wire::Head;
use crate::error::CallError;
use crate::outward::Asker;

/// What was agreed on with a server, as far as it was found out.
#[derive(Debug, Default)]
pub(super) struct Agreements {
    current: ArcSwapOption<Agreement>,
    /// What a server that speaks the stateless era says in the other one, to clients of that one.
    other: ArcSwapOption<Other>,
    /// One probe at a time, and how the last one ended.
    probing: tokio::sync::Mutex<Option<Ended>>,
    changed: Notify,
}

/// How it stands with the era that is not the server's newest.
#[derive(Debug)]
enum Other {
    /// It speaks that, too.
    Agreed(Arc<Agreement>),
    /// It did not when it was asked last.
    Lacking(Instant),
}

/// How long a server is taken to lack the session era, when it refused to speak it.
const LACKING: Duration = Duration::from_mins(10);

/// With what it is found out.
#[derive(Debug, Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) sessions: &'a Sessions,
}

impl Agreements {
    /// What was found out last.
    pub(super) fn known(&self) -> Option<Arc<Agreement>> {
        self.current.load_full()
    }

    /// Waits until something else is found out.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What the server speaks; asks it if that is not known.
    pub(super) async fn get(&self, on: On<'_>) -> Result<Arc<Agreement>, CallError> {
        match self.current.load_full() {
            Some(known) => Ok(known),
            None => Box::pin(self.find_out(on)).await,
        }
    }

    /// What it speaks with a client of this era: the era of the client, if it has that. What a server asks in the middle of a
    /// call, it asks differently in each, and some ask in one of them only.
    pub(super) async fn get_for(
        &self,
        on: On<'_>,
        client: Era,
    ) -> Result<Arc<Agreement>, CallError> {
        let newest = self.get(on).await?;
        if client == newest.era() || client == Era::Stateless {
            return Ok(newest);
        }
        match self.other.load().as_deref() {
            Some(Other::Agreed(agreement)) => return Ok(Arc::clone(agreement)),
            Some(Other::Lacking(since)) if since.elapsed() < LACKING => return Ok(newest),
            Some(Other::Lacking(_)) | None => {}
        }
        Ok(Box::pin(self.find_out_other(on)).await.unwrap_or(newest))
    }

    /// Whether the server speaks the session era, too.
    async fn find_out_other(&self, on: On<'_>) -> Option<Arc<Agreement>> {
        let _one_at_a_time = self.probing.lock().await;
        match self.other.load().as_deref() {
            Some(Other::Agreed(agreement)) => return Some(Arc::clone(agreement)),
            Some(Other::Lacking(since)) if since.elapsed() < LACKING => return None,
            Some(Other::Lacking(_)) | None => {}
        }
        let asked = shake_hands(on.link, &Asker::Gateway, ProtocolVersion::LATEST_SESSION).await;
        if let Ok(Handshake::Session(agreement, session)) = asked {
            // Each caller has a session of its own.
            on.link.end_in_background(session);
            tracing::debug!(
                target.name = %on.link.settings.name,
                version = agreement.version.as_str(),
                "the target speaks the session era, too",
            );
            let agreement = Arc::new(agreement);
            let agreed = Other::Agreed(Arc::clone(&agreement));
            self.other.store(Some(Arc::new(agreed)));
            return Some(agreement);
        }
        self.lacks_other();
        None
    }

    fn lacks_other(&self) {
        let lacking = Other::Lacking(Instant::now());
        self.other.store(Some(Arc::new(lacking)));
    }

    /// Whether this is what the server speaks besides; if so, it does not any more.
    fn doubts_other(&self, doubted: &Arc<Agreement>) -> bool {
        let is_other = matches!(
            self.other.load().as_deref(),
            Some(Other::Agreed(agreement)) if Arc::ptr_eq(agreement, doubted)
        );
        if is_other {
            self.lacks_other();
        }
        is_other
    }

    async fn find_out(&self, on: On<'_>) -> Result<Arc<Agreement>, CallError> {
        let began = Instant::now();
        let mut probing = self.probing.lock().await;
        if let Some(known) = self.current.load_full() {
            return Ok(known);
        }
        if let Some(failure) = Ended::failure_since(probing.as_ref(), began) {
            return Err(failure);
        }
        let found = self.probe(on).await;
        *probing = Some(Ended::now(&found));
        found
    }

    /// The server behaved as if it spoke something else: asks again (UC-2). Says whether it does.
    pub(super) async fn find_out_anew(
        &self,
        on: On<'_>,
        doubted: &Arc<Agreement>,
    ) -> Result<bool, CallError> {
        let began = Instant::now();
        let mut probing = self.probing.lock().await;
        if self.doubts_other(doubted) {
            return Ok(true);
        }
        let differs = |found: &Agreement| found.version != doubted.version;
        let pause = on.link.settings.freshness.between_probes;
        match self.current.load_full() {
            Some(known) if !Arc::ptr_eq(&known, doubted) => return Ok(differs(&known)),
            Some(_)
                if probing
                    .as_ref()
                    .is_some_and(|last| last.at.elapsed() < pause) =>
            {
                return Ok(false);
            }
            _ => {}
        }
        if let Some(failure) = Ended::failure_since(probing.as_ref(), began) {
            return Err(failure);
        }
        self.current.store(None);
        let found = self.probe(on).await;
        *probing = Some(Ended::now(&found));
        let found = found?;
        if differs(&found) {
            tracing::info!(
                target.name = %on.link.settings.name,
                version = found.version.as_str(),
                "the target now speaks another protocol version",
            );
        }
        Ok(differs(&found))
    }

    /// The server refused a version and named another that we speak: takes it at once (UC-2).
    pub(super) async fn take(
        &self,
        on: On<'_>,
        version: ProtocolVersion,
        doubted: &Arc<Agreement>,
    ) -> Result<bool, CallError> {
        let mut probing = self.probing.lock().await;
        if self.doubts_other(doubted) {
            return Ok(true);
        }
        if let Some(known) = self.current.load_full()
            && !Arc::ptr_eq(&known, doubted)
        {
            return Ok(true);
        }
        let found = if version.era() == Era::Session {
            begin_session(on, version).await
        } else if doubted.era() == Era::Stateless {
            Ok(Agreement {
                version,
                ..Agreement::clone(doubted)
            })
        } else {
            on.sessions.forget_all();
            Ok(stated(on, agreement(version, None, false)).await)
        };
        let found = found.map(|found| self.remember(on, found));
        *probing = Some(Ended::now(&found));
        found.map(|_| true)
    }

    fn remember(&self, on: On<'_>, found: Agreement) -> Arc<Agreement> {
        tracing::debug!(
            target.name = %on.link.settings.name,
            version = found.version.as_str(),
            "agreed on a protocol version with the target",
        );
        if found.era() == Era::Stateless {
            on.link.wire.pairs().close();
        }
        let found = Arc::new(found);
        self.current.store(Some(Arc::clone(&found)));
        self.other.store(None);
        self.changed.notify_waiters();
        found
    }

    /// Asks in the modern way first, then in the legacy way (UC-2), and remembers what it found.
    async fn probe(&self, on: On<'_>) -> Result<Arc<Agreement>, CallError> {
        let judgement = discover(on, ProtocolVersion::LATEST).await?;
        let found = match judgement {
            Judgement::Modern(agreement) => {
                on.sessions.forget_all();
                agreement
            }
            Judgement::Legacy => begin_session(on, ProtocolVersion::LATEST_SESSION).await?,
            Judgement::NothingInCommon(supported) => {
                return Err(CallError::NoCommonVersion { supported });
            }
            Judgement::Unclear(error) => return Err(error),
        };
        let found = stated(on, found).await;
        Ok(self.remember(on, found))
    }
}

/// Asks in the modern way, in time for another question.
async fn discover(on: On<'_>, version: ProtocolVersion) -> Result<Judgement, CallError> {
    let id = on.link.fresh_id();
    let head = Head::modern(&Asker::Gateway, version, Method::Discover);
    let body = outgoing::request(id, Method::Discover, version, "");
    let limit = on.link.settings.timeouts.handshake / 2;
    match on.link.ask(head, body, (id, Era::Stateless), limit).await {
        Ok(asked) => {
            if let (Some(stray), Said::Refusal(..)) = (asked.session_id, &asked.said) {
                // Some servers make a session before they look at the request, and keep it.
                let version = ProtocolVersion::LATEST_SESSION;
                on.link
                    .end_in_background(Session::new(Asker::Gateway, version, Some(stray)));
            }
            Ok(judge(asked.said))
        }
        Err(error) if error.is_silence() => {
            on.link.note(Oddity::SilentDiscovery);
            Ok(Judgement::Legacy)
        }
        Err(error) => Err(error),
    }
}

/// What the server states that it has, if only its version is known: it named that when it refused another, or `initialize`.
async fn stated(on: On<'_>, found: Agreement) -> Agreement {
    if found.is_stated || found.era() == Era::Session {
        return found;
    }
    match discover(on, found.version).await {
        Ok(Judgement::Modern(stated)) if stated.is_stated => stated,
        _ => found,
    }
}

/// Begins a session, ours, if the server has sessions.
async fn begin_session(on: On<'_>, version: ProtocolVersion) -> Result<Agreement, CallError> {
    Ok(
        match shake_hands(on.link, &Asker::Gateway, version).await? {
            Handshake::Modern(agreement) => {
                on.sessions.forget_all();
                agreement
            }
            Handshake::Session(agreement, session) => {
                if let Some(replaced) = on.sessions.keep(&session) {
                    on.link.end_in_background(replaced);
                }
                agreement
            }
        },
    )
}
