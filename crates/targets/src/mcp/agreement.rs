//! Which era the server speaks: found out by asking, remembered, found out again when it fails.

use std::sync::Arc;

use ::mcp::capability::ServerCapabilities;
use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;
use ::mcp::method::Method;
use ::mcp::raw::Raw;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::session::{Owner, Session};
use super::wire::{Again, Content, Events, Wire};
use super::{Ended, McpTarget, answer, outgoing};
use crate::error::{CallError, Stage, Violation};
use crate::reply::{Answer, Outcome};

/// What was found out about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(super) version: ProtocolVersion,
    /// Does it have tools at all?
    pub(super) has_tools: bool,
    /// Does it announce changes of its list of tools?
    pub(super) list_changed: bool,
    /// Does it hand out session ids? (Session era only.)
    pub(super) has_sessions: bool,
}

impl Agreement {
    pub(super) fn era(&self) -> Era {
        self.version.era()
    }
}

/// An answer to a request of our own that has exactly one.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) status: StatusCode,
    pub(super) session_id: Option<HeaderValue>,
    /// Or why there is none.
    pub(super) answer: Result<Answer, CallError>,
    /// The body of an HTTP error.
    pub(super) refusal: Bytes,
}

impl McpTarget {
    /// What the server speaks; asks it if that is not known.
    pub(super) async fn agree(&self) -> Result<Arc<Agreement>, CallError> {
        match self.agreement.current.load_full() {
            Some(known) => Ok(known),
            None => Box::pin(self.agree_first()).await,
        }
    }

    async fn agree_first(&self) -> Result<Arc<Agreement>, CallError> {
        let began = Instant::now();
        let mut probing = self.agreement.probing.lock().await;
        if let Some(known) = self.agreement.current.load_full() {
            return Ok(known);
        }
        if let Some(failure) = Ended::failure_since(probing.as_ref(), began) {
            return Err(failure);
        }
        let found = self.probe().await;
        *probing = Some(Ended::now(&found));
        found
    }

    /// The server behaved as if it spoke something else: asks again (UC-2). Says whether it does.
    pub(super) async fn agree_anew(&self, doubted: &Arc<Agreement>) -> Result<bool, CallError> {
        let began = Instant::now();
        let mut probing = self.agreement.probing.lock().await;
        let differs = |found: &Agreement| found.version != doubted.version;
        let pause = self.settings.freshness.between_probes;
        match self.agreement.current.load_full() {
            Some(known) if !Arc::ptr_eq(&known, doubted) => return Ok(differs(&known)),
            Some(_)
                if probing
                    .as_ref()
                    .is_some_and(|last| last.at.elapsed() < pause) =>
            {
                return Ok(false);
            }
            _ => {}
        }
        if let Some(failure) = Ended::failure_since(probing.as_ref(), began) {
            return Err(failure);
        }
        self.agreement.current.store(None);
        let found = self.probe().await;
        *probing = Some(Ended::now(&found));
        let found = found?;
        if differs(&found) {
            tracing::info!(
                target.name = %self.settings.name,
                version = found.version.as_str(),
                "the target now speaks another protocol version",
            );
        }
        Ok(differs(&found))
    }

    /// Asks in the modern way first, then in the legacy way (UC-2), and remembers what it found.
    async fn probe(&self) -> Result<Arc<Agreement>, CallError> {
        let id = self.fresh_id();
        let version = ProtocolVersion::LATEST;
        let headers = Wire::modern_headers(version, Method::Discover.as_str(), None);
        let body = outgoing::request(id, Method::Discover, version, "");
        let asked = self.ask(headers, body, id, Era::Stateless).await?;
        if let Some(stray) = asked
            .session_id
            .clone()
            .filter(|_| !asked.status.is_success())
        {
            // Some servers make a session before they look at the request, and keep it.
            self.end_in_background(Session::new(ProtocolVersion::LATEST_SESSION, Some(stray)));
        }
        let agreement = match judge(asked.status, &asked.answer) {
            Judgement::Modern(agreement) => {
                self.sessions.forget_all();
                agreement
            }
            Judgement::Legacy => {
                let (agreement, session) = self.initialize().await?;
                if let Some(replaced) = self.sessions.keep(Owner::Gateway, session) {
                    self.end_in_background(replaced);
                }
                agreement
            }
            Judgement::NothingInCommon(supported) => {
                return Err(CallError::NoCommonVersion { supported });
            }
            Judgement::Unclear => return Err(unanswered(asked)),
        };
        tracing::debug!(
            target.name = %self.settings.name,
            version = agreement.version.as_str(),
            "agreed on a protocol version with the target",
        );
        let agreement = Arc::new(agreement);
        self.agreement.current.store(Some(Arc::clone(&agreement)));
        self.agreement.changed.notify_waiters();
        Ok(agreement)
    }

