//! Answers of targets on their way to the client: the envelope is ours, the content is theirs.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use mcp::edit::{Change, changed};
use mcp::era::Era;
use mcp::error::Code;
use mcp::id::Id;
use mcp::jsonrpc;
use mcp::mend;
use mcp::meta::{self, LogLevel};
use mcp::method::Method;
use mcp::raw::Raw;
use mcp::{result, sse};
use net::body::Body;
use net::edge::remarks::Remarks;
use targets::apart;
use targets::error::CallError;
use targets::meter::{Held, NoRoom};
use targets::reply::{Answer, Ask, Kind, Message, Outcome, Reply};
use tokio::time::{Instant, MissedTickBehavior};

use crate::asks::Asking;
use crate::client::{Client, Origin};
use crate::cx::Cx;
use crate::detach::{Stream, Ticket};
use crate::input;
use crate::media::Accepted;
use crate::metrics::End;
use crate::parked::Waiting;
use crate::refusal::Refusal;
use crate::resumable::{Carrying, Owner, Resumables};
use crate::tasks;

/// What is said outside of a call, if it was asked for.
pub(crate) fn wanted_outside(method: Method, raw: &Bytes, least: LogLevel) -> Option<Vec<u8>> {
    let is_left_out = method == Method::LogMessage && !is_wanted(raw, Some(least));
    (!is_left_out).then(|| notification(raw).into_owned())
}

/// Whether a log message is among those that were asked for. One that does not say how important it is may be.
fn is_wanted(message: &Bytes, least: Option<LogLevel>) -> bool {
    let Some(least) = least else {
        return false;
    };
    let level = std::str::from_utf8(message)
        .ok()
        .and_then(|text| Raw::trusted(text).get("params")?.get("level"))
        .and_then(LogLevel::of);
    level.is_none_or(|level| level >= least)
}

/// Passes a reply on, in whichever form the client takes. What is still to come of it is remarked upon here.
pub(crate) async fn reply(
    cx: &Arc<Cx>,
    client: Client,
    reply: Reply,
    ticket: Ticket,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    match reply {
        Reply::One(answer) => one(cx, &client, answer).await,
        Reply::Stream(messages) => {
            let messages = Stream::new(messages, ticket);
            stream(cx, client, messages, remarks).await
        }
    }
}

/// Passes messages on, in whichever form the client takes.
pub(crate) async fn stream(
    cx: &Arc<Cx>,
    client: Client,
    stream: Stream,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    if client.accepted.events {
        let (primes, owner) = (client.primes, owner(cx, &client));
        let following = follow(Arc::clone(cx), client, stream);
        let Some(owner) = owner else {
            return Ok(events(following));
        };
        let carrying = Carrying {
            all: Arc::clone(&cx.memory.resumables),
            background: Arc::clone(&cx.background),
            stop: cx.stop_of_all.clone(),
        };
        Ok(match Resumables::begin(owner, carrying, following) {
            Ok(reading) if primes => events(reading.primed()),
            Ok(reading) => events(reading),
            Err(following) => events(following),
        })
    } else {
        // Rare, and large: boxed, so that a call without it stays small.
        Box::pin(last(cx, &client, stream, remarks)).await
    }
}

/// Who may take the stream up again: a client that has a session.
fn owner(cx: &Cx, client: &Client) -> Option<Owner> {
    Some(Owner {
        gateway: Arc::clone(&cx.name),
        principal: client.origin.principal.clone(),
        session: client
            .origin
            .session
            .filter(|_| client.era == Era::Session)?,
    })
}

/// A single answer. It counts as its caller's until it was read.
async fn one(cx: &Arc<Cx>, client: &Client, answer: Answer) -> Result<Response<Body>, Refusal> {
    let mut held = client.usage.hold();
    held.grow(answer.len()).map_err(Refusal::no_room)?;
    let (message, status) = answered(cx, client, answer).await;
    Ok(counted_response(message, status, client.accepted, held))
}

