//! `tools/call`: send it once, and again only where the server certainly did nothing.

use std::sync::Arc;

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::header::encode_value;
use ::mcp::method::Method;
use ::mcp::param_header;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use policy::call::ToolCall;
use policy::permitted::Permitted;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agreement::Agreement;
use super::session::{Owner, Session};
use super::stream::{InFlight, Messages, Origin};
use super::wire::{Again, Content, Received, Wire};
use super::{McpTarget, answer, outgoing};
use crate::error::{CallError, Stage, Violation};
use crate::reply::{Answer, Outcome, Reply};

/// How long a call may take, and who may stop it.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) deadline: Instant,
    pub(super) cancel: CancellationToken,
}

/// The server refused a request for a reason that can be mended; it did not carry it out.
#[derive(Debug)]
pub(super) enum Refused {
    /// It does not know the session (UC-8).
    Session,
    /// The mirrored headers are not what it expects (UC-4).
    Headers,
    /// It may speak another era than it did (UC-2). If it does not, this is its answer.
    Era { status: u16, answer: Option<Answer> },
}

/// Which mending was tried already: each is tried once.
#[derive(Debug, Default)]
pub(super) struct Mended {
    session: bool,
    headers: bool,
    era: bool,
}

impl McpTarget {
    /// Calls a tool. See [`crate::Target::call`].
    pub(crate) async fn call(
        &self,
        call: Permitted<ToolCall>,
        cancel: CancellationToken,
    ) -> Result<Reply, CallError> {
        if call.get().target != self.settings.name {
            return Err(CallError::WrongTarget);
        }
        let call = call.into_inner();
        let deadline = Instant::now() + self.settings.timeouts.total;
        let bounds = Bounds {
            deadline,
            cancel: cancel.clone(),
        };
        // Pinned in place: the combinators would hold the future several times over.
        let mut calling = std::pin::pin!(self.call_until_heard(&call, bounds));
        tokio::select! {
            biased;
            reply = &mut calling => reply,
            () = cancel.cancelled() => Err(CallError::Cancelled),
            () = tokio::time::sleep_until(deadline) => Err(CallError::TimedOut(Stage::Total)),
        }
    }

