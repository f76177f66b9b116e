//! One HTTP exchange with the server: what is sent with every request, and how a body is read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use ::mcp::era::ProtocolVersion;
use ::mcp::header;
use ::mcp::sse::{self, Decoder, Event, SseError};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    USER_AGENT, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use net::body::{Body, BodyError};
use net::egress::pool::{Repeatable, Upstream};
use tokio_util::task::TaskTracker;

use super::Settings;
use crate::error::{CallError, Stage, Violation};

/// Of a body that explains an HTTP error.
const EXPLANATION: usize = 64 * 1024;
/// How long the end of a stream may take after its last message, before the connection is closed.
const TAIL: Duration = Duration::from_secs(1);

const NAME: HeaderName = HeaderName::from_static(header::NAME);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);

/// The server's endpoint.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    upstream: Upstream,
    uri: Uri,
    idle: Duration,
    message_limit: usize,
}

/// May a request be sent again if the connection breaks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

impl Wire {
    pub(super) fn new(upstream: Upstream, settings: &Settings) -> Self {
        let url = &settings.url;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        Self {
            upstream,
            // A parsed URL has a path that is a valid one of HTTP.
            uri: path.parse().unwrap_or_else(|_| Uri::from_static("/")),
            idle: settings.timeouts.idle,
            message_limit: settings.limits.message,
        }
    }

    /// The headers of every POST. Nothing of a client's request is among them (SEC-36).
    pub(super) fn headers(
        version: Option<ProtocolVersion>,
        session: Option<&HeaderValue>,
    ) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("sekisho/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(version) = version {
            headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
        }
        if let Some(session) = session {
            headers.insert(SESSION_ID, session.clone());
        }
        headers
    }

    /// The headers of a modern request (UC-3).
    pub(super) fn modern_headers(
        version: ProtocolVersion,
        method: &'static str,
        name: Option<HeaderValue>,
    ) -> HeaderMap {
        let mut headers = Self::headers(Some(version), None);
        headers.insert(METHOD, HeaderValue::from_static(method));
        if let Some(name) = name {
            headers.insert(NAME, name);
        }
        headers
    }

    pub(super) async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        first_byte: Duration,
        again: Again,
    ) -> Result<Received, CallError> {
        self.send(Method::POST, headers, Body::full(body), first_byte, again)
            .await
    }

    /// Opens the notification stream of the session era.
    pub(super) async fn get(
        &self,
        mut headers: HeaderMap,
        first_byte: Duration,
    ) -> Result<Received, CallError> {
        headers.remove(CONTENT_TYPE);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.send(Method::GET, headers, Body::empty(), first_byte, Again::Yes)
            .await
    }

    /// Ends a session; whether the server minds is not asked.
    pub(super) async fn delete(&self, mut headers: HeaderMap, limit: Duration) {
        headers.remove(CONTENT_TYPE);
        let sent = self
            .send(Method::DELETE, headers, Body::empty(), limit, Again::Yes)
            .await;
        if let Ok(received) = sent {
            received.read_explanation().await;
        }
    }

    async fn send(
        &self,
        verb: Method,
        headers: HeaderMap,
        body: Body,
        first_byte: Duration,
        again: Again,
    ) -> Result<Received, CallError> {
        let mut request = Request::new(body);
        *request.method_mut() = verb;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        if again == Again::Yes {
            request.extensions_mut().insert(Repeatable);
        }
        let response = self.upstream.send_within(request, first_byte).await?;
        let status = response.status();
        let encoded = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            return Err(Violation::ContentEncoding.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = response.headers().get(WWW_AUTHENTICATE);
            let challenge = challenge
                .and_then(|value| value.to_str().ok())
                .map(Box::from);
            return Err(CallError::UpstreamUnauthorized { challenge });
        }
        Ok(Received {
            response,
            idle: self.idle,
            limit: self.message_limit,
        })
    }
}

/// The head of an answer has come, its body streams.
#[derive(Debug)]
pub(super) struct Received {
    response: Response<Body>,
    idle: Duration,
    limit: usize,
}

/// What sort of body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Events,
    Other,
}

impl Received {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn session_id(&self) -> Option<&HeaderValue> {
        self.response.headers().get(SESSION_ID)
    }

