//! From the bytes of a response to its outcome.

use ::mcp::era::Era;
use ::mcp::jsonrpc::{self, Message, Response};
use ::mcp::raw::{OwnedRaw, Raw};
use ::mcp::result::{ResultType, result_type};
use bytes::Bytes;

use crate::error::Violation;
use crate::reply::{Answer, Outcome};

/// Takes the outcome out of a body that must be the response to our request `id`.
pub(super) fn read(body: &Bytes, id: u64, era: Era) -> Result<Answer, Violation> {
    match jsonrpc::parse(body) {
        Ok(Message::Response(response)) => check(body, &response, id, era),
        Ok(Message::Request(_) | Message::Notification(_)) => Err(Violation::NotAResponse),
        Err(rejected) => Err(Violation::NotAMessage(rejected.reason)),
    }
}

/// The outcome of a response that was parsed from `body`.
///
/// An error without an id is taken for ours: it says that the server could not read the id.
pub(super) fn check(
    body: &Bytes,
    response: &Response<'_>,
    id: u64,
    era: Era,
) -> Result<Answer, Violation> {
    let ours = response.id.is_none_or(|found| is_ours(found.as_json(), id));
    if !ours {
        return Err(Violation::WrongId);
    }
    let outcome = match response.outcome {
        jsonrpc::Outcome::Error(error) => error_outcome(body, &error),
        jsonrpc::Outcome::Result(result) => {
            match era {
                Era::Stateless => check_type(result)?,
                // It means nothing in that era, and passes: to everybody as the same (SEC-81).
                Era::Session if result.only("resultType").is_err() => {
                    return Err(Violation::ResultType);
                }
                Era::Session => {}
            }
            Outcome::Result(OwnedRaw::of(body, result))
        }
    };
    Ok(Answer { era, outcome })
}

/// The error in the body of an HTTP error, whatever its id: servers make ids up where they refuse
/// a request before reading it. `None` if the body is no JSON-RPC error.
pub(super) fn refusal(body: &Bytes, era: Era) -> Option<Answer> {
    match jsonrpc::parse(body) {
        Ok(Message::Response(Response {
            outcome: jsonrpc::Outcome::Error(error),
            ..
        })) => Some(Answer {
            era,
            outcome: error_outcome(body, &error),
        }),
        _ => None,
    }
}

/// Whether the body's id is ours: then the server read the request and means what it says.
pub(super) fn is_answer_to(body: &Bytes, id: u64) -> bool {
    match jsonrpc::parse(body) {
        Ok(Message::Response(response)) => response
            .id
            .is_some_and(|found| is_ours(found.as_json(), id)),
        _ => false,
    }
}

fn error_outcome(body: &Bytes, error: &jsonrpc::ErrorObject<'_>) -> Outcome {
    Outcome::Error {
        code: error.code,
        raw: OwnedRaw::of(body, error.raw),
    }
}

/// Is this text our id? It was sent as a decimal number.
pub(super) fn is_ours(text: &str, id: u64) -> bool {
    text.parse() == Ok(id)
}

/// UC-6, UC-12: we negotiate no extension and offer no input.
fn check_type(result: Raw<'_>) -> Result<(), Violation> {
    match result_type(result) {
        ResultType::Complete => Ok(()),
        ResultType::InputRequired => Err(Violation::InputRequired),
        ResultType::Other(_) | ResultType::Malformed => Err(Violation::ResultType),
    }
}
