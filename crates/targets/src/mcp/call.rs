//! A call: send it once, and again only where the server certainly did nothing.

use std::sync::Arc;

use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;
use ::mcp::header::encode_value;
use ::mcp::param_header;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use policy::call::Call;

use super::agreement::Agreement;
use super::oddity::Oddity;
use super::session::Session;
use super::stream::{InFlight, Messages, Origin};
use super::wire::{Again, Content, Head, Received};
use super::{McpTarget, answer, outgoing};
use crate::bounds::Bounds;
use crate::error::{CallError, Violation};
use crate::meter::Held;
use crate::outward::Asker;
use crate::reply::{Answer, Outcome, Reply};

/// The server refused a request for a reason that can be mended; it did not carry it out.
#[derive(Debug)]
pub(super) enum Refused {
    /// It does not know the session (UC-8).
    Session,
    /// The mirrored headers are not what it expects (UC-4).
    Headers,
    /// It may speak another era than it did (UC-2). If it does not, this is its answer.
    Era {
        failure: CallError,
        answer: Option<Answer>,
        /// The newest of the versions that it named as its own and that we speak, too.
        named: Option<ProtocolVersion>,
    },
}

/// A session to ask in, or why there may be none.
#[derive(Debug)]
pub(super) enum Begun {
    /// None where the era has none.
    Ready(Option<Session>),
    Doubted(Refused),
}

/// What came of one request.
#[derive(Debug)]
enum Attempted {
    Heard(Reply),
    Refused(Refused),
}

/// Which mending was tried already: each is tried once.
#[derive(Debug, Default)]
pub(super) struct Mendings {
    session: bool,
    headers: bool,
    era: bool,
}

impl Mendings {
    pub(super) const fn renewed_session(&self) -> bool {
        self.session
    }
}

impl McpTarget {
    /// Calls until there is something to hand out. See [`crate::Target::call`].
    pub(crate) async fn call(
        &self,
        call: &Call,
        bounds: &Bounds,
        held: &mut Held,
    ) -> Result<Reply, CallError> {
        let asker = Asker::Caller(call.principal.clone());
        let mut mended = Mendings::default();
        loop {
            // Nothing is left of what was answered before.
            held.shrink(0);
            let agreement = self.agree().await?;
            let session = match self.session_in(&agreement, &asker).await? {
                Begun::Ready(session) => session,
                Begun::Doubted(doubt) => {
                    Box::pin(self.mend(doubt, &mut mended, &agreement, None)).await?;
                    continue;
                }
            };
            let id = self.fresh_id();
            let (head, version) = match &session {
                Some(session) => (Head::in_session(session), session.version()),
                None => (self.call_head(&asker, &agreement, call), agreement.version),
            };
            let body = outgoing::call(call, version, id);
            let in_flight = session
                .as_ref()
                .map(|session| InFlight::new(self, session.clone(), id));
            let origin = Origin {
                id,
                era: agreement.era(),
                in_flight,
            };
            let refused = match self
                .attempt((head, body), origin, call, bounds, held)
                .await?
            {
                Attempted::Heard(Reply::One(answer))
                    if !mended.renewed_session()
                        && session
                            .as_ref()
                            .is_some_and(|session| session.id().is_some())
                        && answer::says_lost_session(&answer) =>
                {
                    self.note(Oddity::LostSession);
                    Refused::Session
                }
                Attempted::Heard(reply) => return Ok(reply),
                Attempted::Refused(refused) => refused,
            };
            if matches!(refused, Refused::Headers) && !std::mem::replace(&mut mended.headers, true)
            {
                Box::pin(self.refresh(call.feature)).await?;
                continue;
            }
            let mending = self.mend(refused, &mut mended, &agreement, session.as_ref());
            if let Some(answer) = Box::pin(mending).await? {
                return Ok(Reply::One(answer));
            }
        }
    }

    /// The owner's session, if the era has sessions; or the doubt whether it has, if the server
    /// refuses to make one.
    pub(super) async fn session_in(
        &self,
        agreement: &Agreement,
        asker: &Asker,
    ) -> Result<Begun, CallError> {
        if agreement.era() == Era::Stateless {
            return Ok(Begun::Ready(None));
        }
        match self.session(asker, agreement).await {
            Ok(session) => Ok(Begun::Ready(Some(session))),
            Err(
                failure @ (CallError::UpstreamHttp {
                    status: 400 | 404 | 405,
                }
                | CallError::NoCommonVersion { .. }),
            ) => Ok(Begun::Doubted(Refused::Era {
                failure,
                answer: None,
                named: None,
            })),
            Err(error) => Err(error),
        }
    }