    /// The handshake of the session era; the session is ready for use afterwards (UC-8, TL-2).
    pub(super) async fn initialize(&self) -> Result<(Agreement, Session), CallError> {
        let id = self.fresh_id();
        let body = outgoing::initialize(id, ProtocolVersion::LATEST_SESSION);
        let asked = self
            .ask(Wire::headers(None, None), body, id, Era::Session)
            .await?;
        let result = match asked.answer? {
            Answer {
                outcome: Outcome::Result(result),
                ..
            } => result,
            Answer {
                outcome: Outcome::Error { code, raw },
                ..
            } => {
                return Err(match code {
                    Code::UNSUPPORTED_VERSION => CallError::NoCommonVersion {
                        supported: supported_versions(raw.borrow()),
                    },
                    _ if !asked.status.is_success() => CallError::UpstreamHttp {
                        status: asked.status.as_u16(),
                    },
                    _ => Violation::Initialize.into(),
                });
            }
        };
        let raw = result.borrow();
        let word = raw
            .get("protocolVersion")
            .and_then(Raw::text)
            .ok_or(Violation::Initialize)?;
        let version = ProtocolVersion::parse(&word)
            .filter(|version| version.era() == Era::Session)
            .ok_or_else(|| CallError::NoCommonVersion {
                supported: vec![word.as_ref().into()],
            })?;
        // TL-3: visible ASCII only.
        let visible = |id: &HeaderValue| id.as_bytes().iter().all(u8::is_ascii_graphic);
        if asked
            .session_id
            .as_ref()
            .is_some_and(|id| id.is_empty() || !visible(id))
        {
            return Err(Violation::Initialize.into());
        }
        let session = Session::new(version, asked.session_id);
        self.tell_initialized(&session).await?;
        let agreement = agreement(version, raw.get("capabilities"), session.id().is_some());
        Ok((agreement, session))
    }

    async fn tell_initialized(&self, session: &Session) -> Result<(), CallError> {
        let headers = Wire::headers(Some(session.version()), session.id());
        let body = ::mcp::jsonrpc::notification(Method::Initialized.as_str(), None);
        let limit = self.settings.timeouts.handshake;
        let received = self.wire.post(headers, body, limit, Again::Yes).await?;
        if !received.status().is_success() {
            tracing::debug!(
                target.name = %self.settings.name,
                status = received.status().as_u16(),
                "the target did not accept `notifications/initialized`",
            );
        }
        received.read_explanation().await;
        Ok(())
    }

