//! One HTTP exchange with the server: what is sent with every request, and how a body is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::mcp::answer::first_byte;
use ::mcp::era::ProtocolVersion;
use ::mcp::header;
use ::mcp::method::Method as McpMethod;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    USER_AGENT, WWW_AUTHENTICATE,
};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt as _};
use model::target::Target;
use net::body::{Body, BodyError, BoxError};
use net::egress::client::is_encoded;
use net::egress::outgoing::{Fields, Outgoing};
use net::egress::pool::Upstream;
use net::media;
use url::Url;

use super::events::{EXPLANATION, Events};
use super::oddity::{Oddities, Oddity};
use super::session::Session;
use crate::error::{CallError, Challenge, LeadsTo, Stage, Violation};
use crate::meter::{self, Counted, Held, NoRoom};
use crate::outward::{Asker, Outward};

const NAME: HeaderName = HeaderName::from_static(header::NAME);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static(header::PROTOCOL_VERSION);

/// The server's endpoint.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// For each verb, with the headers that its requests have in any case.
    posts: Upstream,
    gets: Upstream,
    deletes: Upstream,
    endpoint: Arc<Endpoint>,
    outward: Arc<Outward>,
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
    path: PathAndQuery,
    /// Where the server redirects to, within its origin.
    moved: ArcSwapOption<PathAndQuery>,
    /// Something was served there: until then a redirect may come, and a request may have to be sent twice.
    settled: AtomicBool,
}

/// May a request be sent again if the connection breaks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

/// What a request says in its head besides what all of its verb do, and who makes us send it. Nothing of a client's head is
/// among it (SEC-36).
#[derive(Debug)]
pub(super) struct Head<'a> {
    asker: &'a Asker,
    fields: Fields,
}

impl<'a> Head<'a> {
    /// One that says nothing.
    pub(super) fn new(asker: &'a Asker) -> Self {
        Self {
            asker,
            fields: Fields::with_capacity(256),
        }
    }

    /// That of a request in a session (TL-2, TL-3).
    pub(super) fn in_session(session: &'a Session) -> Self {
        let version = HeaderValue::from_static(session.version().as_str());
        let head = Self::new(session.asker()).with(&PROTOCOL_VERSION, &version);
        match session.id() {
            Some(id) => head.with(&SESSION_ID, id),
            None => head,
        }
    }

    /// That of a modern request (UC-3).
    pub(super) fn modern(asker: &'a Asker, version: ProtocolVersion, method: McpMethod) -> Self {
        Self::new(asker)
            .with(
                &PROTOCOL_VERSION,
                &HeaderValue::from_static(version.as_str()),
            )
            .with(&METHOD, &HeaderValue::from_static(method.as_str()))
    }

    /// That of one that names what it is about.
    pub(super) fn named(self, name: &HeaderValue) -> Self {
        self.with(&NAME, name)
    }

    /// The same with one more field.
    pub(super) fn with(mut self, name: &HeaderName, value: &HeaderValue) -> Self {
        self.fields.add(name, value);
        self
    }
}

