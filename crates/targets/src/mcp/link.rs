//! The link to a server: what numbers requests and sends them, and what all of them have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::meta::LogLevel;
use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use model::target::Target;
use net::egress::pool::Pool;
use net::egress::rules::Refusal as Forbidden;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use url::Url;

use super::answer;
use super::events::Events;
use super::oddity::{Noise, Oddities, Oddity};
use super::outgoing;
use super::received::Content;
use super::session::Session;
use super::unasked::ASIDE;
use super::wire::{Again, Head, Wire};
use crate::error::{CallError, Stage, Violation};
use crate::reply::{Answer, Kind};

/// How long a server is given to take note of a session's end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Answers to requests of the server that are sent at the same time, each on a connection of its own,
/// over all calls (SEC-79).
const ANSWERS: usize = 8;

/// The link to a server.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) settings: Target,
    pub(super) wire: Wire,
    /// Of requests to the server: unique over all its connections (TL-9).
    next_id: AtomicU64,
    /// Turns to answer requests of the server.
    pub(super) answers: Semaphore,
    pub(super) oddities: Arc<Oddities>,
    pub(super) tracker: TaskTracker,
}

/// What came back from a request of our own that has exactly one answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) session_id: Option<HeaderValue>,
    pub(super) said: Said,
}

/// What a server says to a request.
#[derive(Debug)]
pub(super) enum Said {
    Answer(Answer),
    /// A success without a usable answer.
    Nothing(CallError),
    /// An HTTP error, and what it is called if its body does not explain it.
    Refusal(Refusal, CallError),
}

/// An HTTP error as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) has_challenge: bool,
    pub(super) body: Bytes,
}

impl Link {
    /// A link on which nothing was sent yet. Background work is spawned on `tracker`.
    ///
    /// # Errors
    /// If the pool's rules forbid the URL.
    pub(super) fn new(
        settings: Target,
        url: &Url,
        pool: &Pool,
        tracker: TaskTracker,
    ) -> Result<Arc<Self>, Forbidden> {
        let oddities = Arc::<Oddities>::default();
        let upstream = pool.upstream(url)?;
        let noted = Arc::clone(&oddities);
        let wire = Wire::new(upstream, url, &settings, noted, tracker.clone());
        Ok(Arc::new(Self {
            settings,
            wire,
            next_id: AtomicU64::new(1),
            answers: Semaphore::new(ANSWERS),
            oddities,
            tracker,
        }))
    }

    /// The target's name in the configuration.
    pub(super) fn name(&self) -> &Arc<str> {
        self.settings.name.shared()
    }

    /// Says once that the server is odd.
    pub(super) fn note(&self, oddity: Oddity) {
        self.oddities.note(self.name(), oddity);
    }

    pub(super) fn fresh_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request that has one answer, and waits for it.
    pub(super) async fn ask(
        &self,
        head: Head<'_>,
        body: Vec<u8>,
        (id, era): (u64, Era),
        limit: Duration,
    ) -> Result<Asked, CallError> {
        let asking = async {
            let mut received = self.wire.post(head, body, limit, Again::Yes).await?;
            let session_id = received.session_id().cloned();
            if !received.status().is_success() {
                let failure = received.failure();
                let refusal = Refusal {
                    status: received.status(),
                    has_challenge: received.has_challenge(),
                    body: received.read_explanation().await,
                };
                let said = Said::Refusal(refusal, failure);
                return Ok(Asked { session_id, said });
            }
            let answer = match received.content().await? {
                Content::Json => answer::read(received.read().await?, id, era)
                    .await
                    .map_err(CallError::from),
                Content::Events => self.answer_among(received.events(), id, era).await,
                Content::Other => {
                    received.read_explanation().await;
                    Err(Violation::ContentType.into())
                }
            };
            let said = match answer {
                // Nobody is asked on our own behalf (UC-12).
                Ok(Answer {
                    kind: Kind::InputRequired,
                    ..
                }) => Said::Nothing(Violation::InputRequired.into()),
                Ok(Answer {
                    kind: Kind::Task, ..
                }) => Said::Nothing(Violation::ResultType.into()),
                Ok(answer) => Said::Answer(answer),
                Err(error) => Said::Nothing(error),
            };
            Ok(Asked { session_id, said })
        };
        match tokio::time::timeout(limit, asking).await {
            // What is no message may still be an answer to who asked, for instance a web page.
            Ok(Err(error @ CallError::ProtocolViolation(_))) => Ok(Asked {
                session_id: None,
                said: Said::Nothing(error),
            }),
            Ok(asked) => asked,
            Err(_) => Err(CallError::TimedOut(Stage::Total)),
        }
    }

    /// The response in an event stream; what comes before it concerns nobody here.
    async fn answer_among(
        &self,
        mut events: Events,
        id: u64,
        era: Era,
    ) -> Result<Answer, CallError> {
        let mut noise = Noise::default();
        loop {
            let Some(event) = events.next().await? else {
                return Err(noise.instead_of(CallError::ClosedMidStream));
            };
            if event.data.trim_ascii().is_empty() {
                continue;
            }
            match answer::read(Bytes::from(event.data), id, era).await {
                Err(Violation::NotAResponse) => {}
                Err(violation @ (Violation::NotAMessage(_) | Violation::WrongId)) => {
                    noise.hear(violation, &self.oddities, self.name());
                }
                answer => {
                    events.finish(&self.tracker);
                    return answer.map_err(CallError::from);
                }
            }
        }
    }

    /// Sends a message that needs no answer.
    pub(super) async fn send_aside(&self, session: &Session, body: Vec<u8>) {
        self.send_within(session, body, ASIDE).await;
    }

    /// The same, where it may be large, or be waited for.
    pub(super) async fn send_within(&self, session: &Session, body: Vec<u8>, limit: Duration) {
        let head = Head::in_session(session);
        let sending = async {
            if let Ok(received) = self.wire.post(head, body, limit, Again::Yes).await {
                received.read_explanation().await;
            }
        };
        let _ = tokio::time::timeout(limit, sending).await;
    }

    /// Asks for log messages of this level, and waits until the server took note of it: the call is to be made after that.
    pub(super) async fn set_level(&self, session: &Session, level: LogLevel) {
        let (id, version) = (self.fresh_id(), session.version());
        let body = outgoing::set_level(id, version, level);
        let head = Head::in_session(session);
        let limit = self.settings.timeouts.handshake;
        if let Err(error) = self.ask(head, body, (id, Era::Session), limit).await {
            tracing::debug!(
                target.name = %self.settings.name, %error,
                "the target did not take note of the level of log messages",
            );
        }
    }

    /// Ends a session, if the server has one.
    pub(super) async fn end(&self, session: &Session) {
        if session.id().is_some() {
            let head = Head::in_session(session);
            let _ = tokio::time::timeout(FAREWELL, self.wire.delete(head, FAREWELL)).await;
        }
    }

    /// The same, without waiting for it.
    pub(super) fn end_in_background(self: &Arc<Self>, session: Session) {
        let link = Arc::clone(self);
        self.tracker.spawn(async move { link.end(&session).await });
    }
}
