//! Which era the server speaks: found out by asking, remembered, found out again when it fails.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::capability::ServerCapabilities;
use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;
use ::mcp::feature::{Feature, PerFeature};
use ::mcp::method::Method;
use ::mcp::raw::{OwnedRaw, Raw};
use bytes::Bytes;
use http::header::HeaderValue;
use tokio::time::Instant;

use super::call::Refusal;
use super::events::Events;
use super::oddity::{Noise, Oddity};
use super::session::Session;
use super::wire::{Again, Content, Head};
use super::{Ended, McpTarget, answer, outgoing};
use crate::error::{CallError, Stage, Violation};
use crate::outward::Asker;
use crate::reply::{Answer, Outcome};

/// What was found out about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(super) version: ProtocolVersion,
    /// What does it have at all?
    pub(super) has: PerFeature<bool>,
    /// Of which lists does it announce changes?
    pub(super) list_changed: PerFeature<bool>,
    /// Does it hand out session ids? (Session era only.)
    pub(super) has_sessions: bool,
}

impl Agreement {
    pub(super) fn era(&self) -> Era {
        self.version.era()
    }

    /// Whether it announces changes of anything.
    pub(super) fn announces(&self) -> bool {
        self.list_changed.iter().any(|(_, announced)| *announced)
    }
}

/// What came back from a request of our own that has exactly one answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) session_id: Option<HeaderValue>,
    pub(super) said: Said,
}

/// What a server says to a request.
#[derive(Debug)]
pub(super) enum Said {
    Answer(Answer),
    /// A success without a usable answer.
    Nothing(CallError),
    /// An HTTP error, and what it is called if its body does not explain it.
    Refusal(Refusal, CallError),
}

/// What came of `initialize`.
#[derive(Debug)]
pub(super) enum Handshake {
    Session(Agreement, Session),
    /// The server names only versions of the stateless era as its own.
    Modern(Agreement),
}

/// What came of one `initialize`.
#[derive(Debug)]
enum Initialized {
    Agreed(Handshake),
    /// What the server answered, and what that is called.
    Refused(OwnedRaw, CallError),
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

    /// The server refused a version and named another that we speak: takes it at once (UC-2).
    pub(super) async fn agree_on(
        &self,
        version: ProtocolVersion,
        doubted: &Arc<Agreement>,
    ) -> Result<bool, CallError> {
        let mut probing = self.agreement.probing.lock().await;
        if let Some(known) = self.agreement.current.load_full()
            && !Arc::ptr_eq(&known, doubted)
        {
            return Ok(true);
        }
        let found = if version.era() == Era::Session {
            self.shake_hands(version).await
        } else if doubted.era() == Era::Stateless {
            Ok(Agreement {
                version,
                ..Agreement::clone(doubted)
            })
        } else {
            self.sessions.forget_all();
            Ok(agreement(version, None, false))
        };
        let found = found.map(|found| self.remember(found));
        *probing = Some(Ended::now(&found));
        found.map(|_| true)
    }

    fn remember(&self, found: Agreement) -> Arc<Agreement> {
        tracing::debug!(
            target.name = %self.settings.name,
            version = found.version.as_str(),
            "agreed on a protocol version with the target",
        );
        let found = Arc::new(found);
        self.agreement.current.store(Some(Arc::clone(&found)));
        self.agreement.changed.notify_waiters();
        found
    }

    /// Asks in the modern way first, then in the legacy way (UC-2), and remembers what it found.
    async fn probe(&self) -> Result<Arc<Agreement>, CallError> {
        let id = self.fresh_id();
        let version = ProtocolVersion::LATEST;
        let head = Head::modern(&Asker::Gateway, version, Method::Discover);
        let body = outgoing::request(id, Method::Discover, version, "");
        // There is to be time for the other question.
        let limit = self.settings.timeouts.handshake / 2;
        let judgement = match self.ask(head, body, (id, Era::Stateless), limit).await {
            Ok(asked) => {
                if let (Some(stray), Said::Refusal(..)) = (asked.session_id, &asked.said) {
                    // Some servers make a session before they look at the request, and keep it.
                    let version = ProtocolVersion::LATEST_SESSION;
                    self.end_in_background(Session::new(Asker::Gateway, version, Some(stray)));
                }
                judge(asked.said)
            }
            Err(error) if error.is_silence() => {
                self.note(Oddity::SilentDiscovery);
                Judgement::Legacy
            }
            Err(error) => return Err(error),
        };
        let found = match judgement {
            Judgement::Modern(agreement) => {
                self.sessions.forget_all();
                agreement
            }
            Judgement::Legacy => self.shake_hands(ProtocolVersion::LATEST_SESSION).await?,
            Judgement::NothingInCommon(supported) => {
                return Err(CallError::NoCommonVersion { supported });
            }
            Judgement::Unclear(error) => return Err(error),
        };
        Ok(self.remember(found))
    }

