//! An answer that comes as a stream: notifications on the way, the response at the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::{batch, is_id, parse};
use ::mcp::capability::ClientCapabilities;
use ::mcp::edit::{Change, changed};
use ::mcp::era::Era;
use ::mcp::feature::Feature;
use ::mcp::id::{Id, OwnedId};
use ::mcp::input::Input;
use ::mcp::jsonrpc::{self, Malformed, Notification, Request};
use ::mcp::meta::PROGRESS_TOKEN;
use ::mcp::method::Method;
use ::mcp::raw::{OwnedRaw, Raw};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::ReusableBoxFuture;

use super::asked::answering_to;
use super::attending::Joined;
use super::events::Events;
use super::lanes::Lane;
use super::link::Link;
use super::lists::Lists;
use super::oddity::Noise;
use super::received::Content;
use super::session::Session;
use super::unasked::{ASIDE, answer_to};
use super::wire::Head;
use super::{answer, outgoing};
use crate::apart;
use crate::bounds::Bounds;
use crate::error::{CallError, Violation};
use crate::guard::UnderWay;
use crate::meter::Held;
use crate::reply::{Answering, Ask, Message, Reply};

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
    /// Session era only: what the server says outside of calls, if nobody else hears it.
    pub(super) outside: Option<Joined>,
    /// The session that nobody else uses until this is over.
    pub(super) _lane: Option<Arc<Lane>>,
}

impl Origin {
    /// There is nothing left to cancel.
    pub(super) fn answered(&mut self) {
        self.outside = None;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.armed = false;
        }
    }
}

/// A request of the session era that is under way. If it is dropped before it is answered, the
/// server is told with `notifications/cancelled` (TL-8).
#[derive(Debug)]
pub(super) struct InFlight {
    link: Arc<Link>,
    session: Session,
    id: u64,
    /// Places for answers to requests of this call.
    unanswered: Arc<Semaphore>,
    armed: bool,
}

impl InFlight {
    pub(super) fn new(link: &Arc<Link>, session: Session, id: u64) -> Self {
        Self {
            link: Arc::clone(link),
            session,
            id,
            unanswered: Arc::new(Semaphore::new(UNANSWERED)),
            armed: true,
        }
    }

    pub(super) fn has_session_id(&self) -> bool {
        self.session.id().is_some()
    }

    /// Takes a client's answer to what the server asked it. A request that nobody answers takes a place as well.
    fn answering(&self, id: OwnedId) -> Result<Answering, Violation> {
        let place = Arc::clone(&self.unanswered)
            .try_acquire_owned()
            .map_err(|_| Violation::TooManyRequests)?;
        Ok(answering_to(&self.link, &self.session, id, place))
    }

    /// Sends an answer to a request of the server as soon as it is its turn. One whose turn comes too late
    /// is not sent.
    fn answer(&self, body: Vec<u8>) -> Result<(), Violation> {
        let size = u32::try_from(body.len() / 1024 + 1).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.unanswered)
            .try_acquire_many_owned(size)
            .map_err(|_| Violation::TooManyRequests)?;
        let (link, session) = (Arc::clone(&self.link), self.session.clone());
        self.link.tracker.spawn(async move {
            if let Ok(Ok(_turn)) = tokio::time::timeout(ASIDE, link.answers.acquire()).await {
                link.send_aside(&session, body).await;
            }
            drop(places);
        });
        Ok(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.armed {
            let (link, session) = (Arc::clone(&self.link), self.session.clone());
            let body = outgoing::cancelled(self.id);
            self.link
                .tracker
                .spawn(async move { link.send_aside(&session, body).await });
        }
    }
}

/// A pause, and an attempt to take a stream up again; `None` if another one may have more success.
type Reconnecting = ReusableBoxFuture<'static, Result<Option<Events>, CallError>>;

