//! An answer that comes as a stream: notifications on the way, the response at the end.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::jsonrpc::{self, Notification, Request};
use ::mcp::meta::PROGRESS_TOKEN;
use ::mcp::method::Method;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::ReusableBoxFuture;
use tokio_util::task::TaskTracker;

use super::call::Bounds;
use super::session::Session;
use super::wire::{Again, Content, Events, Wire};
use super::{McpTarget, answer, outgoing};
use crate::error::{CallError, Stage, Violation};
use crate::reply::{Answer, Message, Reply};

/// How long a server may take to take note of a message that needs no answer.
const ASIDE: Duration = Duration::from_secs(5);
/// Answers to requests of the server that are sent at the same time, each on a connection of its own,
/// over all calls (SEC-79).
pub(super) const ANSWERS: usize = 8;
/// Places for answers that the requests of one call wait for; one takes a place for each KiB begun,
/// because a server may choose ids of any length (SEC-79).
const UNANSWERED: usize = 32;
/// Reconnections in a row that bring nothing.
const FRUITLESS: u8 = 5;
/// The pause before a reconnection if the server does not say, and what it may say.
const PAUSE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static(::mcp::header::LAST_EVENT_ID);

/// The request that a stream answers.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) era: Era,
    /// Session era only: there, closing the stream is no cancellation.
    pub(super) in_flight: Option<InFlight>,
}

impl Origin {
    /// There is nothing left to cancel.
    pub(super) const fn answered(&mut self) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.armed = false;
        }
    }
}

/// A request of the session era that is under way. If it is dropped before it is answered, the
/// server is told with `notifications/cancelled` (TL-8).
#[derive(Debug)]
pub(super) struct InFlight {
    wire: Wire,
    session: Session,
    id: u64,
    tracker: TaskTracker,
    /// Whose turn it is to send an answer, over all calls.
    answers: Arc<Semaphore>,
    /// Places for answers to requests of this call.
    unanswered: Arc<Semaphore>,
    armed: bool,
}

impl InFlight {
    pub(super) fn new(target: &McpTarget, session: Session, id: u64) -> Self {
        Self {
            wire: target.wire.clone(),
            session,
            id,
            tracker: target.tracker.clone(),
            answers: Arc::clone(&target.answers),
            unanswered: Arc::new(Semaphore::new(UNANSWERED)),
            armed: true,
        }
    }

    pub(super) fn has_session_id(&self) -> bool {
        self.session.id().is_some()
    }

    /// Answers a request of the server as soon as it is its turn. One whose turn comes too late has
    /// no answer.
    fn answer(&self, request: &Request<'_>) -> Result<(), Violation> {
        let body = answer_to(request);
        let size = u32::try_from(body.len() / 1024 + 1).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.unanswered)
            .try_acquire_many_owned(size)
            .map_err(|_| Violation::TooManyRequests)?;
        let (wire, session) = (self.wire.clone(), self.session.clone());
        let answers = Arc::clone(&self.answers);
        self.tracker.spawn(async move {
            if let Ok(Ok(_turn)) = tokio::time::timeout(ASIDE, answers.acquire()).await {
                send_aside(&wire, &session, body).await;
            }
            drop(places);
        });
        Ok(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.armed {
            let (wire, session) = (self.wire.clone(), self.session.clone());
            let body = outgoing::cancelled(self.id);
            self.tracker
                .spawn(async move { send_aside(&wire, &session, body).await });
        }
    }
}

pub(super) async fn send_aside(wire: &Wire, session: &Session, body: Vec<u8>) {
    let headers = Wire::headers(Some(session.version()), session.id());
    let sending = async {
        if let Ok(received) = wire.post(headers, body, ASIDE, Again::Yes).await {
            received.read_explanation().await;
        }
    };
    let _ = tokio::time::timeout(ASIDE, sending).await;
}