    /// Begins a session, ours, if the server has sessions.
    async fn shake_hands(&self, version: ProtocolVersion) -> Result<Agreement, CallError> {
        Ok(match self.initialize(&Asker::Gateway, version).await? {
            Handshake::Modern(agreement) => {
                self.sessions.forget_all();
                agreement
            }
            Handshake::Session(agreement, session) => {
                if let Some(replaced) = self.sessions.keep(session) {
                    self.end_in_background(replaced);
                }
                agreement
            }
        })
    }

    /// The handshake of the session era; the session is ready for use afterwards (UC-8, TL-2). A server that refuses the
    /// version and names another that we speak is asked once more, with that one.
    pub(super) async fn initialize(
        &self,
        asker: &Asker,
        version: ProtocolVersion,
    ) -> Result<Handshake, CallError> {
        let mut version = version;
        let mut again = true;
        loop {
            let (error, failure) = match self.initialize_with(asker, version).await? {
                Initialized::Agreed(handshake) => return Ok(handshake),
                Initialized::Refused(error, failure) => (error, failure),
            };
            let supported = answer::supported_versions(error.borrow());
            let named = ProtocolVersion::newest_of(supported.iter().map(AsRef::as_ref));
            match named {
                Some(named) if named.era() == Era::Stateless => {
                    return Ok(Handshake::Modern(agreement(named, None, false)));
                }
                Some(named) if named != version && again => {
                    (version, again) = (named, false);
                }
                _ if supported.is_empty() => return Err(failure),
                _ => return Err(CallError::NoCommonVersion { supported }),
            }
        }
    }

    /// One `initialize`.
    async fn initialize_with(
        &self,
        asker: &Asker,
        version: ProtocolVersion,
    ) -> Result<Initialized, CallError> {
        let id = self.fresh_id();
        let body = outgoing::initialize(id, version);
        let limit = self.settings.timeouts.handshake;
        let head = Head::new(asker);
        let asked = self.ask(head, body, (id, Era::Session), limit).await?;
        let (answer, failure) = match asked.said {
            Said::Answer(answer) => (answer, Violation::Initialize.into()),
            Said::Nothing(error) => return Err(error),
            Said::Refusal(refusal, failure) => match answer::refusal(&refusal.body, Era::Session) {
                Some(answer) => (answer, failure),
                None => return Err(failure),
            },
        };
        let result = match answer.outcome {
            Outcome::Result(result) => result,
            Outcome::Error {
                code: Code::UNSUPPORTED_VERSION,
                raw,
            } => {
                let supported = answer::supported_versions(raw.borrow());
                return Ok(Initialized::Refused(
                    raw,
                    CallError::NoCommonVersion { supported },
                ));
            }
            Outcome::Error { raw, .. } => return Ok(Initialized::Refused(raw, failure)),
        };
        let raw = result.borrow();
        let word = raw
            .get("protocolVersion")
            .and_then(Raw::text)
            .ok_or(Violation::Initialize)?;
        let version = ProtocolVersion::of_server(&word)
            .filter(|version| version.era() == Era::Session)
            .ok_or_else(|| CallError::NoCommonVersion {
                supported: vec![word.as_ref().into()],
            })?;
        if version == ProtocolVersion::V2024_11_05 {
            self.note(Oddity::OldVersion);
        }
        // TL-3 allows visible ASCII only; whatever else can stand in a header is said back as it came.
        let id = asked.session_id.filter(|id| !id.is_empty());
        let session = Session::new(asker.clone(), version, id);
        self.tell_initialized(&session).await?;
        let agreement = agreement(version, raw.get("capabilities"), session.id().is_some());
        Ok(Initialized::Agreed(Handshake::Session(agreement, session)))
    }