/// The messages of a call, in order; the last one is the answer. Dropping it cancels the call.
#[derive(Debug)]
pub(super) struct Messages {
    /// `None` at the end.
    events: Option<Events>,
    origin: Origin,
    /// The client's own progress token, as JSON text.
    progress_token: Option<Box<str>>,
    /// What the client can be asked.
    declared: ClientCapabilities,
    /// It is being asked, which may take longer than anything else.
    is_asking: bool,
    bounds: Bounds,
    /// What of the answer is in memory here. Who takes a message counts it from then on.
    held: Held,
    /// Messages that were read ahead.
    ahead: VecDeque<Message>,
    /// A large event is being read. Kept here for the same reason as `reconnecting`.
    interpreting: Option<ReusableBoxFuture<'static, Vec<Result<Heard, Violation>>>>,
    /// What was skipped.
    noise: Noise,
    /// Among the calls under way, until the end.
    under_way: Option<UnderWay>,
    /// The stream broke off. Kept here, so that it goes on where a dropped future left it.
    reconnecting: Option<Reconnecting>,
    resumes_left: u8,
    link: Arc<Link>,
    lists: Arc<Lists>,
}

impl Messages {
    pub(super) fn new(
        (link, lists): (&Arc<Link>, &Arc<Lists>),
        events: Events,
        origin: Origin,
        (progress_token, declared): (Option<Box<str>>, ClientCapabilities),
        bounds: Bounds,
        held: Held,
    ) -> Self {
        if let Some(joined) = &origin.outside {
            joined.set_heard();
        }
        Self {
            events: Some(events),
            origin,
            progress_token,
            declared,
            is_asking: false,
            bounds,
            held,
            ahead: VecDeque::new(),
            interpreting: None,
            noise: Noise::default(),
            under_way: None,
            reconnecting: None,
            resumes_left: FRUITLESS,
            link: Arc::clone(link),
            lists: Arc::clone(lists),
        }
    }

    /// Waits for the first message. If it is the answer, there is no stream.
    pub(super) async fn reply(&mut self) -> Result<Option<Reply>, CallError> {
        match self.next_held().await {
            Some(Ok(Message::Answer(answer))) => Ok(Some(Reply::One(answer))),
            Some(Ok(message)) => {
                self.ahead.push_front(message);
                Ok(None)
            }
            Some(Err(error)) => Err(error),
            None => Err(CallError::ClosedMidStream),
        }
    }