    /// One request.
    async fn attempt(
        &self,
        (head, body): (Head<'_>, Vec<u8>),
        mut origin: Origin,
        call: &Call,
        bounds: &Bounds,
        held: &mut Held,
    ) -> Result<Attempted, CallError> {
        let first_byte = self.settings.timeouts.answer;
        let mut received = match self.wire.post(head, body, first_byte, Again::No).await {
            Ok(received) => received,
            Err(error) => {
                if !error.may_be_running() {
                    origin.answered();
                }
                return Err(error);
            }
        };
        if !received.status().is_success() {
            return Box::pin(self.refused(received, origin, held)).await;
        }
        match received.content().await? {
            Content::Json => {
                let body = received.read_within(held).await?;
                origin.answered();
                let answer = answer::read(body, origin.id, origin.era).await?;
                Ok(Attempted::Heard(Reply::One(answer)))
            }
            Content::Events => {
                let token = call.params.progress_token();
                let token = token.map(|token| token.as_str().into());
                let mut messages = Messages::new(
                    self,
                    received.events(),
                    origin,
                    token,
                    bounds.clone(),
                    held.another(),
                );
                let first_message = self.settings.timeouts.first_message;
                match tokio::time::timeout(first_message, messages.reply()).await {
                    Ok(Ok(Some(reply))) => Ok(Attempted::Heard(reply)),
                    Ok(Err(error)) => Err(error),
                    // The client gets the head now: what is silent for long looks dead on the way to it (TM-12).
                    Ok(Ok(None)) | Err(_) => {
                        Ok(Attempted::Heard(Reply::Stream(Box::new(messages))))
                    }
                }
            }
            Content::Other => {
                origin.answered();
                Err(Violation::ContentType.into())
            }
        }
    }

    async fn refused(
        &self,
        received: Received,
        mut origin: Origin,
        held: &mut Held,
    ) -> Result<Attempted, CallError> {
        let failure = received.failure();
        let refusal = Refusal {
            status: received.status(),
            has_challenge: received.has_challenge(),
            body: received.read_explanation_within(held).await?,
        };
        let has_session = origin
            .in_flight
            .as_ref()
            .is_some_and(InFlight::has_session_id);
        origin.answered();
        match self.judge_refusal(&refusal, failure, (origin.id, origin.era), has_session) {
            Judged::Answer(answer) => Ok(Attempted::Heard(Reply::One(answer))),
            Judged::Refused(refused) => Ok(Attempted::Refused(refused)),
            Judged::Final(failure) => Err(failure),
        }
    }

    pub(super) fn judge_refusal(
        &self,
        refusal: &Refusal,
        failure: CallError,
        (id, era): (u64, Era),
        has_session: bool,
    ) -> Judged {
        let judged = judge_refusal(refusal, failure, (id, era), has_session);
        if matches!(judged, Judged::Refused(Refused::Session)) && refusal.status != 404 {
            self.note(Oddity::LostSession);
        }
        judged
    }

    /// Mends what a refusal complains about, so that the request can be repeated; or says that it
    /// was an answer after all.
    pub(super) async fn mend(
        &self,
        refused: Refused,
        mended: &mut Mendings,
        agreement: &Arc<Agreement>,
        session: Option<&Session>,
    ) -> Result<Option<Answer>, CallError> {
        let first_time = |tried: &mut bool| !std::mem::replace(tried, true);
        match refused {
            Refused::Session => {
                if !first_time(&mut mended.session) {
                    return Err(Violation::Session.into());
                }
                if let Some(session) = session {
                    self.sessions.forget(session);
                }
                Ok(None)
            }
            Refused::Headers => Err(Violation::HeaderMismatch.into()),
            Refused::Era {
                failure,
                answer,
                named,
            } => {
                if first_time(&mut mended.era) {
                    // It says which version it wants: that is tried at once (UC-2).
                    let differs = match named {
                        Some(version) => self.agree_on(version, agreement).await?,
                        None => self.agree_anew(agreement).await?,
                    };
                    if differs {
                        return Ok(None);
                    }
                }
                if let Some(answer) = answer {
                    return Ok(Some(answer));
                }
                // Some servers answer 400 to a session that they have forgotten.
                let renewable = session.filter(|session| session.id().is_some());
                let is_bad_request = matches!(failure, CallError::UpstreamHttp { status: 400 });
                match renewable {
                    Some(session) if is_bad_request && first_time(&mut mended.session) => {
                        self.sessions.forget(session);
                        Ok(None)
                    }
                    _ => Err(failure),
                }
            }
        }
    }

    /// The head of a modern call, from what is really sent (UC-3) and from what the tool's
    /// definition wants mirrored (UC-4).
    fn call_head<'a>(&self, asker: &'a Asker, agreement: &Agreement, call: &Call) -> Head<'a> {
        let listing = self.listing(call.feature);
        let listed = listing.list.as_ref().and_then(|list| list.find(&call.name));
        let mut head = Head::modern(asker, agreement.version, call.feature.call());
        if let Some(listed) = listed {
            head = head.named(&listed.name_header);
        } else if let Ok(name) = HeaderValue::try_from(encode_value(&call.name).as_ref()) {
            head = head.named(&name);
        }
        let mirrored = listed.map_or(&[][..], |listed| &listed.param_headers);
        for (name, value) in param_header::for_call(mirrored, call.params.arguments()) {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                head = head.with(&name, &value);
            }
        }
        head
    }
}

