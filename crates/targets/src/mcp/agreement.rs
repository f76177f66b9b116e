//! Which version and capabilities a server has, and what its answer to `server/discover` says about them.

use ::mcp::capability::ServerCapabilities;
use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::error::Code;
use ::mcp::feature::{Feature, PerFeature};
use ::mcp::raw::{OwnedRaw, Raw};

use super::answer;
use super::link::Said;
use crate::error::CallError;
use crate::reply::Outcome;

/// What was found out about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(super) version: ProtocolVersion,
    /// Did it say what it has?
    pub(super) is_stated: bool,
    /// What does it have at all?
    pub(super) has: PerFeature<bool>,
    /// Does it complete arguments?
    pub(super) completes: bool,
    /// Does it tell of updates of resources?
    pub(super) subscribes: bool,
    /// The extensions that it declares, an object.
    pub(super) extensions: Option<OwnedRaw>,
    /// Does it send log messages?
    pub(super) logs: bool,
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

/// What the answer to `server/discover` says about the era.
#[derive(Debug)]
pub(super) enum Judgement {
    Modern(Agreement),
    /// Ask again with `initialize`.
    Legacy,
    NothingInCommon(Vec<Box<str>>),
    /// It says nothing about the era: the server is in trouble.
    Unclear(CallError),
}

pub(super) fn judge(said: Said) -> Judgement {
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

/// Without stated capabilities, tools are assumed, and of a server of the stateless era, which has to state them and was only
/// not heard, everything: who asks for it will see.
pub(super) fn agreement(
    version: ProtocolVersion,
    capabilities: Option<Raw<'_>>,
    has_sessions: bool,
) -> Agreement {
    let capabilities = capabilities
        .filter(|raw| raw.is_object())
        .map(ServerCapabilities);
    let is_unheard = capabilities.is_none() && version.era() == Era::Stateless;
    Agreement {
        version,
        is_stated: capabilities.is_some(),
        has: PerFeature::of(|feature| match capabilities {
            Some(stated) => stated.has(feature),
            None => is_unheard || feature == Feature::Tools,
        }),
        completes: is_unheard || capabilities.is_some_and(ServerCapabilities::completes),
        subscribes: capabilities.is_some_and(ServerCapabilities::subscribes),
        extensions: capabilities
            .and_then(ServerCapabilities::extensions)
            .map(|extensions| OwnedRaw::trusted(extensions.as_str().to_owned())),
        logs: capabilities.is_some_and(ServerCapabilities::logs),
        list_changed: PerFeature::of(|feature| {
            capabilities.is_some_and(|stated| stated.list_changed(feature))
        }),
        has_sessions,
    }
}

#[cfg(test)]
mod tests {
    use ::mcp::raw::OwnedRaw;
    use http::StatusCode;

    use super::super::link::Refusal;
    use super::*;
    use crate::error::Violation;
    use crate::reply::Answer;
    use crate::reply::Kind;

    fn result(text: &'static str) -> Answer {
        Answer {
            era: Era::Stateless,
            tool_failed: false,
            kind: Kind::Complete,
            outcome: Outcome::Result(OwnedRaw::parse(text).expect("JSON")),
        }
    }

    fn error(code: i64, raw: &'static str) -> Answer {
        let raw = OwnedRaw::parse(raw).expect("JSON");
        Answer {
            era: Era::Stateless,
            tool_failed: false,
            kind: Kind::Complete,
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
