//! An answer of the server as it arrives: its head, and how its body is read.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::answer::first_byte;
use ::mcp::header;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt as _};
use net::body::{Body, BodyError, BoxError};
use net::egress::client::is_encoded;
use net::media;

use super::events::{EXPLANATION, Events};
use super::oddity::{Oddities, Oddity};
use crate::error::{CallError, Challenge, LeadsTo, Stage, Violation};
use crate::meter::{self, Counted, Held, NoRoom};

pub(super) const SESSION_ID: HeaderName = HeaderName::from_static(header::SESSION_ID);

/// How answers are read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) target: Arc<str>,
    pub(super) oddities: Arc<Oddities>,
    pub(super) idle: Duration,
    /// Bytes of a message.
    pub(super) limit: usize,
}

impl Reading {
    /// An answer of the server.
    pub(super) fn begin(&self, response: Response<Body>) -> Result<Received, CallError> {
        if is_encoded(response.headers()) {
            return Err(Violation::ContentEncoding.into());
        }
        Ok(self.begin_own(response))
    }

    /// An answer that is made here.
    pub(super) fn begin_own(&self, response: Response<Body>) -> Received {
        let reading = self.clone();
        Received { response, reading }
    }
}

/// The head of an answer has come, its body streams.
#[derive(Debug)]
pub(super) struct Received {
    response: Response<Body>,
    reading: Reading,
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
            let frame = match tokio::time::timeout(self.reading.idle, body.frame()).await {
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
            self.reading
                .oddities
                .note(&self.reading.target, Oddity::MediaType);
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
        let limit = self.reading.limit;
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
        let limit = EXPLANATION.min(self.reading.limit);
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
        let read = net::body::read_bounded(body, limit, self.reading.idle).await;
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
        Events::new(
            self.response.into_body(),
            self.reading.limit,
            self.reading.idle,
        )
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
            reading: Reading {
                target: "t".into(),
                oddities: Arc::default(),
                idle: Duration::from_secs(1),
                limit: 1_000,
            },
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
