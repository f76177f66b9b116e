//! One HTTP exchange with the server: what is sent with every request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::mcp::era::ProtocolVersion;
use ::mcp::header;
use ::mcp::method::Method as McpMethod;
use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use model::target::Target;
use net::body::Body;
use net::egress::outgoing::{Fields, Outgoing};
use net::egress::pool::Upstream;
use tokio_util::task::TaskTracker;
use url::Url;

use super::endpoint::Endpoint;
use super::oddity::Oddities;
use super::pairs::{Asked, Pairs};
use super::received::{Reading, Received, SESSION_ID};
use super::session::Session;
use crate::error::CallError;
use crate::outward::{Asker, Outward};

const NAME: HeaderName = HeaderName::from_static(header::NAME);
const METHOD: HeaderName = HeaderName::from_static(header::METHOD);
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
    pairs: Arc<Pairs>,
    reading: Reading,
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
    session: Option<&'a HeaderValue>,
    fields: Fields,
}

impl<'a> Head<'a> {
    /// One that says nothing.
    pub(super) fn new(asker: &'a Asker) -> Self {
        Self {
            asker,
            session: None,
            fields: Fields::with_capacity(256),
        }
    }

    /// That of a request in a session (TL-2, TL-3).
    pub(super) fn in_session(session: &'a Session) -> Self {
        let version = HeaderValue::from_static(session.version().as_str());
        Self {
            session: session.id(),
            ..Self::new(session.asker()).with(&PROTOCOL_VERSION, &version)
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
        tracker: TaskTracker,
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
        let posts = upstream.with_headers(&headers);
        let endpoint = Arc::new(Endpoint::of(settings.name.shared(), url));
        let outward = Arc::new(Outward::of(settings));
        let reading = Reading {
            target: Arc::clone(settings.name.shared()),
            oddities,
            idle: settings.timeouts.idle,
            limit: settings.limits.message,
        };
        Self {
            pairs: Arc::new(Pairs::new(
                (posts.clone(), gets.clone()),
                Arc::clone(&endpoint),
                Arc::clone(&outward),
                reading.clone(),
                tracker,
            )),
            posts,
            gets,
            deletes,
            endpoint,
            outward,
            reading,
        }
    }

    pub(super) async fn post(
        &self,
        head: Head<'_>,
        body: Vec<u8>,
        first_byte: Duration,
        again: Again,
    ) -> Result<Received, CallError> {
        let body = Bytes::from(body);
        if self.pairs.are_spoken() {
            let asked = Asked {
                asker: head.asker,
                session: head.session,
                fields: &head.fields,
                body: &body,
            };
            // Rare: boxed, so that a call without it stays small.
            if let Some(received) = Box::pin(self.pairs.post(asked, first_byte)).await? {
                return Ok(received);
            }
        }
        self.send(Method::POST, head, Body::full(body), first_byte, again)
            .await
    }

    /// The transport of 2024-11-05, if the server speaks it.
    pub(super) const fn pairs(&self) -> &Arc<Pairs> {
        &self.pairs
    }

    /// Opens the notification stream of the session era.
    pub(super) async fn get(
        &self,
        head: Head<'_>,
        first_byte: Duration,
    ) -> Result<Received, CallError> {
        if let Some(session) = head.session.filter(|_| self.pairs.are_spoken()) {
            return self.pairs.listen(session);
        }
        self.send(Method::GET, head, Body::empty(), first_byte, Again::Yes)
            .await
    }

    /// Ends a session; whether the server minds is not asked.
    pub(super) async fn delete(&self, head: Head<'_>, limit: Duration) {
        if let Some(session) = head.session.filter(|_| self.pairs.are_spoken()) {
            return self.pairs.end(session);
        }
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
        let Head {
            asker,
            session,
            mut fields,
        } = head;
        if let Some(session) = session {
            fields.add(&SESSION_ID, session);
        }
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
        self.reading.begin(response)
    }
}