/// The response message for an answer, and its HTTP status. A large one is made apart from the threads that serve.
async fn answered(cx: &Arc<Cx>, client: &Client, answer: Answer) -> (Vec<u8>, StatusCode) {
    match answer.kind {
        Kind::InputRequired => return input::pass_on(cx, client, &answer),
        Kind::Task => return tasks::created(cx, client, &answer),
        Kind::Complete => {}
    }
    if let (Some(task), Outcome::Result(result)) = (&client.task, &answer.outcome) {
        return (
            tasks::told(cx, client, task, result.borrow()),
            StatusCode::OK,
        );
    }
    let size = answer.len();
    let asked = (client.method, client.era);
    if size < apart::LARGE {
        return answer_message(answer, client.id.borrow(), asked, &cx.server_info);
    }
    let (cx, id) = (Arc::clone(cx), client.id.clone());
    let making = move || answer_message(answer, id.borrow(), asked, &cx.server_info);
    apart::run(size, making).await
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

/// The answer at the end of a stream, for a client that takes no events: what comes before is dropped. It can be asked only
/// where that ends the answer.
async fn last(
    cx: &Arc<Cx>,
    client: &Client,
    mut stream: Stream,
    remarks: &mut Remarks,
) -> Result<Response<Body>, Refusal> {
    let target = &client.origin.target;
    let (mut asked, mut together) = (Vec::new(), None);
    let error = loop {
        let message = tokio::select! {
            biased;
            message = stream.next() => message,
            () = until(together) => {
                let message = input::park(cx, client, Waiting::new(stream, asked))?;
                return Ok(message_response(message, StatusCode::OK, client.accepted));
            }
        };
        match message {
            Some(Ok(Message::Notification { .. })) => {}
            // In the session era, nobody is asked: what is dropped was told so.
            Some(Ok(Message::Ask(ask))) => {
                // More than that wait for the next time.
                if client.era == Era::Stateless && asked.len() < input::MOST {
                    asked.push(ask);
                    together = Some(Instant::now() + TOGETHER);
                }
            }
            Some(Ok(Message::Answer(answer))) => {
                End::of_answer(&answer).remark(target, remarks);
                return one(cx, client, answer).await;
            }
            Some(Err(error)) => break error,
            None => break CallError::ClosedMidStream,
        }
    };
    Err(Refusal::of_call(target, error))
}

struct Following {
    cx: Arc<Cx>,
    client: Client,
    stream: Option<Stream>,
    /// What a client of the session era is being asked.
    asking: Vec<Asking>,
    /// What one of the stateless era is to be asked, and when.
    asked: Vec<Ask>,
    together: Option<Instant>,
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
        stream: Some(stream),
        asking: Vec::new(),
        asked: Vec::new(),
        together: None,
        quiet,
        over: false,
    };
    futures_util::stream::unfold(following, |mut following| async move {
        let bytes = following.next().await?;
        Some((Ok(bytes), following))
    })
}

