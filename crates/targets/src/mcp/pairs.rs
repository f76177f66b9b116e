//! The transport of 2024-11-05 (HTTP+SSE): a stream that names an endpoint for messages, and brings all that the server says.
//!
//! It is made to look like streamable HTTP here, so that nobody else has to know of it. Such a stream is a session: what comes on
//! it for a request is handed out as the stream that answers the request, and the rest as the standalone stream.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ::mcp::answer::parse;
use ::mcp::jsonrpc::{Message, Request};
use ::mcp::meta::PROGRESS_TOKEN;
use ::mcp::method::Method as McpMethod;
use ::mcp::sse;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use net::body::Body;
use net::egress::outgoing::{Fields, Outgoing};
use net::egress::pool::Upstream;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::endpoint::{Endpoint, path_of};
use super::events::Events;
use super::received::{Content, Reading, Received, SESSION_ID};
use super::unasked::{ASIDE, answer_to};
use crate::apart;
use crate::error::{CallError, Stage, Violation};
use crate::outward::{Asker, Outward};

/// Messages for a request that nobody has read yet. Of those that would be more, only the answer is kept.
const UNREAD: usize = 16;
/// The same on the standalone stream.
const UNHEARD: usize = 64;
/// Nothing comes on a stream while nothing is asked.
const ANY_TIME: Duration = Duration::from_hours(24 * 365);

/// The streams of one server.
#[derive(Debug)]
pub(super) struct Pairs {
    /// For each verb, with the headers that its requests have in any case.
    posts: Upstream,
    gets: Upstream,
    endpoint: Arc<Endpoint>,
    outward: Arc<Outward>,
    reading: Reading,
    tracker: TaskTracker,
    /// The server speaks this transport, as far as is known.
    spoken: AtomicBool,
    open: Mutex<HashMap<HeaderValue, Arc<Pair>>>,
    /// Opened to see whether it speaks it: the next session has it.
    spare: Mutex<Option<HeaderValue>>,
    next: AtomicU64,
}

/// A request as it would be sent to a server of streamable HTTP.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) asker: &'a Asker,
    pub(super) session: Option<&'a HeaderValue>,
    pub(super) fields: &'a Fields,
    pub(super) body: &'a Bytes,
}

/// An open stream, with the endpoint that it named.
#[derive(Debug)]
struct Pair {
    endpoint: PathAndQuery,
    /// Requests without an answer, by their ids.
    requests: Mutex<HashMap<u64, Sender<Unread>>>,
    /// Who hears the rest.
    listener: Mutex<Option<Sender<Unread>>>,
    /// Bytes that nobody has read yet.
    unread: Arc<AtomicUsize>,
    /// A session came of it.
    used: AtomicBool,
    over: CancellationToken,
}

/// What comes for a request, until its answer or until this is dropped.
struct Awaited {
    pair: Arc<Pair>,
    id: u64,
    messages: Receiver<Unread>,
}

/// An event that waits to be read, counted until it is.
#[derive(Debug)]
struct Unread {
    event: Bytes,
    of: Arc<AtomicUsize>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.of.fetch_sub(self.event.len(), Ordering::Relaxed);
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.pair.requests.lock().remove(&self.id);
    }
}