/// The answer to a request that the server makes of us. We declared no capability, so that only
/// `ping` has one (UC-12).
pub(super) fn answer_to(request: &Request<'_>) -> Vec<u8> {
    if request.method == Method::Ping.as_str() {
        return jsonrpc::response(request.id, "{}");
    }
    jsonrpc::error(
        Some(request.id),
        Code::METHOD_NOT_FOUND,
        "this client declared no such capability",
        None,
    )
}

/// A pause, and an attempt to take a stream up again; `None` if another one may have more success.
type Reconnecting = ReusableBoxFuture<'static, Result<Option<Events>, CallError>>;

/// The messages of a call, in order; the last one is the answer. Dropping it cancels the call.
#[derive(Debug)]
pub struct Messages {
    /// `None` at the end.
    events: Option<Events>,
    origin: Origin,
    /// The client's own progress token, as JSON text.
    progress_token: Option<Box<str>>,
    bounds: Bounds,
    /// A message that was read ahead.
    ahead: Option<Message>,
    /// The stream broke off. Kept here, so that it goes on where a dropped future left it.
    reconnecting: Option<Reconnecting>,
    resumes_left: u8,
    first_byte: Duration,
    tools_changed: Arc<Notify>,
    tracker: TaskTracker,
}

impl Messages {
    pub(super) fn new(
        target: &McpTarget,
        events: Events,
        origin: Origin,
        progress_token: Option<Box<str>>,
        bounds: Bounds,
    ) -> Self {
        Self {
            events: Some(events),
            origin,
            progress_token,
            bounds,
            ahead: None,
            reconnecting: None,
            resumes_left: FRUITLESS,
            first_byte: target.settings.timeouts.first_byte,
            tools_changed: Arc::clone(&target.poke),
            tracker: target.tracker.clone(),
        }
    }

    /// Waits for the first message. If it is the answer, there is no stream.
    pub(super) async fn reply(&mut self) -> Result<Option<Reply>, CallError> {
        match self.next().await {
            Some(Ok(Message::Answer(answer))) => Ok(Some(Reply::One(answer))),
            Some(Ok(message)) => {
                self.ahead = Some(message);
                Ok(None)
            }
            Some(Err(error)) => Err(error),
            None => Err(CallError::ClosedMidStream),
        }
    }

