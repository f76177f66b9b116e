//! Answers of targets on their way to the client: the envelope is ours, the content is theirs.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use mcp::edit::{Change, changed};
use mcp::era::Era;
use mcp::error::Code;
use mcp::id::{Id, OwnedId};
use mcp::jsonrpc;
use mcp::meta;
use mcp::method::Method;
use mcp::raw::Raw;
use mcp::{result, sse};
use net::body::Body;
use targets::reply::{Answer, Message, Outcome, Reply};
use tokio::time::{Instant, MissedTickBehavior};

use crate::cx::Cx;
use crate::detach::{Stream, Ticket};
use crate::media::Accepted;
use crate::quota::{Held, Usage};
use crate::refusal::Refusal;

/// The client's side of a call.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: OwnedId,
    pub(crate) era: Era,
    pub(crate) accepted: Accepted,
    /// Whether log messages were asked for. A modern client that did not ask gets none, and neither does a legacy one: to
    /// those we declare no `logging`, for want of a place to keep the level that each session set.
    pub(crate) wants_logs: bool,
    /// What its caller has under way.
    pub(crate) usage: Arc<Usage>,
}

/// Passes a reply on, in whichever form the client takes.
pub(crate) async fn reply(
    cx: &Arc<Cx>,
    client: Client,
    reply: Reply,
    ticket: Ticket,
) -> Result<Response<Body>, Refusal> {
    match reply {
        Reply::One(answer) => one(cx, &client, answer),
        Reply::Stream(messages) => {
            let stream = Stream::new(messages, ticket);
            if client.accepted.events {
                Ok(events(follow(Arc::clone(cx), client, stream)))
            } else {
                // Rare, and large: boxed, so that a call without it stays small.
                Box::pin(last(cx, &client, stream)).await
            }
        }
    }
}

/// A single answer. It counts as its caller's until it was read.
fn one(cx: &Cx, client: &Client, answer: Answer) -> Result<Response<Body>, Refusal> {
    let mut held = client.usage.hold();
    held.grow(answer.len()).map_err(Refusal::TooMuch)?;
    let (message, status) = answer_message(answer, client.id.borrow(), client.era, &cx.server_info);
    Ok(counted_response(message, status, client.accepted, held))
}

/// A small message of our own making, in whichever form the client takes.
pub(crate) fn message_response(
    message: Vec<u8>,
    status: StatusCode,
    accepted: Accepted,
) -> Response<Body> {
    in_form(message, status, accepted, Bytes::from)
}

/// A message that counts as its caller's until it was read.
pub(crate) fn counted_response(
    message: Vec<u8>,
    status: StatusCode,
    accepted: Accepted,
    held: Held,
) -> Response<Body> {
    in_form(message, status, accepted, |body| held.keep(body))
}

fn in_form(
    message: Vec<u8>,
    status: StatusCode,
    accepted: Accepted,
    body: impl FnOnce(Vec<u8>) -> Bytes,
) -> Response<Body> {
    let (message, media_type) = if accepted.json {
        (message, "application/json")
    } else {
        (sse::encode(&message), "text/event-stream")
    };
    let mut response = Response::new(Body::full(body(message)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An event stream (TM-12).
pub(crate) fn events(
    stream: impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The answer at the end of a stream, for a client that takes no events: what comes before is dropped.
async fn last(cx: &Cx, client: &Client, mut stream: Stream) -> Result<Response<Body>, Refusal> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Notification { .. })) => {}
            Some(Ok(Message::Answer(answer))) => return one(cx, client, answer),
            Some(Err(error)) => return Err(Refusal::Target(error)),
            None => return Err(Refusal::Target(targets::error::CallError::ClosedMidStream)),
        }
    }
}

struct Following {
    cx: Arc<Cx>,
    client: Client,
    stream: Stream,
    quiet: tokio::time::Interval,
    over: bool,
}

/// The messages of a call as events; a comment where it is quiet for long; an error where it breaks off.
fn follow(
    cx: Arc<Cx>,
    client: Client,
    stream: Stream,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    let quiet = keep_alive(&cx);
    let following = Following {
        cx,
        client,
        stream,
        quiet,
        over: false,
    };
    futures_util::stream::unfold(following, |mut following| async move {
        let bytes = following.next().await?;
        Some((Ok(bytes), following))
    })
}

/// Ticks when a stream was quiet for long.
pub(crate) fn keep_alive(cx: &Cx) -> tokio::time::Interval {
    let period = cx.limits.keep_alive;
    let mut quiet = tokio::time::interval_at(Instant::now() + period, period);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    quiet
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        loop {
            let message = tokio::select! {
                biased;
                message = self.stream.next() => message,
                _ = self.quiet.tick() => return Some(Bytes::from_static(sse::KEEP_ALIVE)),
            };
            self.quiet.reset();
            let (id, era) = (&self.client.id, self.client.era);
            return match message {
                Some(Ok(Message::Notification { method, raw })) => {
                    if method == Method::LogMessage && !self.client.wants_logs {
                        continue;
                    }
                    Some(self.event(&notification(&raw)))
                }
                Some(Ok(Message::Answer(answer))) => {
                    self.over = true;
                    let (message, _) =
                        answer_message(answer, id.borrow(), era, &self.cx.server_info);
                    Some(self.event(&message))
                }
                // The client took its request back: it wants nothing more of it.
                Some(Err(targets::error::CallError::Cancelled)) | None => None,
                Some(Err(error)) => {
                    self.over = true;
                    let refusal = Refusal::Target(error);
                    tracing::info!(
                        gateway = %self.cx.name, reason = refusal.name(), detail = %refusal.detail(),
                        "a call broke off in mid-stream"
                    );
                    Some(sse::encode(&refusal.message(id, era)).into())
                }
            };
        }
    }
}