impl Pairs {
    /// None yet, of a server that is reached like this.
    pub(super) fn new(
        (posts, gets): (Upstream, Upstream),
        endpoint: Arc<Endpoint>,
        outward: Arc<Outward>,
        reading: Reading,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            posts,
            gets,
            endpoint,
            outward,
            reading,
            tracker,
            spoken: AtomicBool::new(false),
            open: Mutex::default(),
            spare: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Ends all of them: the server speaks another transport.
    pub(super) fn close(&self) {
        self.spoken.store(false, Ordering::Relaxed);
        for pair in self.open.lock().values() {
            pair.over.cancel();
        }
    }

    pub(super) fn are_spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    fn find(&self, session: &HeaderValue) -> Option<Arc<Pair>> {
        self.open.lock().get(session).cloned()
    }

    /// Whether the server, which refused a POST, speaks the old transport instead. Found out once.
    pub(super) async fn are_found(self: &Arc<Self>, asker: &Asker, limit: Duration) -> bool {
        if self.are_spoken() {
            return false;
        }
        match self.open(asker, limit).await {
            Ok(session) => {
                let unused = self.spare.lock().replace(session);
                if let Some(pair) = unused.and_then(|unused| self.find(&unused)) {
                    pair.over.cancel();
                }
                self.spoken.store(true, Ordering::Relaxed);
                true
            }
            Err(error) => {
                tracing::debug!(
                    target.name = %self.reading.target, %error,
                    "the target does not speak HTTP+SSE, the transport of 2024-11-05",
                );
                false
            }
        }
    }

    /// Opens a stream and waits until it names its endpoint. The session that it is, by a name of ours.
    async fn open(
        self: &Arc<Self>,
        asker: &Asker,
        limit: Duration,
    ) -> Result<HeaderValue, CallError> {
        let opening = async {
            let mut fields = Fields::default();
            self.outward.show(asker, &mut fields);
            let request = Outgoing {
                method: Method::GET,
                path: self.endpoint.path(),
                fields,
                body: Body::empty(),
                repeatable: true,
            };
            let response = self.gets.send_within(request, limit).await?;
            let mut received = self.reading.begin(response)?;
            if !received.status().is_success() {
                return Err(received.failure());
            }
            if received.content().await? != Content::Events {
                return Err(Violation::ContentType.into());
            }
            let mut events = received.events().with_idle(ANY_TIME).of_any_kind();
            let endpoint = loop {
                let event = events.next().await?.ok_or(CallError::ClosedMidStream)?;
                if event.kind == "endpoint" {
                    break String::from_utf8(event.data).ok();
                }
            };
            let url = endpoint.and_then(|text| self.endpoint.url.join(text.trim()).ok());
            let url = url.filter(|url| self.endpoint.is_origin_of(url));
            Ok((path_of(&url.ok_or(Violation::Endpoint)?), events))
        };
        let opened = tokio::time::timeout(limit, opening).await;
        let (endpoint, events) = opened.map_err(|_| CallError::TimedOut(Stage::FirstByte))??;
        let pair = Arc::new(Pair {
            endpoint,
            requests: Mutex::default(),
            listener: Mutex::default(),
            unread: Arc::default(),
            used: AtomicBool::new(false),
            over: CancellationToken::new(),
        });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let session = HeaderValue::from(number);
        let mut open = self.open.lock();
        open.insert(session.clone(), Arc::clone(&pair));
        drop(open);
        let reading = Arc::clone(self).read(pair, session.clone(), events, limit * 2);
        self.tracker.spawn(reading);
        Ok(session)
    }

    /// Reads a stream until it ends or its session does, or if none came of it in time.
    async fn read(
        self: Arc<Self>,
        pair: Arc<Pair>,
        session: HeaderValue,
        mut events: Events,
        soon: Duration,
    ) {
        let unused = async {
            tokio::time::sleep(soon).await;
            if pair.used.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let reading = async {
            while let Ok(Some(event)) = events.next().await {
                if event.is_message() {
                    self.hand_out(&pair, Bytes::from(event.data)).await;
                }
            }
        };
        tokio::select! {
            () = pair.over.cancelled() => {}
            () = reading => {}
            () = unused => {}
        }
        // Whoever waits for something on it waits no longer.
        pair.over.cancel();
        pair.requests.lock().clear();
        pair.listener.lock().take();
        self.open.lock().remove(&session);
    }

    /// Gives a message to whom it is for. One that nobody reads is lost; nothing waits for its reader.
    async fn hand_out(&self, pair: &Pair, data: Bytes) {
        let size = data.len();
        let read = move || {
            let whom = Whom::of(&data);
            (whom, sse::encode(&data).into())
        };
        let (whom, event): (Whom, Bytes) = apart::run(size, read).await;
        match whom {
            Whom::Answer(id) => {
                let request = pair.requests.lock().remove(&id);
                if let Some(request) = request {
                    // There is one for each request, which nobody waits for in vain.
                    let _ = request.try_send(pair.unread(event));
                }
            }
            Whom::Request(id) => {
                let request = pair.requests.lock().get(&id).cloned();
                match request {
                    // The last place is the answer's.
                    Some(request) if request.capacity() > 1 && self.has_room(pair, &event) => {
                        let _ = request.try_send(pair.unread(event));
                    }
                    Some(_) => {}
                    None => {
                        let _ = self.tell(pair, event);
                    }
                }
            }
            Whom::Listener => {
                let _ = self.tell(pair, event);
            }
            Whom::Us(answer) => {
                if !self.tell(pair, event) {
                    let request = self.in_pair(pair, &Asker::Gateway, Fields::default(), answer);
                    if let Ok(response) = self.posts.send_within(request, ASIDE).await {
                        drop(response);
                    }
                }
            }
            Whom::Nobody => {}
        }
    }

    /// Sends a POST where the old transport has it; `None` where it is not spoken after all, or the request does not belong to
    /// any session.
    pub(super) async fn post(
        self: &Arc<Self>,
        asked: Asked<'_>,
        first_byte: Duration,
    ) -> Result<Option<Received>, CallError> {
        let (id, begins) = match parse(asked.body) {
            Ok(Message::Request(Request { id, method, .. })) => (
                id.raw().any_integer().and_then(|id| u64::try_from(id).ok()),
                method == McpMethod::Initialize.as_str(),
            ),
            _ => (None, false),
        };
        let session = match asked.session {
            Some(session) => session.clone(),
            None if begins => {
                let spare = self.spare.lock().take();
                let spare = spare.filter(|spare| self.find(spare).is_some());
                match spare {
                    Some(spare) => spare,
                    None => match self.open(asked.asker, first_byte).await {
                        Ok(session) => session,
                        Err(CallError::UpstreamHttp { .. } | CallError::ProtocolViolation(_)) => {
                            self.close();
                            return Ok(None);
                        }
                        Err(error) => return Err(error),
                    },
                }
            }
            None => return Ok(None),
        };
        let Some(pair) = self.find(&session) else {
            return Ok(Some(self.lost()));
        };
        pair.used.fetch_or(!begins, Ordering::Relaxed);
        let awaited = id.map(|id| {
            let (sender, messages) = mpsc::channel(UNREAD);
            pair.requests.lock().insert(id, sender);
            let pair = Arc::clone(&pair);
            Awaited { pair, id, messages }
        });
        let request = self.in_pair(&pair, asked.asker, asked.fields.clone(), asked.body.clone());
        let response = self.posts.send_within(request, first_byte).await?;
        let received = self.reading.begin(response)?;
        if !received.status().is_success() {
            if begins || received.status() == StatusCode::NOT_FOUND {
                pair.over.cancel();
            }
            return Ok(Some(received));
        }
        let Some(awaited) = awaited else {
            return Ok(Some(received));
        };
        received.read_explanation().await;
        // It may have ended before anybody waited.
        if pair.over.is_cancelled() {
            return Ok(Some(self.lost()));
        }
        let messages = futures_util::stream::unfold(awaited, |mut awaited| async move {
            let event = awaited.messages.recv().await?.event.clone();
            Some((Ok::<_, Infallible>(event), awaited))
        });
        let mut response = events(Body::from_stream(messages));
        if begins {
            response.headers_mut().insert(SESSION_ID, session);
        }
        self.reading.begin(response).map(Some)
    }

    /// The rest of what comes in a session.
    pub(super) fn listen(&self, session: &HeaderValue) -> Result<Received, CallError> {
        let Some(pair) = self.find(session) else {
            return Ok(self.lost());
        };
        let (sender, messages) = mpsc::channel::<Unread>(UNHEARD);
        *pair.listener.lock() = Some(sender);
        if pair.over.is_cancelled() {
            return Ok(self.lost());
        }
        let messages = futures_util::stream::unfold(messages, |mut messages| async move {
            let event = messages.recv().await?.event.clone();
            Some((Ok::<_, Infallible>(event), messages))
        });
        self.reading.begin(events(Body::from_stream(messages)))
    }

    /// Whether one more message can wait to be read: not more than the longest one may be.
    fn has_room(&self, pair: &Pair, event: &Bytes) -> bool {
        let unread = pair.unread.load(Ordering::Relaxed);
        unread == 0 || unread + event.len() <= self.reading.limit
    }

    /// Tells the listener, if there is one who has room for it.
    fn tell(&self, pair: &Pair, event: Bytes) -> bool {
        let listener = pair.listener.lock().clone();
        let has_room = self.has_room(pair, &event);
        listener
            .filter(|_| has_room)
            .is_some_and(|listener| listener.try_send(pair.unread(event)).is_ok())
    }

    /// Ends a session.
    pub(super) fn end(&self, session: &HeaderValue) {
        if let Some(pair) = self.find(session) {
            pair.over.cancel();
        }
    }

    fn in_pair(
        &self,
        pair: &Pair,
        asker: &Asker,
        mut fields: Fields,
        body: impl Into<Bytes>,
    ) -> Outgoing {
        self.outward.show(asker, &mut fields);
        Outgoing {
            method: Method::POST,
            path: pair.endpoint.clone(),
            fields,
            body: Body::full(body),
            // What was sent twice is done twice: the answer does not say whether it was taken.
            repeatable: false,
        }
    }

    /// The session's stream has ended, and the session with it.
    fn lost(&self) -> Received {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        self.reading.begin_own(response)
    }
}

impl Pair {
    fn unread(&self, event: Bytes) -> Unread {
        self.unread.fetch_add(event.len(), Ordering::Relaxed);
        let of = Arc::clone(&self.unread);
        Unread { event, of }
    }
}

/// Whom a message is for.
#[derive(Debug)]
enum Whom {
    /// The request with this id, which it answers.
    Answer(u64),
    /// The request with this id, whose progress it tells.
    Request(u64),
    /// Whoever listens.
    Listener,
    /// Whoever listens; without anybody, this is said.
    Us(Vec<u8>),
    /// It is none.
    Nobody,
}

impl Whom {
    fn of(data: &Bytes) -> Self {
        let number = |raw: ::mcp::raw::Raw<'_>| u64::try_from(raw.any_integer()?).ok();
        match parse(data) {
            Ok(Message::Response(response)) => {
                let id = response.id.and_then(|id| number(id.raw()));
                id.map_or(Self::Nobody, Self::Answer)
            }
            Ok(Message::Notification(told)) if told.method == McpMethod::Progress.as_str() => {
                let token = told.params.and_then(|params| params.get(PROGRESS_TOKEN));
                token.and_then(number).map_or(Self::Listener, Self::Request)
            }
            Ok(Message::Notification(_)) => Self::Listener,
            Ok(Message::Request(request)) => Self::Us(answer_to(&request)),
            Err(_) => Self::Nobody,
        }
    }
}

fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