    pub(super) fn content(&self) -> Content {
        let Some(value) = self.response.headers().get(CONTENT_TYPE) else {
            return Content::Other;
        };
        let essence = value
            .as_bytes()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let essence = essence.trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Content::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Content::Events
        } else {
            Content::Other
        }
    }

    /// The whole body.
    pub(super) async fn read(self) -> Result<Bytes, CallError> {
        match net::body::read_bounded(self.response.into_body(), self.limit, self.idle).await {
            Ok(bytes) => Ok(bytes),
            Err(BodyError::TooLarge { limit }) => Err(CallError::TooLarge { limit }),
            Err(BodyError::Stalled) => Err(CallError::TimedOut(Stage::Idle)),
            Err(BodyError::Interrupted(_)) => Err(CallError::ClosedMidStream),
        }
    }

    /// The body of an HTTP error, if it is of a size to look at.
    pub(super) async fn read_explanation(self) -> Bytes {
        let limit = EXPLANATION.min(self.limit);
        net::body::read_bounded(self.response.into_body(), limit, self.idle)
            .await
            .unwrap_or_default()
    }

    pub(super) fn events(self) -> Events {
        let limits = sse::Limits {
            line: self.limit,
            event: self.limit,
        };
        Events {
            body: self.response.into_body(),
            decoder: Decoder::new(limits),
            ready: VecDeque::new(),
            decoded: Vec::new(),
            idle: self.idle,
            resumed_after: None,
            earlier_retry: None,
        }
    }
}

/// A body as a sequence of events.
#[derive(Debug)]
pub(super) struct Events {
    body: Body,
    decoder: Decoder,
    ready: VecDeque<Event>,
    decoded: Vec<Event>,
    idle: Duration,
    /// The event after which this stream took up an earlier one.
    resumed_after: Option<Box<str>>,
    /// What that one said about the pause before it is taken up.
    earlier_retry: Option<Duration>,
}

impl Events {
    /// Another bound on the time between two pieces.
    pub(super) const fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// This stream goes on where an earlier one stopped, whose pause holds until it says another.
    pub(super) fn after(mut self, last: &HeaderValue, retry: Option<Duration>) -> Self {
        self.resumed_after = last.to_str().ok().map(Box::from);
        self.earlier_retry = retry;
        self
    }

    /// The id of the last event that came, if events have ids.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.decoder
            .last_event_id()
            .or(self.resumed_after.as_deref())
            .filter(|id| !id.is_empty())
    }

    /// How long the server wants us to wait before taking the stream up again.
    pub(super) fn retry(&self) -> Option<Duration> {
        let said = self.decoder.retry().map(Duration::from_millis);
        said.or(self.earlier_retry)
    }

    /// The next event; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = match tokio::time::timeout(self.idle, self.body.frame()).await {
                Err(_) => return Err(CallError::TimedOut(Stage::Idle)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(CallError::ClosedMidStream),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match self.decoder.push(&data, &mut self.decoded) {
                Ok(()) => self
                    .ready
                    .extend(self.decoded.drain(..).filter(Event::is_message)),
                Err(SseError::LineTooLong { limit } | SseError::EventTooLarge { limit }) => {
                    return Err(CallError::TooLarge { limit });
                }
            }
        }
    }

    /// Lets the body end by itself, so that its connection can be used again. What still comes is
    /// not looked at; if it does not end soon, the connection is closed.
    pub(super) fn finish(self, tracker: &TaskTracker) {
        let mut body = self.body;
        let mut at_end = Box::pin(async move {
            let mut spare = EXPLANATION;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match spare.checked_sub(length) {
                    Some(left) => spare = left,
                    None => return,
                }
            }
        });
        // Usually the end came together with the last event, and no task is needed.
        if Pin::new(&mut at_end).now_or_never().is_none() {
            tracker.spawn(async move {
                let _ = tokio::time::timeout(TAIL, at_end).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &'static str) -> Events {
        let received = Received {
            response: Response::new(Body::full(text)),
            idle: Duration::from_secs(1),
            limit: 1_000,
        };
        received.events()
    }

    // UC-8, TL-7
    #[tokio::test]
    async fn a_stream_that_goes_on_knows_what_the_earlier_one_said_until_it_says_otherwise() {
        let last = HeaderValue::from_static("7");
        let said = Some(Duration::from_secs(15));
        let mut silent = events("data:\n\n").after(&last, said);
        silent.next().await.unwrap();
        assert_eq!((silent.last_event_id(), silent.retry()), (Some("7"), said));
        let mut other = events("id: 8\nretry: 20\ndata:\n\n").after(&last, said);
        other.next().await.unwrap();
        let said = Some(Duration::from_millis(20));
        assert_eq!((other.last_event_id(), other.retry()), (Some("8"), said));
    }
}
