//! From the bytes of a response to its outcome.

use ::mcp::answer;
use ::mcp::era::Era;
use ::mcp::jsonrpc::{self, Malformed, Message, Response};
use ::mcp::raw::{OwnedRaw, Raw};
use ::mcp::result::{ResultType, Said};
use bytes::Bytes;

use crate::apart;
use crate::error::Violation;
use crate::reply::{Answer, Kind, Outcome};

/// More versions than that nobody has.
const MOST_VERSIONS: usize = 64;

/// Takes the outcome out of a body that must be the response to our request `id`.
pub(super) async fn read(body: Bytes, id: u64, era: Era) -> Result<Answer, Violation> {
    apart::run(body.len(), move || read_here(&body, id, era)).await
}

/// The same, where the body is not large.
pub(super) fn read_here(body: &Bytes, id: u64, era: Era) -> Result<Answer, Violation> {
    match answer::parse(body) {
        Ok(Message::Response(response)) => check(body, &response, id, era),
        Ok(Message::Request(_) | Message::Notification(_)) => Err(Violation::NotAResponse),
        Err(Malformed::Batch) => read_batch(body, id, era),
        Err(reason) => Err(Violation::NotAMessage(reason)),
    }
}

/// The response among the messages of a batch (TL-11).
fn read_batch(body: &Bytes, id: u64, era: Era) -> Result<Answer, Violation> {
    let mut otherwise = Violation::NotAMessage(Malformed::Batch);
    for message in answer::batch(body).map_err(Violation::NotAMessage)? {
        if let Ok(Message::Response(response)) = message {
            match check(body, &response, id, era) {
                Err(violation) => otherwise = violation,
                answer => return answer,
            }
        }
    }
    Err(otherwise)
}

/// The outcome of a response that was parsed from `body`.
///
/// A response without an id is taken for ours: there is one request that it can answer.
pub(super) fn check(
    body: &Bytes,
    response: &Response<'_>,
    id: u64,
    era: Era,
) -> Result<Answer, Violation> {
    if response.id.is_some_and(|found| !answer::is_id(found, id)) {
        return Err(Violation::WrongId);
    }
    let result = match response.outcome {
        jsonrpc::Outcome::Error(error) => {
            return Ok(Answer {
                era,
                outcome: error_outcome(body, &error),
                tool_failed: false,
                kind: Kind::Complete,
            });
        }
        jsonrpc::Outcome::Result(result) if !result.is_object() => return Err(Violation::Result),
        jsonrpc::Outcome::Result(result) => result,
    };
    let said = Said::by(result);
    match (era, &said.result_type) {
        // UC-6: whether somebody negotiated that extension is for who asked to know.
        (Era::Stateless, ResultType::Other(word)) if word == "task" => {}
        (Era::Stateless, ResultType::Other(_) | ResultType::Malformed)
        | (_, ResultType::Ambiguous) => return Err(Violation::ResultType),
        // In the session era it means nothing, and passes: to everybody as the same (SEC-81).
        (Era::Session, _) | (_, ResultType::Complete | ResultType::InputRequired) => {}
    }
    Ok(Answer {
        era,
        outcome: Outcome::Result(OwnedRaw::of(body, result)),
        tool_failed: said.failed,
        kind: match (era, &said.result_type) {
            (Era::Stateless, ResultType::InputRequired) => Kind::InputRequired,
            (Era::Stateless, ResultType::Other(_)) => Kind::Task,
            _ => Kind::Complete,
        },
    })
}

/// The error in the body of an HTTP error, whatever its id: servers make ids up where they refuse
/// a request before reading it. `None` if the body is no JSON-RPC error.
pub(super) fn refusal(body: &Bytes, era: Era) -> Option<Answer> {
    match answer::parse(body) {
        Ok(Message::Response(Response {
            outcome: jsonrpc::Outcome::Error(error),
            ..
        })) => Some(Answer {
            era,
            outcome: error_outcome(body, &error),
            tool_failed: false,
            kind: Kind::Complete,
        }),
        _ => None,
    }
}

/// Whether the body's id is ours: then the server read the request and means what it says.
pub(super) fn is_answer_to(body: &Bytes, id: u64) -> bool {
    match answer::parse(body) {
        Ok(Message::Response(response)) => {
            response.id.is_some_and(|found| answer::is_id(found, id))
        }
        _ => false,
    }
}

/// The versions that an error names as those of its server (UC-2): with the code of 2026-07-28, or with any other, as
/// the session era has it.
pub(super) fn supported_versions(error: Raw<'_>) -> Vec<Box<str>> {
    let supported = error
        .get("data")
        .and_then(|data| data.get("supported"))
        .and_then(Raw::elements);
    supported
        .into_iter()
        .flatten()
        .filter_map(|v| Some(v.text()?.as_ref().into()))
        .take(MOST_VERSIONS)
        .collect()
}

/// Whether the body of an HTTP error speaks of sessions: to a request that names one, it then says that it is lost, or never
/// began. 404 is the protocol's way to say so, and needs no words.
pub(super) fn speaks_of_session(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["session", "not initialized", "not been initialized"]
        .iter()
        .any(|words| text.contains(words))
}

/// The same of an error with a success as its HTTP status, where a tool may speak of sessions of its own: by codes that
/// tools do not have, and in the words that the SDKs have for it.
pub(super) fn says_lost_session(answer: &Answer) -> bool {
    let Outcome::Error { code, raw } = &answer.outcome else {
        return false;
    };
    let text = raw.borrow().get("message").and_then(Raw::text);
    let text = text.unwrap_or_default().to_ascii_lowercase();
    matches!(code.0, -32_001 | -32_000 | -32_600)
        && [
            "session not found",
            "session id",
            "no valid session",
            "invalid session",
            "unknown session",
            "session expired",
            "expired session",
            "session terminated",
            "session has been terminated",
            "not initialized",
        ]
        .iter()
        .any(|words| text.contains(words))
}

fn error_outcome(body: &Bytes, error: &jsonrpc::ErrorObject<'_>) -> Outcome {
    Outcome::Error {
        code: error.code,
        raw: OwnedRaw::of(body, error.raw),
    }
}
