//! One HTTP exchange with the server: what is sent with every request, and how a body is read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::mcp::answer::first_byte;
use ::mcp::era::ProtocolVersion;
use ::mcp::header;
use ::mcp::sse::{self, Decoder, Event, SseError};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    USER_AGENT, WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyDataStream, BodyExt as _};
use net::body::{Body, BodyError, BoxError};
use net::egress::client::is_encoded;
use net::egress::pool::{Repeatable, Upstream};
use tokio_util::task::TaskTracker;
use url::Url;

use super::Settings;
use super::oddity::{Oddities, Oddity};
use crate::error::{CallError, Challenge, LeadsTo, Stage, Violation};

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
    endpoint: Arc<Endpoint>,
    oddities: Arc<Oddities>,
    idle: Duration,
    message_limit: usize,
}

/// Where requests are sent to.
#[derive(Debug)]
struct Endpoint {
    target: Arc<str>,
    /// As configured.
    url: Url,
    uri: Arc<Uri>,
    /// Where the server redirects to, within its origin.
    moved: ArcSwapOption<Uri>,
    /// Something was served there: until then a redirect may come, and a request may have to be sent twice.
    settled: AtomicBool,
}

/// May a request be sent again if the connection breaks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

impl Wire {
    pub(super) fn new(upstream: Upstream, settings: &Settings, oddities: Arc<Oddities>) -> Self {
        Self {
            upstream: upstream.connecting_within(settings.timeouts.connect),
            endpoint: Arc::new(Endpoint {
                target: Arc::clone(&settings.name),
                url: settings.url.clone(),
                uri: Arc::new(path_of(&settings.url)),
                moved: ArcSwapOption::empty(),
                settled: AtomicBool::new(false),
            }),
            oddities,
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
        let endpoint = &self.endpoint;
        let spare = (!endpoint.settled.load(Ordering::Relaxed))
            .then(|| Some((headers.clone(), body.as_bytes()?)))
            .flatten();
        let request = self.request(&verb, headers, body, again);
        let mut response = self.upstream.send_within(request, first_byte).await?;
        if response.status().is_redirection() {
            endpoint.settled.store(false, Ordering::Relaxed);
            // It was redirected instead of being served, so that it may be sent again.
            if endpoint.follow(&response)
                && let Some((headers, body)) = spare
            {
                let request = self.request(&verb, headers, Body::full(body), again);
                response = self.upstream.send_within(request, first_byte).await?;
            }
        } else if response.status().is_success() {
            endpoint.settled.store(true, Ordering::Relaxed);
        }
        if is_encoded(response.headers()) {
            return Err(Violation::ContentEncoding.into());
        }
        Ok(Received {
            response,
            target: Arc::clone(&endpoint.target),
            oddities: Arc::clone(&self.oddities),
            idle: self.idle,
            limit: self.message_limit,
        })
    }

    fn request(
        &self,
        verb: &Method,
        headers: HeaderMap,
        body: Body,
        again: Again,
    ) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = verb.clone();
        request.uri_mut().clone_from(&self.endpoint.current());
        *request.headers_mut() = headers;
        if again == Again::Yes {
            request.extensions_mut().insert(Repeatable);
        }
        request
    }
}