    /// Waits until the client is asked on another stream.
    pub(super) fn asked_elsewhere(&self) -> impl Future<Output = ()> + use<> {
        let joined = self.origin.outside.as_ref();
        let asked = joined.map(|joined| Arc::clone(&joined.asked_elsewhere));
        async move {
            match asked {
                Some(asked) => asked.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The next message, still counted.
    async fn next_held(&mut self) -> Option<Result<Message, CallError>> {
        if let Some(Message::Notification { .. } | Message::Ask(_)) = self.ahead.front() {
            return self.ahead.pop_front().map(Ok);
        }
        self.events.as_ref()?;
        let bounds = self.bounds.clone();
        let next = bounds.within(self.advance()).await;
        if next.is_ok()
            && let Some(under_way) = &mut self.under_way
        {
            under_way.heard();
        }
        match &next {
            Ok(Message::Notification { .. } | Message::Ask(_)) => {}
            Ok(Message::Answer(_)) => {
                self.under_way = None;
                self.ahead.clear();
                self.origin.answered();
                if let Some(events) = self.events.take() {
                    events.finish(&self.link.tracker);
                }
            }
            Err(_) => {
                self.under_way = None;
                self.ahead.clear();
                self.interpreting = None;
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
            if let Some(message) = self.ahead.pop_front() {
                return Ok(message);
            }
            if let Some(interpreting) = &mut self.interpreting {
                let heard = interpreting.await;
                self.interpreting = None;
                self.hear(heard)?;
                continue;
            }
            while let Some(reconnecting) = &mut self.reconnecting {
                let outcome = reconnecting.await;
                self.reconnecting = None;
                match outcome? {
                    Some(events) => self.events = Some(events),
                    None => self.reconnecting = Some(self.reconnect_or_say_why()?),
                }
            }
            let Some(events) = &mut self.events else {
                return Err(self.noise.instead_of(CallError::ClosedMidStream));
            };
            let outside = async {
                match &mut self.origin.outside {
                    Some(joined) => joined.heard.recv().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                biased;
                event = events.next_within(&mut self.held) => event,
                Some(message) = outside => {
                    if matches!(message, Message::Ask(_)) {
                        self.wait_for_client(true);
                    }
                    return Ok(message);
                }
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) | Err(CallError::ClosedMidStream) => {
                    self.reconnecting = Some(self.reconnect_or_say_why()?);
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
            self.interpret(Bytes::from(event.data))?;
        }
    }

    /// Reads the messages of an event, elsewhere if it is large.
    fn interpret(&mut self, data: Bytes) -> Result<(), CallError> {
        let (id, era, declared) = (self.origin.id, self.origin.era, self.declared);
        if data.len() < apart::LARGE {
            let token = self.progress_token.as_deref();
            let reader = Reader {
                id,
                era,
                token,
                declared,
            };
            return self.hear(reader.read(&data));
        }
        let token = self.progress_token.clone();
        let size = data.len();
        self.interpreting = Some(ReusableBoxFuture::new(apart::run(size, move || {
            let token = token.as_deref();
            let reader = Reader {
                id,
                era,
                token,
                declared,
            };
            reader.read(&data)
        })));
        Ok(())
    }

    /// Takes the messages of an event. What is none is skipped, as a heartbeat that only this server knows.
    fn hear(&mut self, messages: Vec<Result<Heard, Violation>>) -> Result<(), CallError> {
        for heard in messages {
            match heard {
                Ok(Heard::Message(message)) => {
                    self.ahead.push_back(message);
                    self.wait_for_client(false);
                }
                Ok(Heard::Ask { id, input, params }) => {
                    if let Some(in_flight) = &self.origin.in_flight {
                        let answering = in_flight.answering(id)?;
                        let ask = Ask {
                            input,
                            params,
                            answering,
                        };
                        self.ahead.push_back(Message::Ask(ask));
                        self.wait_for_client(true);
                    }
                }
                Ok(Heard::Changed(feature)) => self.lists.poke_announced(feature),
                Ok(Heard::Request(answer)) => {
                    // The modern era has no such requests (TM-11), and no way to answer one.
                    if let Some(in_flight) = &self.origin.in_flight {
                        in_flight.answer(answer)?;
                    }
                }
                Err(violation @ (Violation::NotAMessage(_) | Violation::WrongId)) => {
                    self.noise
                        .hear(violation, &self.link.oddities, self.link.name());
                }
                Err(violation) => return Err(violation.into()),
            }
        }
        Ok(())
    }

    /// While a client is being asked, the server has nothing to say, however long that takes.
    fn wait_for_client(&mut self, is_asking: bool) {
        if is_asking == self.is_asking && !is_asking {
            return;
        }
        self.is_asking = is_asking;
        let timeouts = &self.link.settings.timeouts;
        let idle = if is_asking {
            let until = Instant::now() + timeouts.input;
            self.bounds.deadline = self.bounds.deadline.max(until);
            timeouts.idle.max(timeouts.input)
        } else {
            timeouts.idle
        };
        if let Some(events) = &mut self.events {
            events.set_idle(idle);
        }
    }

    fn reconnect_or_say_why(&mut self) -> Result<Reconnecting, CallError> {
        if let Some(events) = &mut self.events {
            events.break_off();
        }
        self.held.shrink(0);
        self.reconnect()
            .map_err(|error| self.noise.instead_of(error))
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
        let (link, session) = (Arc::clone(&self.link), in_flight.session.clone());
        Ok(ReusableBoxFuture::new(async move {
            tokio::time::sleep(pause).await;
            let head = Head::in_session(&session).with(&LAST_EVENT_ID, &last);
            let mut received = match link.wire.get(head, link.settings.timeouts.answer).await {
                Ok(received) => received,
                Err(CallError::Unreachable(_) | CallError::NoAnswer(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            if !received.status().is_success() || received.content().await? != Content::Events {
                return Err(CallError::ClosedMidStream);
            }
            Ok(Some(received.events().after(&last, retry)))
        }))
    }
}

impl crate::reply::Messages for Messages {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Message, CallError>>> {
        Box::pin(async {
            let next = self.next_held().await;
            if self.ahead.is_empty() {
                self.held
                    .shrink(self.events.as_ref().map_or(0, Events::buffered));
            }
            next
        })
    }

    fn is_silent(&self) -> bool {
        self.ahead.is_empty()
    }

    fn go_on(&mut self, progress_token: Option<Box<str>>) {
        self.progress_token = progress_token;
    }

    fn hold(&mut self, under_way: UnderWay) {
        self.under_way = Some(under_way);
    }
}

/// What an event says.
#[derive(Debug)]
enum Heard {
    Message(Message),
    Changed(Feature),
    /// A request of the server to the client.
    Ask {
        id: OwnedId,
        input: Input,
        params: Option<OwnedRaw>,
    },
    /// A request of the server to us, as the answer to it.
    Request(Vec<u8>),
}

/// Reads events about a call.
#[derive(Debug)]
struct Reader<'a> {
    id: u64,
    era: Era,
    /// The client's own progress token, as JSON text.
    token: Option<&'a str>,
    /// What the client can be asked.
    declared: ClientCapabilities,
}

impl Reader<'_> {
    fn read(&self, data: &Bytes) -> Vec<Result<Heard, Violation>> {
        match parse(data) {
            Ok(message) => self
                .interpret(data, &message)
                .transpose()
                .into_iter()
                .collect(),
            Err(Malformed::Batch) => self.read_batch(data),
            Err(reason) => vec![Err(Violation::NotAMessage(reason))],
        }
    }

    /// TL-11
    fn read_batch(&self, data: &Bytes) -> Vec<Result<Heard, Violation>> {
        let messages = match batch(data) {
            Ok(messages) => messages,
            Err(reason) => return vec![Err(Violation::NotAMessage(reason))],
        };
        let heard = messages.filter_map(|message| match message {
            Ok(message) => self.interpret(data, &message).transpose(),
            Err(reason) => Some(Err(Violation::NotAMessage(reason))),
        });
        heard.collect()
    }

    /// What a message says; nothing if it does not concern the call.
    fn interpret(
        &self,
        data: &Bytes,
        message: &jsonrpc::Message<'_>,
    ) -> Result<Option<Heard>, Violation> {
        Ok(match message {
            jsonrpc::Message::Response(response) => {
                let answer = answer::check(data, response, self.id, self.era)?;
                Some(Heard::Message(Message::Answer(answer)))
            }
            jsonrpc::Message::Notification(notification) => {
                self.interpret_notification(notification)
            }
            jsonrpc::Message::Request(request) => Some(self.interpret_request(data, request)),
        })
    }

    fn interpret_request(&self, data: &Bytes, request: &Request<'_>) -> Heard {
        match Input::by(&request.method) {
            Some(input) if input.is_declared(request.params, self.declared) => Heard::Ask {
                id: request.id.to_owned(),
                input,
                params: request.params.map(|params| OwnedRaw::of(data, params)),
            },
            _ => Heard::Request(answer_to(request)),
        }
    }

    fn interpret_notification(&self, notification: &Notification<'_>) -> Option<Heard> {
        if let Some(feature) = Feature::changed_by(&notification.method) {
            return Some(Heard::Changed(feature));
        }
        let method = Method::parse(&notification.method)?;
        let params = notification.params;
        let raw = match method {
            Method::LogMessage | Method::ElicitationComplete => {
                jsonrpc::notification(method.as_str(), Some(params?.as_str()))
            }
            Method::Progress => self.with_own_token(params?)?,
            _ => return None,
        };
        let raw = Bytes::from(raw);
        Some(Heard::Message(Message::Notification { method, raw }))
    }

    /// A progress notification with the client's token in place of ours; `None` if it is about
    /// something else, or if the client did not ask for it (TL-9).
    fn with_own_token(&self, params: Raw<'_>) -> Option<Vec<u8>> {
        let own = Change::set(PROGRESS_TOKEN, self.token?);
        let [token] = params.pick([PROGRESS_TOKEN]).ok()?;
        if !is_id(Id::new(token?)?, self.id) {
            return None;
        }
        let params = changed(params, &[own]);
        Some(jsonrpc::notification(
            Method::Progress.as_str(),
            Some(&params),
        ))
    }
}