/// What a target asks within so short a time, a client of the stateless era is asked for at once.
const TOGETHER: Duration = Duration::from_millis(30);

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
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
            let stream = self.stream.as_mut()?;
            let together = self.together;
            let message = tokio::select! {
                biased;
                message = stream.next() => message,
                () = until(together) => return self.ask_all(),
                _ = self.quiet.tick() => return Some(Bytes::from_static(sse::KEEP_ALIVE)),
            };
            self.quiet.reset();
            let (id, era) = (&self.client.id, self.client.era);
            return match message {
                Some(Ok(Message::Notification { method, raw })) => {
                    if method == Method::LogMessage && !is_wanted(&raw, self.client.log_level)
                        || !method.exists_in(era)
                    {
                        continue;
                    }
                    Some(self.event(&notification(&raw)))
                }
                Some(Ok(Message::Ask(ask))) => match self.ask(ask) {
                    Some(event) => Some(event),
                    None => continue,
                },
                Some(Ok(Message::Answer(answer))) => {
                    self.over = true;
                    let end = End::of_answer(&answer);
                    if end.is_failure() {
                        // The line about the request was written when the stream began.
                        tracing::warn!(
                            gateway = %self.cx.name, target.name = %self.client.origin.target,
                            failure = end.as_str(),
                            "a call failed at the end of its stream"
                        );
                    }
                    // Counted without a gap: until now it was where it was read.
                    let mut held = self.client.usage.hold();
                    if let Err(full) = held.grow(answer.len()) {
                        return Some(self.no_room(full));
                    }
                    let (message, _) = answered(&self.cx, &self.client, answer).await;
                    Some(held.keep(sse::encode(&message)))
                }
                // The client took its request back: it wants nothing more of it.
                Some(Err(CallError::Cancelled)) | None => None,
                Some(Err(error)) => {
                    self.over = true;
                    let failure = End::of_failure(&error).as_str();
                    let target = &self.client.origin.target;
                    let refusal = Refusal::of_call(target, error);
                    tracing::warn!(
                        gateway = %self.cx.name, target.name = %target, failure,
                        reason = refusal.name(), detail = %refusal.detail(),
                        "a call broke off in mid-stream"
                    );
                    Some(sse::encode(&refusal.message(id, era)).into())
                }
            };
        }
    }
}

impl Following {
    /// Asks the client: with a request of ours, or soon with the end of this answer. None if it can't be asked; then the target
    /// was told.
    fn ask(&mut self, ask: Ask) -> Option<Bytes> {
        if self.client.era == Era::Session {
            let Origin {
                principal, session, ..
            } = &self.client.origin;
            self.asking.retain(Asking::is_open);
            if self.asking.len() >= input::MOST {
                // Whoever asks on without an answer gets none.
                return None;
            }
            // Who has no session has none to answer in.
            let (asking, message) = input::request(&self.cx, principal, (*session)?, ask)?;
            self.asking.push(asking);
            return Some(self.event(&message));
        }
        self.asked.push(ask);
        if self.asked.len() >= input::MOST {
            return self.ask_all();
        }
        self.together = Some(Instant::now() + TOGETHER);
        None
    }

    /// Asks for all that came together; the call waits for the client to come back.
    fn ask_all(&mut self) -> Option<Bytes> {
        let asked = std::mem::take(&mut self.asked);
        let waiting = Waiting::new(self.stream.take()?, asked);
        self.over = true;
        let asked = input::park(&self.cx, &self.client, waiting);
        let (id, era) = (&self.client.id, self.client.era);
        let message = asked.unwrap_or_else(|refusal| refusal.message(id, era));
        Some(self.event(&message))
    }

    /// A message as an event that counts as its caller's until it was read. Where there is no room for it, the stream ends
    /// with an error instead, and the call with it.
    fn event(&mut self, message: &[u8]) -> Bytes {
        let event = sse::encode(message);
        let mut held = self.client.usage.hold();
        match held.grow(event.len()) {
            Ok(()) => held.keep(event),
            Err(full) => self.no_room(full),
        }
    }