    async fn tell_initialized(&self, session: &Session) -> Result<(), CallError> {
        let head = Head::in_session(session);
        let body = ::mcp::jsonrpc::notification(Method::Initialized.as_str(), None);
        let limit = self.settings.timeouts.handshake;
        let received = self.wire.post(head, body, limit, Again::Yes).await?;
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
        head: Head<'_>,
        body: Vec<u8>,
        (id, era): (u64, Era),
        limit: Duration,
    ) -> Result<Asked, CallError> {
        let asking = async {
            let mut received = self.wire.post(head, body, limit, Again::Yes).await?;
            let session_id = received.session_id().cloned();
            if !received.status().is_success() {
                let failure = received.failure();
                let refusal = Refusal {
                    status: received.status(),
                    has_challenge: received.has_challenge(),
                    body: received.read_explanation().await,
                };
                let said = Said::Refusal(refusal, failure);
                return Ok(Asked { session_id, said });
            }
            let answer = match received.content().await? {
                Content::Json => answer::read(received.read().await?, id, era)
                    .await
                    .map_err(CallError::from),
                Content::Events => self.answer_among(received.events(), id, era).await,
                Content::Other => {
                    received.read_explanation().await;
                    Err(Violation::ContentType.into())
                }
            };
            let said = match answer {
                Ok(answer) => Said::Answer(answer),
                Err(error) => Said::Nothing(error),
            };
            Ok(Asked { session_id, said })
        };
        match tokio::time::timeout(limit, asking).await {
            // What is no message may still be an answer to who asked, for instance a web page.
            Ok(Err(error @ CallError::ProtocolViolation(_))) => Ok(Asked {
                session_id: None,
                said: Said::Nothing(error),
            }),
            Ok(asked) => asked,
            Err(_) => Err(CallError::TimedOut(Stage::Total)),
        }
    }

    /// The response in an event stream; what comes before it concerns nobody here.
    async fn answer_among(
        &self,
        mut events: Events,
        id: u64,
        era: Era,
    ) -> Result<Answer, CallError> {
        let mut noise = Noise::default();
        loop {
            let Some(event) = events.next().await? else {
                return Err(noise.instead_of(CallError::ClosedMidStream));
            };
            if event.data.trim_ascii().is_empty() {
                continue;
            }
            match answer::read(Bytes::from(event.data), id, era).await {
                Err(Violation::NotAResponse) => {}
                Err(violation @ (Violation::NotAMessage(_) | Violation::WrongId)) => {
                    noise.hear(violation, &self.oddities, self.name());
                }
                answer => {
                    events.finish(&self.tracker);
                    return answer.map_err(CallError::from);
                }
            }
        }
    }
}

/// What the answer to `server/discover` says about the era.
#[derive(Debug)]
enum Judgement {
    Modern(Agreement),
    /// Ask again with `initialize`.
    Legacy,
    NothingInCommon(Vec<Box<str>>),
    /// It says nothing about the era: the server is in trouble.
    Unclear(CallError),
}