    /// Sends a request that has one answer, and waits for it.
    pub(super) async fn ask(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        id: u64,
        era: Era,
    ) -> Result<Asked, CallError> {
        let limit = self.settings.timeouts.handshake;
        let asking = async {
            let received = self.wire.post(headers, body, limit, Again::Yes).await?;
            let status = received.status();
            let session_id = received.session_id().cloned();
            let mut refusal = Bytes::new();
            let answer = if status.is_success() {
                match received.content() {
                    Content::Json => Ok(answer::read(&received.read().await?, id, era)?),
                    Content::Events => self.answer_among(received.events(), id, era).await,
                    Content::Other => {
                        received.read_explanation().await;
                        Err(Violation::ContentType.into())
                    }
                }
            } else {
                refusal = received.read_explanation().await;
                let unexplained = CallError::UpstreamHttp {
                    status: status.as_u16(),
                };
                answer::refusal(&refusal, era).ok_or(unexplained)
            };
            Ok::<_, CallError>((status, session_id, answer, refusal))
        };
        match tokio::time::timeout(limit, asking).await {
            Ok(Ok((status, session_id, answer, refusal))) => Ok(Asked {
                status,
                session_id,
                answer,
                refusal,
            }),
            // What is no message may still be an answer to who asked, for instance a web page.
            Ok(Err(error @ CallError::ProtocolViolation(_))) => Ok(Asked {
                status: StatusCode::OK,
                session_id: None,
                answer: Err(error),
                refusal: Bytes::new(),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CallError::TimedOut(Stage::Total)),
        }
    }

    /// The response in an event stream; notifications before it concern nobody here.
    async fn answer_among(
        &self,
        mut events: Events,
        id: u64,
        era: Era,
    ) -> Result<Answer, CallError> {
        loop {
            let event = events.next().await?.ok_or(CallError::ClosedMidStream)?;
            if event.data.trim_ascii().is_empty() {
                continue;
            }
            let body = Bytes::from(event.data);
            match answer::read(&body, id, era) {
                Err(Violation::NotAResponse) => {}
                answer => {
                    events.finish(&self.tracker);
                    return answer.map_err(CallError::from);
                }
            }
        }
    }
}

/// What the answer to `server/discover` says about the era.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Modern(Agreement),
    /// Ask again with `initialize`.
    Legacy,
    NothingInCommon(Vec<Box<str>>),
    /// It says nothing about the era: the server is in trouble.
    Unclear,
}

fn judge(status: StatusCode, answer: &Result<Answer, CallError>) -> Judgement {
    match answer {
        Ok(Answer {
            outcome: Outcome::Result(result),
            ..
        }) => judge_result(result.borrow()),
        Ok(Answer {
            outcome: Outcome::Error { code, raw },
            ..
        }) => match *code {
            Code::UNSUPPORTED_VERSION => {
                let supported = supported_versions(raw.borrow());
                match ProtocolVersion::newest_of(supported.iter().map(AsRef::as_ref)) {
                    Some(version) if version.era() == Era::Session => Judgement::Legacy,
                    // It refused the newest that we know, so that it lies if it lists it.
                    _ => Judgement::NothingInCommon(supported),
                }
            }
            code if code.is_modern() => {
                Judgement::Modern(agreement(ProtocolVersion::LATEST, None, false))
            }
            _ => judge_status(status),
        },
        Err(CallError::UpstreamHttp { .. }) => judge_status(status),
        Err(CallError::ProtocolViolation(_)) => Judgement::Legacy,
        Err(_) => Judgement::Unclear,
    }
}

fn judge_result(result: Raw<'_>) -> Judgement {
    let Some(versions) = result.get("supportedVersions").and_then(Raw::elements) else {
        return Judgement::Legacy;
    };
    let versions: Vec<Box<str>> = versions
        .filter_map(|v| Some(v.text()?.as_ref().into()))
        .collect();
    match ProtocolVersion::newest_of(versions.iter().map(AsRef::as_ref)) {
        None => Judgement::NothingInCommon(versions),
        Some(version) if version.era() == Era::Session => Judgement::Legacy,
        Some(version) => Judgement::Modern(agreement(version, result.get("capabilities"), false)),
    }
}

/// A refusal without a modern error code: any that a server gives to what it does not know means
/// the legacy era; those of an overloaded or guarded server mean nothing.
fn judge_status(status: StatusCode) -> Judgement {
    match status.as_u16() {
        401 | 403 | 407 | 408 | 429 | 502..=599 => Judgement::Unclear,
        _ => Judgement::Legacy,
    }
}

fn unanswered(asked: Asked) -> CallError {
    match asked.answer {
        Err(error) => error,
        Ok(_) => CallError::UpstreamHttp {
            status: asked.status.as_u16(),
        },
    }
}

/// Without stated capabilities, tools are assumed: who asks for them will see.
fn agreement(
    version: ProtocolVersion,
    capabilities: Option<Raw<'_>>,
    has_sessions: bool,
) -> Agreement {
    let capabilities = capabilities
        .filter(|raw| raw.is_object())
        .map(ServerCapabilities);
    Agreement {
        version,
        has_tools: capabilities.is_none_or(ServerCapabilities::tools),
        list_changed: capabilities.is_some_and(ServerCapabilities::tools_list_changed),
        has_sessions,
    }
}