    async fn call_until_heard(&self, call: &ToolCall, bounds: Bounds) -> Result<Reply, CallError> {
        let owner = Owner::Caller(call.principal.clone());
        let mut mended = Mended::default();
        loop {
            let agreement = self.agree().await?;
            let session = match self.session_in(&agreement, &owner).await? {
                Ok(session) => session,
                Err(doubt) => {
                    Box::pin(self.mend(doubt, &mut mended, &agreement, &owner, None)).await?;
                    continue;
                }
            };
            let id = self.fresh_id();
            let (headers, version) = match &session {
                Some(session) => (
                    Wire::headers(Some(session.version()), session.id()),
                    session.version(),
                ),
                None => (self.call_headers(&agreement, call), agreement.version),
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
            let refused = match self.attempt(headers, body, origin, call, &bounds).await? {
                Ok(reply) => return Ok(reply),
                Err(refused) => refused,
            };
            if matches!(refused, Refused::Headers) && !std::mem::replace(&mut mended.headers, true)
            {
                Box::pin(self.refresh()).await?;
                continue;
            }
            let mending = self.mend(refused, &mut mended, &agreement, &owner, session.as_ref());
            if let Some(answer) = Box::pin(mending).await? {
                return Ok(Reply::One(answer));
            }
        }
    }

    /// The owner's session, if the era has sessions; or the doubt whether it has, if the server
    /// refuses to make one. The outer error is final.
    pub(super) async fn session_in(
        &self,
        agreement: &Agreement,
        owner: &Owner,
    ) -> Result<Result<Option<Session>, Refused>, CallError> {
        if agreement.era() == Era::Stateless {
            return Ok(Ok(None));
        }
        match self.session(owner.clone(), agreement).await {
            Ok(session) => Ok(Ok(Some(session))),
            Err(CallError::UpstreamHttp {
                status: status @ (400 | 404 | 405),
            }) => Ok(Err(Refused::Era {
                status,
                answer: None,
            })),
            Err(CallError::NoCommonVersion { .. }) => Ok(Err(Refused::Era {
                status: 400,
                answer: None,
            })),
            Err(error) => Err(error),
        }
    }

    /// One request. The outer error is final.
    async fn attempt(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        mut origin: Origin,
        call: &ToolCall,
        bounds: &Bounds,
    ) -> Result<Result<Reply, Refused>, CallError> {
        let first_byte = self.settings.timeouts.first_byte;
        let received = match self.wire.post(headers, body, first_byte, Again::No).await {
            Ok(received) => received,
            Err(error) => {
                if !error.may_be_running() {
                    origin.answered();
                }
                return Err(error);
            }
        };
        if !received.status().is_success() {
            return Box::pin(self.refused(received, origin)).await;
        }
        match received.content() {
            Content::Json => {
                let body = received.read().await?;
                origin.answered();
                Ok(Ok(Reply::One(answer::read(&body, origin.id, origin.era)?)))
            }
            Content::Events => {
                let token = call.params.progress_token();
                let token = token.map(|token| token.as_str().into());
                let mut messages =
                    Messages::new(self, received.events(), origin, token, bounds.clone());
                let first_message = self.settings.timeouts.first_message;
                match tokio::time::timeout(first_message, messages.reply()).await {
                    Ok(Ok(Some(reply))) => Ok(Ok(reply)),
                    Ok(Err(error)) => Err(error),
                    // The client gets the head now: what is silent for long looks dead on the way to it (TM-12).
                    Ok(Ok(None)) | Err(_) => Ok(Ok(Reply::Stream(Box::new(messages)))),
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
    ) -> Result<Result<Reply, Refused>, CallError> {
        let status = received.status();
        let has_session = origin
            .in_flight
            .as_ref()
            .is_some_and(InFlight::has_session_id);
        let body = received.read_explanation().await;
        origin.answered();
        match judge_refusal(status, &body, origin.id, origin.era, has_session) {
            Judged::Answer(answer) => Ok(Ok(Reply::One(answer))),
            Judged::Refused(refused) => Ok(Err(refused)),
            Judged::Final => Err(CallError::UpstreamHttp {
                status: status.as_u16(),
            }),
        }
    }

    /// Mends what a refusal complains about, so that the request can be repeated; or says that it
    /// was an answer after all.
    pub(super) async fn mend(
        &self,
        refused: Refused,
        mended: &mut Mended,
        agreement: &Arc<Agreement>,
        owner: &Owner,
        session: Option<&Session>,
    ) -> Result<Option<Answer>, CallError> {
        let first_time = |tried: &mut bool| !std::mem::replace(tried, true);
        match refused {
            Refused::Session => {
                if !first_time(&mut mended.session) {
                    return Err(Violation::Session.into());
                }
                if let Some(session) = session {
                    self.sessions.forget(owner, session);
                }
                Ok(None)
            }
            Refused::Headers => Err(Violation::HeaderMismatch.into()),
            Refused::Era { status, answer } => {
                if first_time(&mut mended.era) && self.agree_anew(agreement).await? {
                    return Ok(None);
                }
                if let Some(answer) = answer {
                    return Ok(Some(answer));
                }
                // Some servers answer 400 to a session that they have forgotten.
                let renewable = session.filter(|session| session.id().is_some());
                match renewable {
                    Some(session) if status == 400 && first_time(&mut mended.session) => {
                        self.sessions.forget(owner, session);
                        Ok(None)
                    }
                    _ => Err(CallError::UpstreamHttp { status }),
                }
            }
        }
    }

    /// The headers of a modern call, from what is really sent (UC-3) and from what the tool's
    /// definition wants mirrored (UC-4).
    fn call_headers(&self, agreement: &Agreement, call: &ToolCall) -> HeaderMap {
        let listing = self.listing();
        let tool = listing
            .tools
            .as_ref()
            .and_then(|tools| tools.find(&call.tool));
        let name = tool.map_or_else(
            || HeaderValue::try_from(encode_value(&call.tool).as_ref()).ok(),
            |tool| Some(tool.name_header.clone()),
        );
        let mut headers = Wire::modern_headers(agreement.version, Method::ToolsCall.as_str(), name);
        let mirrored = tool.map_or(&[][..], |tool| &tool.param_headers);
        for (name, value) in param_header::for_call(mirrored, call.params.arguments()) {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// What an HTTP error with this body means for a request.
#[derive(Debug)]
pub(super) enum Judged {
    /// The server read the request and answers it with an error.
    Answer(Answer),
    Refused(Refused),
    /// It means an error and nothing can be done.
    Final,
}

pub(super) fn judge_refusal(
    status: StatusCode,
    body: &Bytes,
    id: u64,
    era: Era,
    has_session: bool,
) -> Judged {
    let answer = answer::refusal(body, era);
    let code = match &answer {
        Some(Answer {
            outcome: Outcome::Error { code, .. },
            ..
        }) => Some(*code),
        _ => None,
    };
    let answer = answer.filter(|_| answer::is_answer_to(body, id));
    let status = status.as_u16();
    match (era, code) {
        (Era::Session, _) if status == 404 && has_session => Judged::Refused(Refused::Session),
        (Era::Session, Some(code)) if code.is_modern() => Judged::Refused(Refused::Era {
            status,
            answer: None,
        }),
        (Era::Stateless, Some(Code::HEADER_MISMATCH)) => Judged::Refused(Refused::Headers),
        (Era::Stateless, Some(Code::UNSUPPORTED_VERSION)) => Judged::Refused(Refused::Era {
            status,
            answer: None,
        }),
        // To a modern server, a request without its metadata is a bad one (TM-8).
        (Era::Session, _) if status == 400 => Judged::Refused(Refused::Era { status, answer }),
        _ => match answer {
            Some(answer) => Judged::Answer(answer),
            None if matches!(status, 400 | 404 | 405 | 406 | 415) => {
                Judged::Refused(Refused::Era {
                    status,
                    answer: None,
                })
            }
            None => Judged::Final,
        },
    }
}