impl Following {
    /// A message as an event that counts as its caller's until it was read. Where there is no room for it, the stream ends
    /// with an error instead, and the call with it.
    fn event(&mut self, message: &[u8]) -> Bytes {
        let event = sse::encode(message);
        let mut held = self.client.usage.hold();
        match held.grow(event.len()) {
            Ok(()) => held.keep(event),
            Err(what) => {
                self.over = true;
                let refusal = Refusal::TooMuch(what);
                sse::encode(&refusal.message(&self.client.id, self.client.era)).into()
            }
        }
    }
}

/// A notification without what only the target's hop has to know.
fn notification(raw: &Bytes) -> Cow<'_, [u8]> {
    let untouched = Cow::Borrowed(raw.as_ref());
    if !meta::mentions_reserved(raw) {
        return untouched;
    }
    let Some(message) = std::str::from_utf8(raw).ok().map(Raw::trusted) else {
        return untouched;
    };
    let Some(params) = message.get("params") else {
        return untouched;
    };
    if params.get("_meta").is_none() {
        return untouched;
    }
    let rest = [Change::within_if_any("_meta", &meta::WITHOUT_HOP_KEYS)];
    Cow::Owned(changed(message, &[Change::within("params", &rest)]).into_bytes())
}

/// The response message for an answer, as the client's era wants it, and its HTTP status.
fn answer_message(
    answer: Answer,
    id: Id<'_>,
    era: Era,
    server_info: &str,
) -> (Vec<u8>, StatusCode) {
    match answer.outcome {
        Outcome::Result(raw) => {
            let message = match era {
                Era::Stateless => result::modern_response(id, raw.borrow(), server_info),
                Era::Session => result::legacy_response(id, raw.borrow()),
            };
            (message, StatusCode::OK)
        }
        Outcome::Error { code, raw } => {
            let raw = raw.borrow();
            let translated = translate(code, era);
            let status =
                StatusCode::from_u16(translated.http_status(era)).unwrap_or(StatusCode::OK);
            if translated == code {
                return (jsonrpc::error_from(id, raw), status);
            }
            let error = changed(raw, &[Change::set("code", &translated.to_string())]);
            (jsonrpc::error_from(id, Raw::trusted(&error)), status)
        }
    }
}

/// A code that exists in the client's era (D12, TM-20).
fn translate(code: Code, era: Era) -> Code {
    match (code.exists_in(era), code) {
        (true, code) => code,
        (false, Code(-32002)) => Code::INVALID_PARAMS,
        (false, _) => Code::TARGET_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use mcp::raw::OwnedRaw;

    use super::*;

    const INFO: &str = r#"{"name":"demo"}"#;

    fn message(era: Era, outcome: Outcome) -> (String, u16) {
        let id = OwnedId::number(7);
        let answer = Answer {
            era: Era::Session,
            outcome,
        };
        let (message, status) = answer_message(answer, id.borrow(), era, INFO);
        (String::from_utf8(message).unwrap(), status.as_u16())
    }

    fn result(text: &'static str) -> Outcome {
        Outcome::Result(OwnedRaw::parse(text).unwrap())
    }

    fn error(code: i64) -> Outcome {
        let raw = format!(r#"{{"code":{code},"message":"m","data":{{"x":1.0}}}}"#);
        Outcome::Error {
            code: Code(code),
            raw: OwnedRaw::parse(raw).unwrap(),
        }
    }

    // TM-16
    #[test]
    fn results_take_the_form_of_the_clients_era() {
        let text = r#"{"content":[{"type":"text","text":"5"}],"n":1e2}"#;
        insta::assert_snapshot!(message(Era::Session, result(text)).0, @r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"5"}],"n":1e2}}"#);
        insta::assert_snapshot!(message(Era::Stateless, result(text)).0, @r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"5"}],"n":1e2,"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"demo"}}}}"#);
    }

    // TM-10, TM-20
    #[test]
    fn error_codes_take_the_form_of_the_clients_era() {
        insta::assert_snapshot!(message(Era::Stateless, error(-32002)).0, @r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m","data":{"x":1.0}}}"#);
        insta::assert_snapshot!(message(Era::Session, error(-32002)).0, @r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"m","data":{"x":1.0}}}"#);
        assert_eq!(message(Era::Stateless, error(-32601)).1, 404);
        assert_eq!(message(Era::Session, error(-32601)).1, 200);
        insta::assert_snapshot!(message(Era::Session, error(-32021)).0, @r#"{"jsonrpc":"2.0","id":7,"error":{"code":-31502,"message":"m","data":{"x":1.0}}}"#);
    }

    #[test]
    fn notifications_lose_the_keys_of_their_hop_and_nothing_else() {
        let plain = Bytes::from_static(
            br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{ "progress":1.0}}"#,
        );
        assert!(matches!(notification(&plain), Cow::Borrowed(_)));
        let marked = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"m","params":{"a":1.0,"_meta":{"io.modelcontextprotocol/serverInfo":{},"b":2}}}"#);
        let passed = String::from_utf8(notification(&marked).into_owned()).unwrap();
        insta::assert_snapshot!(passed, @r#"{"jsonrpc":"2.0","method":"m","params":{"a":1.0,"_meta":{"b":2}}}"#);
    }
}