/// `data.supported` of an error.
fn supported_versions(error: Raw<'_>) -> Vec<Box<str>> {
    let supported = error
        .get("data")
        .and_then(|data| data.get("supported"))
        .and_then(Raw::elements);
    supported
        .into_iter()
        .flatten()
        .filter_map(|v| Some(v.text()?.as_ref().into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use ::mcp::raw::OwnedRaw;

    use super::*;

    fn result(text: &'static str) -> Answer {
        Answer {
            era: Era::Stateless,
            outcome: Outcome::Result(OwnedRaw::parse(text).expect("JSON")),
        }
    }

    fn error(code: i64, raw: &'static str) -> Answer {
        let raw = OwnedRaw::parse(raw).expect("JSON");
        Answer {
            era: Era::Stateless,
            outcome: Outcome::Error {
                code: Code(code),
                raw,
            },
        }
    }

    fn judged(status: u16, answer: Answer) -> Judgement {
        judge(StatusCode::from_u16(status).expect("a status"), &Ok(answer))
    }

    fn judged_failure(status: u16, error: CallError) -> Judgement {
        judge(StatusCode::from_u16(status).expect("a status"), &Err(error))
    }

    // UC-2
    #[test]
    fn a_discovery_result_with_our_version_means_modern() {
        let answer = result(
            r#"{"supportedVersions":["2025-11-25","2026-07-28","2099-01-01"],"capabilities":{"tools":{"listChanged":true}}}"#,
        );
        let Judgement::Modern(agreement) = judged(200, answer) else {
            panic!("modern")
        };
        assert_eq!(agreement.version, ProtocolVersion::V2026_07_28);
        assert!(agreement.has_tools && agreement.list_changed && !agreement.has_sessions);
    }

    // UC-2
    #[test]
    fn a_server_that_supports_only_older_versions_is_asked_to_initialize() {
        let listed = result(r#"{"supportedVersions":["2025-06-18"]}"#);
        assert_eq!(judged(200, listed), Judgement::Legacy);
        let refused = error(
            -32022,
            r#"{"code":-32022,"data":{"supported":["2025-11-25"]}}"#,
        );
        assert_eq!(judged(400, refused), Judgement::Legacy);
    }

    // UC-2
    #[test]
    fn a_server_of_another_future_has_nothing_in_common_with_us() {
        let refused = error(
            -32022,
            r#"{"code":-32022,"data":{"supported":["2099-01-01"]}}"#,
        );
        assert_eq!(
            judged(400, refused),
            Judgement::NothingInCommon(vec!["2099-01-01".into()])
        );
        let listed = result(r#"{"supportedVersions":["2099-01-01"]}"#);
        assert_eq!(
            judged(200, listed),
            Judgement::NothingInCommon(vec!["2099-01-01".into()])
        );
    }

    // UC-2
    #[test]
    fn other_modern_errors_in_a_400_mean_modern() {
        for code in [-32020, -32021] {
            assert!(
                matches!(judged(400, error(code, "{}")), Judgement::Modern(_)),
                "{code}"
            );
        }
    }

    // UC-2
    #[test]
    fn a_400_without_a_modern_error_means_legacy() {
        assert_eq!(judged(400, error(-32600, "{}")), Judgement::Legacy);
        for status in [400, 404, 405, 406, 415, 422, 500, 501] {
            let failure = CallError::UpstreamHttp { status };
            assert_eq!(
                judged_failure(status, failure),
                Judgement::Legacy,
                "{status}"
            );
        }
        assert_eq!(judged(404, error(-32601, "{}")), Judgement::Legacy);
        assert_eq!(judged(200, error(-32601, "{}")), Judgement::Legacy);
    }

    #[test]
    fn a_server_in_trouble_says_nothing_about_its_era() {
        for status in [403, 429, 502, 503, 504] {
            let failure = CallError::UpstreamHttp { status };
            assert_eq!(
                judged_failure(status, failure),
                Judgement::Unclear,
                "{status}"
            );
        }
        assert_eq!(
            judged_failure(200, CallError::ClosedMidStream),
            Judgement::Unclear
        );
    }

    #[test]
    fn nonsense_with_status_200_is_asked_to_initialize() {
        assert_eq!(judged(200, result("{}")), Judgement::Legacy);
        assert_eq!(
            judged_failure(200, Violation::ContentType.into()),
            Judgement::Legacy
        );
    }
}