fn path_of(url: &Url) -> Uri {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // A parsed URL has a path that is a valid one of HTTP.
    path.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

impl Endpoint {
    /// Takes up a redirect within the origin, so that the next request goes there; `false` if it leads elsewhere.
    ///
    /// 307 and 308 keep the method. 301 and 302 are sent for a slash at the end as well; otherwise they mean a page for
    /// people, of a login for instance.
    fn follow(&self, response: &Response<Body>) -> bool {
        let status = response.status().as_u16();
        let Some(to) = self.leads_to(response) else {
            return false;
        };
        let same_host = to.host() == self.url.host();
        // Behind something that ends TLS, servers write the scheme and port that they know themselves.
        let same_port = to.port_or_known_default() == self.url.port_or_known_default()
            || to.port().is_none() && self.url.port().is_none();
        let only_a_slash = to.path().trim_end_matches('/') == self.url.path().trim_end_matches('/');
        let followed = match status {
            307 | 308 => true,
            301 | 302 => only_a_slash,
            _ => false,
        };
        let uri = path_of(&to);
        let already_there = *self.current() == uri;
        if !(same_host && same_port && followed) || already_there {
            return false;
        }
        tracing::warn!(
            target.name = %self.target, to = uri.path(),
            "target `{}` redirects within its origin, to `{}`; hint: make that the path of its URL",
            self.target, uri.path(),
        );
        self.moved.store(Some(Arc::new(uri)));
        true
    }

    fn current(&self) -> Arc<Uri> {
        let moved = self.moved.load_full();
        moved.unwrap_or_else(|| Arc::clone(&self.uri))
    }

    fn leads_to(&self, response: &Response<Body>) -> Option<Url> {
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        self.url.join(location).ok()
    }
}

/// The head of an answer has come, its body streams.
#[derive(Debug)]
pub(super) struct Received {
    response: Response<Body>,
    target: Arc<str>,
    oddities: Arc<Oddities>,
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

    /// Whether the server asks for a credential in the way that HTTP has for it.
    pub(super) fn has_challenge(&self) -> bool {
        self.response.headers().contains_key(WWW_AUTHENTICATE)
    }

    /// What a status that is no success means, if the body does not explain it.
    pub(super) fn failure(&self) -> CallError {
        let status = self.status();
        let text = |name| {
            let value = self.response.headers().get(name)?;
            Some(Box::from(value.to_str().ok()?))
        };
        if status == StatusCode::UNAUTHORIZED {
            let challenge = text(WWW_AUTHENTICATE).map(Challenge);
            return CallError::UpstreamUnauthorized { challenge };
        }
        let status = status.as_u16();
        match text(LOCATION) {
            Some(to) if (300..400).contains(&status) => CallError::UpstreamRedirect {
                status,
                to: LeadsTo(to),
            },
            _ => CallError::UpstreamHttp { status },
        }
    }

    /// What the body is: what the server says, or what it looks like if the server says nothing or something odd.
    pub(super) async fn content(&mut self) -> Result<Content, CallError> {
        let stated = self.stated_content();
        if stated != Content::Other {
            return Ok(stated);
        }
        let mut body = std::mem::take(self.response.body_mut());
        let mut ahead = Vec::new();
        let first = loop {
            let frame = match tokio::time::timeout(self.idle, body.frame()).await {
                Err(_) => return Err(CallError::TimedOut(Stage::Idle)),
                Ok(None) => break None,
                Ok(Some(Err(_))) => return Err(CallError::ClosedMidStream),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let first = first_byte(&data);
            ahead.push(Ok::<_, BoxError>(data));
            if first.is_some() || ahead.len() > 64 {
                break first;
            }
        };
        let content = match first {
            Some(b'{' | b'[') => Content::Json,
            // `data:`, `event:`, `id:`, `retry:`, or a comment.
            Some(b'd' | b'e' | b'i' | b'r' | b':') => Content::Events,
            _ => Content::Other,
        };
        if content != Content::Other {
            self.oddities.note(&self.target, Oddity::MediaType);
        }
        let rest = BodyDataStream::new(body);
        *self.response.body_mut() =
            Body::from_stream(futures_util::stream::iter(ahead).chain(rest));
        Ok(content)
    }

    fn stated_content(&self) -> Content {
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
                Ok(None) => return Ok(self.decoder.finish().filter(Event::is_message)),
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
        received("", text).events()
    }

    fn received(content_type: &str, text: &'static str) -> Received {
        let mut response = Response::new(Body::full(text));
        if !content_type.is_empty() {
            let content_type = HeaderValue::try_from(content_type).unwrap();
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        Received {
            response,
            target: "t".into(),
            oddities: Arc::default(),
            idle: Duration::from_secs(1),
            limit: 1_000,
        }
    }

    #[tokio::test]
    async fn a_body_without_a_useful_media_type_is_what_it_looks_like() {
        for content_type in ["", "text/plain", "application/vnd.api+json", "text/html"] {
            for (text, content) in [
                ("{\"a\":1}", Content::Json),
                ("\u{feff}\r\n {}", Content::Json),
                ("[]", Content::Json),
                ("data: x\n\n", Content::Events),
                (": hello\n\nevent: message\ndata: x\n\n", Content::Events),
                ("<html>", Content::Other),
                ("", Content::Other),
                ("  ", Content::Other),
            ] {
                let mut received = received(content_type, text);
                let found = received.content().await.unwrap();
                assert_eq!(found, content, "{content_type}: {text}");
                assert_eq!(received.read().await.unwrap(), text);
            }
        }
        for (content_type, content) in [
            ("application/json; charset=utf-8", Content::Json),
            ("Text/Event-Stream", Content::Events),
        ] {
            assert_eq!(
                received(content_type, "?").content().await.unwrap(),
                content
            );
        }
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
