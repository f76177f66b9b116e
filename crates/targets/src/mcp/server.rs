//! A server as far as we have come with it, and what is mended when it refuses a request.

use std::sync::Arc;

use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;

use super::agreement::Agreement;
use super::agreements::{Agreements, On};
use super::answer;
use super::attending::Attending;
use super::lanes::Lanes;
use super::link::{Link, Refusal};
use super::oddity::Oddity;
use super::session::Session;
use super::sessions::{Got, Sessions};
use crate::error::{CallError, Violation};
use crate::outward::Asker;
use crate::reply::{Answer, Outcome};

/// A server: the link to it, what was agreed on, and the sessions.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) link: Arc<Link>,
    pub(super) agreements: Agreements,
    pub(super) sessions: Sessions,
    /// Clients that listen to what it says outside of calls.
    pub(super) attending: Arc<Attending>,
    /// Sessions of clients that have none.
    pub(super) lanes: Arc<Lanes>,
}

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

/// Which mending was tried already: each is tried once.
#[derive(Debug, Default)]
pub(super) struct Mendings {
    session: bool,
    headers: bool,
    era: bool,
}

impl Mendings {
    /// Whether the list that headers are made from may be asked for anew: once.
    pub(super) const fn begin_headers(&mut self) -> bool {
        !std::mem::replace(&mut self.headers, true)
    }

    pub(super) const fn renewed_session(&self) -> bool {
        self.session
    }
}

impl Server {
    /// One that was not asked anything yet.
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            agreements: Agreements::default(),
            sessions: Sessions::default(),
            attending: Arc::default(),
            lanes: Arc::default(),
        }
    }

    /// It does not know this session any more: the next request makes another.
    pub(super) fn forget(&self, session: &Session) {
        self.sessions.forget(session);
        if let Some(id) = session.id() {
            self.link.wire.pairs().end(id);
        }
    }

    fn on(&self) -> On<'_> {
        On {
            link: &self.link,
            sessions: &self.sessions,
        }
    }

    /// What the server speaks; asks it if that is not known.
    pub(super) async fn agreement(&self) -> Result<Arc<Agreement>, CallError> {
        self.agreements.get(self.on()).await
    }

    /// What it speaks with a client of this era.
    pub(super) async fn agreement_for(&self, client: Era) -> Result<Arc<Agreement>, CallError> {
        self.agreements.get_for(self.on(), client).await
    }

    /// The asker's session, if the era has sessions; or the doubt whether it has, if the server
    /// refuses to make one.
    pub(super) async fn session(
        &self,
        agreement: &Agreement,
        asker: &Asker,
    ) -> Result<Begun, CallError> {
        if agreement.era() == Era::Stateless {
            return Ok(Begun::Ready(None));
        }
        match self.sessions.get(&self.link, asker, agreement).await {
            Ok(Got { session, is_new }) => {
                if is_new {
                    self.attending.began(&self.link, &session);
                }
                Ok(Begun::Ready(Some(session)))
            }
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

    pub(super) fn judge_refusal(
        &self,
        refusal: &Refusal,
        failure: CallError,
        (id, era): (u64, Era),
        has_session: bool,
    ) -> Judged {
        let judged = judge_refusal(refusal, failure, (id, era), has_session);
        if matches!(judged, Judged::Refused(Refused::Session)) && refusal.status != 404 {
            self.link.note(Oddity::LostSession);
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
                    self.forget(session);
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
                        Some(version) => {
                            self.agreements.take(self.on(), version, agreement).await?
                        }
                        None => self.agreements.find_out_anew(self.on(), agreement).await?,
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
                        self.forget(session);
                        Ok(None)
                    }
                    _ => Err(failure),
                }
            }
        }
    }
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
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;
    use crate::reply::Kind;

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
            kind: Kind::Complete,
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
