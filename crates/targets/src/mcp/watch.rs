//! Keeps the lists current: listens where the server announces changes, asks where not.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::parse;
use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::feature::{Feature, PerFeature};
use ::mcp::jsonrpc::Message;
use ::mcp::method::Method;
use ::mcp::raw::Raw;

use super::agreement::Agreement;
use super::events::Events;
use super::lists::Lists;
use super::server::Server;
use super::session::Session;
use super::stream::answer_to;
use super::wire::{Again, Content, Head, Received};
use super::{answer, outgoing};
use crate::error::{CallError, Stage};
use crate::outward::Asker;
use crate::reply::{Answer, Outcome};

/// Announcements that come faster than this are taken together.
const TOGETHER: Duration = Duration::from_millis(100);
/// A notification stream on which nothing comes for so long, not even a comment, is opened anew:
/// it may be dead without our knowing.
const SILENCE: Duration = Duration::from_mins(5);
/// A stream that lived so long was in order.
const IN_ORDER: Duration = Duration::from_secs(10);

/// How a notification stream ended.
#[derive(Debug)]
enum Ended {
    /// The server does not offer it after all, or not now.
    NotOffered,
    /// It was ended, it broke, or the server was in no state to open it; it can be opened again.
    Closed,
}

/// Keeps lists current.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watching<'a> {
    pub(super) server: &'a Server,
    pub(super) lists: &'a Lists,
}