/// An HTTP error as it came.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) has_challenge: bool,
    pub(super) body: Bytes,
}

/// What an HTTP error means for a request.
#[derive(Debug)]
pub(super) enum Judged {
    /// The server read the request and answers it with an error.
    Answer(Answer),
    Refused(Refused),
    /// It means an error and nothing can be done.
    Final(CallError),
}

/// The meaning of an HTTP error; `failure` is what it is called if it means nothing more.
fn judge_refusal(
    refusal: &Refusal,
    failure: CallError,
    (id, era): (u64, Era),
    has_session: bool,
) -> Judged {
    let body = &refusal.body;
    let said = answer::refusal(body, era);
    let (code, supported) = match &said {
        Some(Answer {
            outcome: Outcome::Error { code, raw },
            ..
        }) => (Some(*code), answer::supported_versions(raw.borrow())),
        _ => (None, Vec::new()),
    };
    let named = ProtocolVersion::newest_of(supported.iter().map(AsRef::as_ref));
    let answer = said.filter(|_| answer::is_answer_to(body, id));
    let status = refusal.status.as_u16();
    let doubted = |answer| {
        Judged::Refused(Refused::Era {
            failure: failure.clone(),
            answer,
            named,
        })
    };
    match (era, code) {
        (Era::Session, _) if has_session && is_lost_session(refusal) => {
            Judged::Refused(Refused::Session)
        }
        (Era::Session, Some(code)) if code.is_modern() => doubted(None),
        (Era::Stateless, Some(Code::HEADER_MISMATCH)) => Judged::Refused(Refused::Headers),
        (Era::Stateless, Some(Code::UNSUPPORTED_VERSION)) => doubted(None),
        // To a modern server, a request without its metadata is a bad one (TM-8).
        (Era::Session, _) if status == 400 => doubted(answer),
        _ => match answer {
            Some(answer) => Judged::Answer(answer),
            None if matches!(status, 400 | 404 | 405 | 406 | 415) => doubted(None),
            None => Judged::Final(failure),
        },
    }
}

/// Whether a server says that it does not know the session: with 404 as the protocol wants it, or 410; or with another
/// status and words about it. What is overloaded or wants a login says nothing about sessions.
fn is_lost_session(refusal: &Refusal) -> bool {
    match refusal.status.as_u16() {
        404 | 410 => true,
        401 if refusal.has_challenge => false,
        400..=428 | 430..=499 | 500 => {
            let text = String::from_utf8_lossy(&refusal.body);
            answer::speaks_of_session(&text)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, has_challenge: bool, body: &'static str) -> Judged {
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            has_challenge,
            body: Bytes::from_static(body.as_bytes()),
        };
        let failure = CallError::UpstreamHttp { status };
        judge_refusal(&refusal, failure, (7, Era::Session), true)
    }

    // UC-8
    #[test]
    fn a_lost_session_is_understood_however_it_is_said() {
        for (status, body) in [
            (404, ""),
            (
                404,
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"Session not found"}}"#,
            ),
            (
                400,
                r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
            ),
            (
                400,
                r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}"#,
            ),
            (400, "Invalid session ID"),
            (401, "Unauthorized: Session not found"),
            (403, "unknown session"),
            (410, "Gone"),
            (422, r#"{"detail":"Session expired"}"#),
            (500, "Session terminated"),
        ] {
            let judged = judged(status, false, body);
            assert!(
                matches!(judged, Judged::Refused(Refused::Session)),
                "{status} {body}: {judged:?}"
            );
        }
        for (status, has_challenge, body) in [
            (401, true, "your session expired, log in"),
            (429, false, "too many sessions"),
            (503, false, "no session can be made"),
            (403, false, "forbidden"),
        ] {
            let judged = judged(status, has_challenge, body);
            assert!(
                matches!(judged, Judged::Final(_)),
                "{status} {body}: {judged:?}"
            );
        }
    }

    // UC-8
    #[test]
    fn a_lost_session_is_understood_in_an_answer_if_it_is_no_tool_that_speaks() {
        let answer = |code: i64, message: &str| Answer {
            era: Era::Session,
            tool_failed: false,
            outcome: Outcome::Error {
                code: Code(code),
                raw: ::mcp::raw::OwnedRaw::parse(format!(
                    r#"{{"code":{code},"message":"{message}"}}"#
                ))
                .unwrap(),
            },
        };
        for (code, message) in [
            (-32001, "Session not found"),
            (-32000, "Bad Request: No valid session ID provided"),
            (-32600, "Server not initialized"),
        ] {
            assert!(
                answer::says_lost_session(&answer(code, message)),
                "{message}"
            );
        }
        for (code, message) in [
            (-32602, "session not found"),
            (1, "Session not found"),
            (-32000, "no such file"),
        ] {
            assert!(
                !answer::says_lost_session(&answer(code, message)),
                "{message}"
            );
        }
    }
}