    fn no_room(&mut self, full: NoRoom) -> Bytes {
        self.over = true;
        let refusal = Refusal::no_room(full);
        sse::encode(&refusal.message(&self.client.id, self.client.era)).into()
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
    (method, era): (Method, Era),
    server_info: &str,
) -> (Vec<u8>, StatusCode) {
    match answer.outcome {
        Outcome::Result(raw) => {
            let raw = raw.borrow();
            let mended = mend::contents(raw);
            let result = mended.as_deref().map_or(raw, Raw::trusted);
            let message = match era {
                Era::Stateless => result::modern_response(id, method, result, server_info),
                Era::Session => result::legacy_response(id, method, result),
            };
            (message, StatusCode::OK)
        }
        Outcome::Error { code, raw } => {
            let mended = mend::error(raw.borrow());
            let raw = Raw::trusted(&mended);
            let translated = translate(code, era);
            let status =
                StatusCode::from_u16(translated.http_status(era)).unwrap_or(StatusCode::OK);
            if translated == code {
                return (jsonrpc::error_from(id, raw), status);
            }
            if code == Code::MISSING_CLIENT_CAPABILITY {
                let message = "the target needs a capability that its client did not declare";
                return (jsonrpc::error(Some(id), translated, message, None), status);
            }
            let error = changed(raw, &[Change::set("code", &translated.to_string())]);
            (jsonrpc::error_from(id, Raw::trusted(&error)), status)
        }
    }
}

/// A code that exists in the client's era (D12, TM-20). What the target says about the gateway's own request to it, its
/// headers, version and capabilities, says nothing about the client's.
fn translate(code: Code, era: Era) -> Code {
    if code == Code::MISSING_CLIENT_CAPABILITY && era == Era::Stateless {
        // We declared what the client did (UC-12).
        return code;
    }
    if code.is_modern() {
        return Code::TARGET_FAILED;
    }
    match (code.exists_in(era), code) {
        (true, code) => code,
        (false, Code(-32002)) => Code::INVALID_PARAMS,
        (false, _) => Code::TARGET_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use mcp::id::OwnedId;
    use mcp::raw::OwnedRaw;

    use super::*;

    const INFO: &str = r#"{"name":"demo"}"#;

    fn message(era: Era, outcome: Outcome) -> (String, u16) {
        let id = OwnedId::number(7);
        let answer = Answer {
            era: Era::Session,
            outcome,
            tool_failed: false,
            kind: Kind::Complete,
        };
        let (message, status) = answer_message(answer, id.borrow(), (Method::ToolsCall, era), INFO);
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
        insta::assert_snapshot!(message(Era::Session, error(-32042)).0, @r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32042,"message":"m","data":{"x":1.0}}}"#);
    }

    // UC-12: it was the gateway that declared nothing, not the client.
    #[test]
    fn what_a_target_says_about_the_gateways_own_request_is_not_said_to_the_client() {
        for era in [Era::Session, Era::Stateless] {
            for code in [-32020, -32022] {
                let said = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-31502,"message":"m","data":{"x":1.0}}}"#;
                assert_eq!(message(era, error(code)).0, said);
            }
        }
        let said = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-31502,"message":"the target needs a capability that its client did not declare"}}"#;
        assert_eq!(message(Era::Session, error(-32021)).0, said);
        // TM-9: what was declared is what the client declared.
        let said =
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32021,"message":"m","data":{"x":1.0}}}"#;
        assert_eq!(
            message(Era::Stateless, error(-32021)),
            (said.to_owned(), 400)
        );
    }

    #[test]
    fn what_strict_clients_refuse_is_mended_on_the_way() {
        let text = r#"{"content":[{"type":"text","text":"5","annotations":null}],"isError":null}"#;
        insta::assert_snapshot!(message(Era::Session, result(text)).0, @r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"5"}]}}"#);
        let odd = Outcome::Error {
            code: Code(-32050),
            raw: OwnedRaw::parse(r#"{"code":"-32050"}"#).unwrap(),
        };
        insta::assert_snapshot!(message(Era::Session, odd).0, @r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32050,"message":"the target gave no reason"}}"#);
    }

    #[test]
    fn log_messages_are_for_who_asked_and_as_important_as_asked() {
        let asked = |level: &'static str| LogLevel::of(Raw::parse(level).unwrap());
        let message = |level: &str| {
            Bytes::from(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":{level},"data":1}}}}"#
            ))
        };
        let warning = asked(r#""warning""#);
        for level in [r#""warning""#, r#""error""#, r#""emergency""#, "7"] {
            assert!(is_wanted(&message(level), warning), "{level}");
        }
        assert!(!is_wanted(&message(r#""info""#), warning));
        assert!(!is_wanted(&message(r#""emergency""#), asked(r#""loud""#)));
    }
}