fn judge(said: Said) -> Judgement {
    let (answer, failure) = match said {
        Said::Answer(answer) => (answer, None),
        Said::Nothing(CallError::ProtocolViolation(_)) => return Judgement::Legacy,
        Said::Nothing(error) if error.is_silence() => return Judgement::Legacy,
        Said::Nothing(error) => return Judgement::Unclear(error),
        Said::Refusal(refusal, failure) => match answer::refusal(&refusal.body, Era::Stateless) {
            Some(answer) => (answer, Some(failure)),
            None => return judge_failure(failure),
        },
    };
    match answer.outcome {
        Outcome::Result(result) => judge_result(result.borrow()),
        Outcome::Error { code, raw } => {
            let supported = answer::supported_versions(raw.borrow());
            let named = ProtocolVersion::newest_of(supported.iter().map(AsRef::as_ref));
            match (code, named) {
                (_, Some(version)) if version.era() == Era::Session => Judgement::Legacy,
                // It refused the version that it names: the next request shows whether it means that.
                (Code::UNSUPPORTED_VERSION, Some(version)) => {
                    Judgement::Modern(agreement(version, None, false))
                }
                (Code::UNSUPPORTED_VERSION, None) => Judgement::NothingInCommon(supported),
                _ if code.is_modern() => {
                    Judgement::Modern(agreement(ProtocolVersion::LATEST, None, false))
                }
                _ => failure.map_or(Judgement::Legacy, judge_failure),
            }
        }
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
/// the legacy era, and some forbid it; those of an overloaded server, and of one that asks for a credential, mean nothing.
fn judge_failure(failure: CallError) -> Judgement {
    match failure {
        CallError::UpstreamHttp {
            status: 407 | 408 | 429 | 502..=599,
        }
        | CallError::UpstreamUnauthorized { challenge: Some(_) }
        | CallError::UpstreamRedirect { .. } => Judgement::Unclear(failure),
        _ => Judgement::Legacy,
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
        has: PerFeature::of(|feature| match capabilities {
            Some(stated) => stated.has(feature),
            None => feature == Feature::Tools,
        }),
        list_changed: PerFeature::of(|feature| {
            capabilities.is_some_and(|stated| stated.list_changed(feature))
        }),
        has_sessions,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn result(text: &'static str) -> Answer {
        Answer {
            era: Era::Stateless,
            tool_failed: false,
            outcome: Outcome::Result(OwnedRaw::parse(text).expect("JSON")),
        }
    }

    fn error(code: i64, raw: &'static str) -> Answer {
        let raw = OwnedRaw::parse(raw).expect("JSON");
        Answer {
            era: Era::Stateless,
            tool_failed: false,
            outcome: Outcome::Error {
                code: Code(code),
                raw,
            },
        }
    }

    /// An HTTP error with a JSON-RPC error in it.
    fn refusal(status: u16, code: i64, supported: &str) -> Said {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"no","data":{{"supported":{supported}}}}}}}"#
        );
        refused(status, body)
    }

    fn refused(status: u16, body: String) -> Said {
        let refusal = Refusal {
            status: StatusCode::from_u16(status).expect("a status"),
            has_challenge: false,
            body: body.into(),
        };
        Said::Refusal(refusal, CallError::UpstreamHttp { status })
    }

    fn is_legacy(said: Said) -> bool {
        matches!(judge(said), Judgement::Legacy)
    }

    fn is_unclear(said: Said) -> bool {
        matches!(judge(said), Judgement::Unclear(_))
    }

    // UC-2
    #[test]
    fn a_discovery_result_with_our_version_means_modern() {
        let answer = result(
            r#"{"supportedVersions":["2025-11-25","2026-07-28","2099-01-01"],"capabilities":{"tools":{"listChanged":true}}}"#,
        );
        let Judgement::Modern(agreement) = judge(Said::Answer(answer)) else {
            panic!("modern")
        };
        assert_eq!(agreement.version, ProtocolVersion::V2026_07_28);
        let tools = Feature::Tools;
        assert!(*agreement.has.get(tools) && *agreement.list_changed.get(tools));
        assert!(!agreement.has.get(Feature::Prompts) && !agreement.has_sessions);
    }

    // UC-2
    #[test]
    fn a_server_that_supports_only_older_versions_is_asked_to_initialize() {
        let listed = result(r#"{"supportedVersions":["2025-06-18"]}"#);
        assert!(is_legacy(Said::Answer(listed)));
        assert!(is_legacy(refusal(400, -32022, r#"["2025-11-25"]"#)));
    }

    // UC-2
    #[test]
    fn a_server_of_another_future_has_nothing_in_common_with_us() {
        let listed = result(r#"{"supportedVersions":["2099-01-01"]}"#);
        for said in [
            refusal(400, -32022, r#"["2099-01-01"]"#),
            Said::Answer(listed),
        ] {
            let judged = judge(said);
            assert!(
                matches!(&judged, Judgement::NothingInCommon(named) if named == &["2099-01-01".into()]),
                "{judged:?}"
            );
        }
    }

    // UC-2
    #[test]
    fn other_modern_errors_in_a_400_mean_modern() {
        for (code, supported) in [
            (-32020, "null"),
            (-32021, "[]"),
            (-32022, r#"["2026-07-28"]"#),
        ] {
            let judged = judge(refusal(400, code, supported));
            assert!(matches!(judged, Judgement::Modern(_)), "{code}: {judged:?}");
        }
    }

    // UC-2
    #[test]
    fn an_error_without_a_modern_code_means_legacy() {
        assert!(is_legacy(refusal(400, -32600, "[]")));
        for status in [400, 401, 403, 404, 405, 406, 415, 422, 500, 501] {
            assert!(is_legacy(refused(status, String::new())), "{status}");
        }
        assert!(is_legacy(refusal(404, -32601, "[]")));
        assert!(is_legacy(Said::Answer(error(-32601, "{}"))));
    }

    // UC-2
    #[test]
    fn a_server_in_trouble_says_nothing_about_its_era() {
        for status in [408, 429, 502, 503, 504] {
            assert!(is_unclear(refused(status, String::new())), "{status}");
        }
    }

    #[test]
    fn nonsense_with_status_200_is_asked_to_initialize() {
        assert!(is_legacy(Said::Answer(result("{}"))));
        for nothing in [Violation::ContentType.into(), CallError::ClosedMidStream] {
            assert!(is_legacy(Said::Nothing(nothing)));
        }
    }
}