impl Watching<'_> {
    /// Never ends by itself.
    pub(super) async fn keep_current(&self) {
        tokio::join!(
            self.list_all_again_and_again(),
            self.listen_again_and_again(),
            self.server.sessions.sweep(&self.server.link)
        );
    }

    async fn list_all_again_and_again(&self) {
        let lists = Feature::ALL.map(|feature| self.list_again_and_again(feature));
        futures_util::future::join_all(lists).await;
    }

    async fn list_again_and_again(&self, feature: Feature) {
        let freshness = self.server.link.settings.freshness;
        let mut pause = freshness.first_pause;
        loop {
            let wait = if self.lists.refresh(self.server, feature).await.is_ok() {
                pause = freshness.first_pause;
                freshness.max_age
            } else {
                let longer = (pause * 2).min(freshness.longest_pause);
                std::mem::replace(&mut pause, longer)
            };
            let poked = tokio::time::timeout(jittered(wait), self.lists.poked(feature))
                .await
                .is_ok();
            if poked {
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }

    async fn listen_again_and_again(&self) {
        let freshness = self.server.link.settings.freshness;
        let mut pause = freshness.first_pause;
        loop {
            let changed = self.server.agreements.changed();
            let agreement = match self.server.agreements.known() {
                Some(agreement) if agreement.announces() => agreement,
                // Listing finds out what the server speaks.
                _ => {
                    changed.await;
                    continue;
                }
            };
            let began = tokio::time::Instant::now();
            let ended = self.listen(&agreement).await;
            self.lists.set_watched(|_| false);
            match ended {
                Ok(Ended::NotOffered) => {
                    let wait = jittered(freshness.not_offered);
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                Ok(Ended::Closed) | Err(_) => {
                    if began.elapsed() >= IN_ORDER {
                        pause = freshness.first_pause;
                    }
                    tokio::time::sleep(jittered(pause)).await;
                    pause = (pause * 2).min(freshness.longest_pause);
                }
            }
        }
    }

    /// Opens the notification stream of the era and reads it to its end.
    async fn listen(&self, agreement: &Arc<Agreement>) -> Result<Ended, CallError> {
        match agreement.era() {
            Era::Session => {
                let session = self
                    .server
                    .sessions
                    .get(&self.server.link, &Asker::Gateway, agreement)
                    .await?;
                self.listen_in_session(agreement, &session).await
            }
            Era::Stateless => self.listen_by_subscription(agreement).await,
        }
    }

    /// TL-1: GET on the endpoint, or 405.
    async fn listen_in_session(
        &self,
        agreement: &Agreement,
        session: &Session,
    ) -> Result<Ended, CallError> {
        let head = Head::in_session(session);
        let mut received = self
            .server
            .link
            .wire
            .get(head, self.server.link.settings.timeouts.handshake)
            .await?;
        if received.status().as_u16() == 404 && session.id().is_some() {
            self.server.sessions.forget(session);
            return Ok(Ended::Closed);
        }
        if !received.status().is_success() || received.content().await? != Content::Events {
            return Ok(refused(received, Era::Session).await);
        }
        self.begin_watching(|feature| *agreement.list_changed.get(feature));
        let mut events = received.events().with_idle(SILENCE);
        while let Some(event) = events.next().await? {
            match parse(&event.data) {
                Ok(Message::Notification(notification)) => self.notice(&notification.method),
                Ok(Message::Request(request)) => {
                    let answer = answer_to(&request);
                    self.server.link.send_aside(session, answer).await;
                }
                Ok(Message::Response(_)) | Err(_) => {}
            }
        }
        Ok(Ended::Closed)
    }

    /// `subscriptions/listen`: acknowledged first, then only what was asked for (TM-15).
    async fn listen_by_subscription(&self, agreement: &Agreement) -> Result<Ended, CallError> {
        let version = agreement.version;
        let head = Head::modern(&Asker::Gateway, version, Method::SubscriptionsListen);
        let announced = Feature::ANNOUNCED
            .into_iter()
            .filter(|feature| *agreement.list_changed.get(*feature));
        let wanted: Vec<String> = announced
            .map(|feature| format!(r#""{}":true"#, feature.filter()))
            .collect();
        let filter = format!(r#""notifications":{{{}}}"#, wanted.join(","));
        let id = self.server.link.fresh_id();
        let body = outgoing::request(id, Method::SubscriptionsListen, version, &filter);
        let limit = self.server.link.settings.timeouts.handshake;
        let mut received = self
            .server
            .link
            .wire
            .post(head, body, limit, Again::Yes)
            .await?;
        if !received.status().is_success() || received.content().await? != Content::Events {
            return Ok(refused(received, Era::Stateless).await);
        }
        let mut events = received.events().with_idle(SILENCE);
        let Some(agreed) = self.acknowledged(&mut events).await? else {
            return Ok(Ended::NotOffered);
        };
        self.begin_watching(|feature| *agreed.get(feature));
        while let Some(event) = events.next().await? {
            match parse(&event.data) {
                Ok(Message::Notification(notification)) => self.notice(&notification.method),
                // The server ends the subscription in good order.
                Ok(Message::Response(_)) => {
                    events.finish(&self.server.link.tracker);
                    break;
                }
                Ok(Message::Request(_)) | Err(_) => {}
            }
        }
        Ok(Ended::Closed)
    }

    /// Waits for the acknowledgement; what comes before it is noise. `None` if nothing is announced.
    async fn acknowledged(
        &self,
        events: &mut Events,
    ) -> Result<Option<PerFeature<bool>>, CallError> {
        let limit = self.server.link.settings.timeouts.handshake;
        let acknowledging = async {
            while let Some(event) = events.next().await? {
                match parse(&event.data) {
                    Ok(Message::Notification(said))
                        if said.method == Method::SubscriptionsAcknowledged.as_str() =>
                    {
                        let filter = said.params.and_then(|params| params.get("notifications"));
                        let agreed = PerFeature::of(|feature| {
                            let agreed = filter.and_then(|filter| filter.get(feature.filter()));
                            agreed.and_then(Raw::bool) == Some(true)
                        });
                        let any = agreed.iter().any(|(_, agreed)| *agreed);
                        return Ok(any.then_some(agreed));
                    }
                    // An answer instead: there is no subscription.
                    Ok(Message::Response(_)) => return Ok(None),
                    _ => {}
                }
            }
            Err(CallError::ClosedMidStream)
        };
        tokio::time::timeout(limit, acknowledging)
            .await
            .unwrap_or(Err(CallError::TimedOut(Stage::Idle)))
    }

    /// From here on changes of these are announced; those before may have been missed.
    fn begin_watching(&self, announced: impl Fn(Feature) -> bool) {
        self.lists.set_watched(announced);
        self.lists.poke();
    }

    fn notice(&self, method: &str) {
        if let Some(feature) = Feature::changed_by(method) {
            self.lists.poke_announced(feature);
        }
    }
}

/// What an answer means that is no notification stream: only one that says so (TL-1) means that there
/// is none; any other may be that of a server in trouble, or of a proxy before it.
async fn refused(received: Received, era: Era) -> Ended {
    let status = received.status();
    if status.is_success() || matches!(status.as_u16(), 404 | 405 | 501) {
        return Ended::NotOffered;
    }
    let body = received.read_explanation().await;
    match answer::refusal(&body, era) {
        Some(Answer {
            outcome:
                Outcome::Error {
                    code: Code::METHOD_NOT_FOUND,
                    ..
                },
            ..
        }) => Ended::NotOffered,
        _ => Ended::Closed,
    }
}

/// Up to twenty per cent less, so that many nodes do not ask at the same moment.
fn jittered(wait: Duration) -> Duration {
    // A fresh `RandomState` is a fresh random number; nothing secret depends on it.
    let random = RandomState::new().build_hasher().finish() % 201;
    wait / 1_000 * u32::try_from(800 + random).unwrap_or(1_000)
}