    /// The next message; `None` after the answer or an error.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`crate::Target::call`]; nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Message, CallError>> {
        if let Some(message) = self.ahead.take() {
            return Some(Ok(message));
        }
        self.events.as_ref()?;
        let Bounds { deadline, cancel } = self.bounds.clone();
        let advancing = tokio::time::timeout_at(deadline, self.advance());
        let next = match cancel.run_until_cancelled(advancing).await {
            None => Err(CallError::Cancelled),
            Some(Err(_)) => Err(CallError::TimedOut(Stage::Total)),
            Some(Ok(next)) => next,
        };
        match &next {
            Ok(Message::Notification { .. }) => {}
            Ok(Message::Answer(_)) => {
                self.origin.answered();
                if let Some(events) = self.events.take() {
                    events.finish(&self.tracker);
                }
            }
            Err(_) => {
                // Closes the connection, and cancels in the session era.
                self.events = None;
                self.reconnecting = None;
                self.origin.in_flight = None;
            }
        }
        Some(next)
    }

    async fn advance(&mut self) -> Result<Message, CallError> {
        loop {
            while let Some(reconnecting) = &mut self.reconnecting {
                let outcome = reconnecting.await;
                self.reconnecting = None;
                match outcome? {
                    Some(events) => self.events = Some(events),
                    None => self.reconnecting = Some(self.reconnect()?),
                }
            }
            let Some(events) = &mut self.events else {
                return Err(CallError::ClosedMidStream);
            };
            let event = match events.next().await {
                Ok(Some(event)) => event,
                Ok(None) | Err(CallError::ClosedMidStream) => {
                    self.reconnecting = Some(self.reconnect()?);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Even without data it says that the call goes on: a server may end the stream of a long
            // call as often as it likes and let us ask now and then (TL-7).
            self.resumes_left = FRUITLESS;
            if event.data.trim_ascii().is_empty() {
                continue;
            }
            if let Some(message) = self.interpret(&Bytes::from(event.data))? {
                return Ok(message);
            }
        }
    }

    fn interpret(&self, data: &Bytes) -> Result<Option<Message>, CallError> {
        let message = jsonrpc::parse(data).map_err(|it| Violation::NotAMessage(it.reason))?;
        match message {
            jsonrpc::Message::Response(response) => {
                let answer: Answer =
                    answer::check(data, &response, self.origin.id, self.origin.era)?;
                Ok(Some(Message::Answer(answer)))
            }
            jsonrpc::Message::Notification(notification) => {
                Ok(self.interpret_notification(data, &notification))
            }
            jsonrpc::Message::Request(request) => {
                // The modern era has no such requests (TM-11), and no way to answer one.
                if let Some(in_flight) = &self.origin.in_flight {
                    in_flight.answer(&request)?;
                }
                Ok(None)
            }
        }
    }

    fn interpret_notification(
        &self,
        data: &Bytes,
        notification: &Notification<'_>,
    ) -> Option<Message> {
        let method = Method::parse(&notification.method)?;
        match method {
            Method::Progress => {
                let raw = self.with_own_token(data, notification)?;
                Some(Message::Notification { method, raw })
            }
            Method::LogMessage => Some(Message::Notification {
                method,
                raw: data.clone(),
            }),
            Method::ToolsListChanged => {
                self.tools_changed.notify_one();
                None
            }
            _ => None,
        }
    }

    /// A progress notification with the client's token in place of ours; `None` if it is about
    /// something else, or if the client did not ask for it (TL-9).
    fn with_own_token(&self, data: &Bytes, notification: &Notification<'_>) -> Option<Bytes> {
        let own = self.progress_token.as_deref()?;
        let [token] = notification.params?.pick([PROGRESS_TOKEN]).ok()?;
        let token = token?.as_bytes();
        if !answer::is_ours(std::str::from_utf8(token).ok()?, self.origin.id) {
            return None;
        }
        let start = (token.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
        let (before, rest) = data.split_at_checked(start)?;
        let after = rest.get(token.len()..)?;
        Some([before, own.as_bytes(), after].concat().into())
    }

    /// The stream broke off or was ended before the answer. In the session era it can be taken up
    /// again where it stopped (UC-8, TL-7); in the modern one the request is lost (UC-7).
    fn reconnect(&mut self) -> Result<Reconnecting, CallError> {
        let (Some(events), Some(in_flight)) = (&self.events, &self.origin.in_flight) else {
            return Err(CallError::ClosedMidStream);
        };
        let last = events
            .last_event_id()
            .and_then(|id| HeaderValue::from_str(id).ok());
        let (Some(last), true) = (last, in_flight.has_session_id()) else {
            return Err(CallError::ClosedMidStream);
        };
        self.resumes_left = self
            .resumes_left
            .checked_sub(1)
            .ok_or(CallError::ClosedMidStream)?;
        let retry = events.retry();
        let pause = retry.unwrap_or(PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let (wire, session) = (in_flight.wire.clone(), in_flight.session.clone());
        let first_byte = self.first_byte;
        Ok(ReusableBoxFuture::new(async move {
            tokio::time::sleep(pause).await;
            let mut headers = Wire::headers(Some(session.version()), session.id());
            headers.insert(LAST_EVENT_ID, last.clone());
            let received = match wire.get(headers, first_byte).await {
                Ok(received) => received,
                Err(CallError::Unreachable(_) | CallError::NoAnswer(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            if !received.status().is_success() || received.content() != Content::Events {
                return Err(CallError::ClosedMidStream);
            }
            Ok(Some(received.events().after(&last, retry)))
        }))
    }
}