impl Wire {
    pub(super) fn new(
        upstream: Upstream,
        url: &Url,
        settings: &Target,
        oddities: Arc<Oddities>,
    ) -> Self {
        let upstream = upstream.connecting_within(settings.timeouts.connect);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("sekisho/", env!("CARGO_PKG_VERSION"))),
        );
        let mut accepting = |media_types| {
            headers.insert(ACCEPT, HeaderValue::from_static(media_types));
            upstream.clone().with_headers(&headers)
        };
        let gets = accepting("text/event-stream");
        let deletes = accepting("application/json, text/event-stream");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            posts: upstream.with_headers(&headers),
            gets,
            deletes,
            endpoint: Arc::new(Endpoint {
                target: Arc::clone(settings.name.shared()),
                url: url.clone(),
                path: path_of(url),
                moved: ArcSwapOption::empty(),
                settled: AtomicBool::new(false),
            }),
            outward: Arc::new(Outward::of(settings)),
            oddities,
            idle: settings.timeouts.idle,
            message_limit: settings.limits.message,
        }
    }

    pub(super) async fn post(
        &self,
        head: Head<'_>,
        body: Vec<u8>,
        first_byte: Duration,
        again: Again,
    ) -> Result<Received, CallError> {
        self.send(Method::POST, head, Body::full(body), first_byte, again)
            .await
    }

    /// Opens the notification stream of the session era.
    pub(super) async fn get(
        &self,
        head: Head<'_>,
        first_byte: Duration,
    ) -> Result<Received, CallError> {
        self.send(Method::GET, head, Body::empty(), first_byte, Again::Yes)
            .await
    }

    /// Ends a session; whether the server minds is not asked.
    pub(super) async fn delete(&self, head: Head<'_>, limit: Duration) {
        let sent = self
            .send(Method::DELETE, head, Body::empty(), limit, Again::Yes)
            .await;
        if let Ok(received) = sent {
            received.read_explanation().await;
        }
    }

    async fn send(
        &self,
        verb: Method,
        head: Head<'_>,
        body: Body,
        first_byte: Duration,
        again: Again,
    ) -> Result<Received, CallError> {
        let endpoint = &self.endpoint;
        let upstream = match verb {
            Method::GET => &self.gets,
            Method::DELETE => &self.deletes,
            _ => &self.posts,
        };
        let Head { asker, mut fields } = head;
        self.outward.show(asker, &mut fields);
        let request = Outgoing {
            method: verb,
            path: endpoint.path(),
            fields,
            body,
            repeatable: again == Again::Yes,
        };
        let spare = (!endpoint.settled.load(Ordering::Relaxed))
            .then(|| request.copy())
            .flatten();
        let mut response = upstream.send_within(request, first_byte).await?;
        if response.status().is_redirection() {
            endpoint.settled.store(false, Ordering::Relaxed);
            // It was redirected instead of being served, so that it may be sent again.
            if endpoint.follow(&response)
                && let Some(mut request) = spare
            {
                request.path = endpoint.path();
                response = upstream.send_within(request, first_byte).await?;
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
}

fn path_of(url: &Url) -> PathAndQuery {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // A parsed URL has a path that is a valid one of HTTP.
    path.parse()
        .unwrap_or_else(|_| PathAndQuery::from_static("/"))
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
        let path = path_of(&to);
        let already_there = self.path() == path;
        if !(same_host && same_port && followed) || already_there {
            return false;
        }
        tracing::warn!(
            target.name = %self.target, to = path.path(),
            "target `{}` redirects within its origin, to `{}`; hint: make that the path of its URL",
            self.target, path.path(),
        );
        self.moved.store(Some(Arc::new(path)));
        true
    }

    fn path(&self) -> PathAndQuery {
        let moved = self.moved.load();
        moved.as_deref().unwrap_or(&self.path).clone()
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
        let (mut ahead, mut size) = (Vec::new(), 0);
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
            size += data.len();
            ahead.push(Ok::<_, BoxError>(data));
            // Nobody counts these yet.
            if first.is_some() || ahead.len() > 64 || size > meter::SMALL {
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
        let essence = media::essence(value.as_bytes());
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
        self.read_within(&mut Held::default()).await
    }

    /// The same, counted as it arrives.
    pub(super) async fn read_within(self, held: &mut Held) -> Result<Bytes, CallError> {
        let limit = self.limit;
        self.read_up_to(limit, held).await
    }

    /// The body of an HTTP error, if it is of a size to look at.
    pub(super) async fn read_explanation(self) -> Bytes {
        let mut nobodys = Held::default();
        self.read_explanation_within(&mut nobodys)
            .await
            .unwrap_or_default()
    }

    /// The same, counted as it arrives.
    pub(super) async fn read_explanation_within(self, held: &mut Held) -> Result<Bytes, NoRoom> {
        let limit = EXPLANATION.min(self.limit);
        match self.read_up_to(limit, held).await {
            Err(CallError::NoRoom(full)) => Err(full),
            read => Ok(read.unwrap_or_default()),
        }
    }

    async fn read_up_to(self, limit: usize, held: &mut Held) -> Result<Bytes, CallError> {
        let body = Counted {
            body: self.response.into_body(),
            held,
        };
        let read = net::body::read_bounded(body, limit, self.idle).await;
        read.map_err(|error| match error {
            BodyError::TooLarge { limit } => CallError::TooLarge { limit },
            BodyError::Stalled => CallError::TimedOut(Stage::Idle),
            BodyError::Interrupted(cause) => match cause.downcast_ref::<NoRoom>() {
                Some(full) => (*full).into(),
                None => CallError::ClosedMidStream,
            },
        })
    }

    pub(super) fn events(self) -> Events {
        Events::new(self.response.into_body(), self.limit, self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
