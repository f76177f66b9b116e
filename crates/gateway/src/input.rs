//! What a target asks of the client in the middle of a call, on its way to the client and back, in the client's era.
//!
//! | client | target | on the way there | on the way back |
//! |---|---|---|---|
//! | session | session | a request of ours on the stream of the call ([`Asks`](crate::asks::Asks)) | a response of the client |
//! | session | stateless | the same, of [`targets::rounds`] | the same; the call is made again |
//! | stateless | session | a result that says `input_required`; the call waits ([`Parked`](crate::parked::Parked)) | the request again |
//! | stateless | stateless | the target's own result, its `requestState` sealed | the request again, which goes to the target |

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use mcp::edit::{Change, changed};
use mcp::era::Era;
use mcp::input::{self, Input};
use mcp::jsonrpc::{self, Response};
use mcp::meta;
use mcp::raw::{OwnedRaw, Raw, quote};
use mcp::result::{input_required_response, meta_member};
use model::clock::Timestamp;
use model::secret::TokenHash;
use policy::call::Principal;
use targets::error::{CallError, Violation};
use targets::reply::{Answer, Ask, Outcome};
use targets::rounds::required;

use crate::asks::{Asked, Asking};
use crate::caller::Caller;
use crate::client::{Client, Origin};
use crate::cx::Cx;
use crate::detach::Stream;
use crate::parked::{Answered, ParkedId, Waiting};
use crate::refusal::Refusal;
use crate::seal::Purpose;
use crate::session_id::SessionId;

/// What one client is asked at once, by its call or on its stream.
pub(crate) const MOST: usize = input::MOST;

const PARKED: u8 = 1;
const PASSED: u8 = 2;

/// What stands in a `requestState` of ours.
#[derive(Debug)]
pub(crate) enum State {
    /// The call is kept here.
    Parked(ParkedId),
    /// The target keeps it: its own `requestState`, a JSON string.
    Passed(OwnedRaw),
}

impl Origin {
    fn digest(&self) -> TokenHash {
        let arguments = self.arguments.as_ref().map(OwnedRaw::borrow);
        TokenHash::of_all(&[
            self.method.as_str(),
            &self.target,
            &self.name,
            arguments.map_or("", Raw::as_str),
        ])
    }

    fn seal(&self, cx: &Cx, form: u8, content: &[u8]) -> Option<String> {
        let until: Timestamp = cx.clock.now() + self.patience;
        let plain = [
            &[form][..],
            &until.millis().to_be_bytes(),
            &self.fingerprint,
            self.digest().as_bytes(),
            content,
        ]
        .concat();
        cx.seal.seal(Purpose::RequestState, &plain)
    }

    /// What a `requestState` says, if it is ours, was given for the same request of the same caller, and is not over.
    ///
    /// # Errors
    /// If not. All others look alike.
    pub(crate) fn open(&self, cx: &Cx, state: Raw<'_>) -> Result<State, Refusal> {
        let text = state.text().ok_or(Refusal::RequestState)?;
        let plain = cx.seal.open(Purpose::RequestState, text.as_bytes());
        let plain = plain.ok_or(Refusal::RequestState)?;
        self.read(&plain, cx.clock.now())
            .ok_or(Refusal::RequestState)
    }

    fn read(&self, plain: &[u8], now: Timestamp) -> Option<State> {
        let (form, rest) = plain.split_first()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (digest, content) = rest.split_first_chunk::<32>()?;
        let until = Timestamp::from_millis(i64::from_be_bytes(*until));
        if now >= until || *fingerprint != self.fingerprint || digest != self.digest().as_bytes() {
            return None;
        }
        match *form {
            PARKED => Some(State::Parked(content.try_into().ok()?)),
            PASSED => Some(State::Passed(OwnedRaw::trusted(content.to_vec()))),
            _ => None,
        }
    }
}

/// The parameters of a target's question, without what belongs to the target's hop.
fn params_for(era: Era, ask: Input, params: Option<Raw<'_>>) -> Option<String> {
    let params = params?;
    // Nobody asked us for progress of it.
    let own_meta = meta::without_hop_keys_and(Change::remove(meta::PROGRESS_TOKEN));
    let own_meta = Change::within_if_any("_meta", &own_meta);
    let by_url = ask == Input::Elicitation
        && params.get("mode").and_then(Raw::text).as_deref() == Some("url");
    let id = match (era, by_url) {
        // A client of the session era needs one; the server's completion may name it.
        (Era::Session, true) => Change::default("elicitationId", r#""of-this-request""#),
        (Era::Stateless, true) => Change::remove("elicitationId"),
        (_, false) => return Some(changed(params, &[own_meta])),
    };
    Some(changed(params, &[own_meta, id]))
}

/// The request that asks a client of the session era. Without randomness, nobody is asked.
pub(crate) fn request(
    cx: &Cx,
    principal: &Principal,
    session: SessionId,
    ask: Ask,
) -> Option<(Asking, Vec<u8>)> {
    let asked = Asked {
        gateway: Arc::clone(&cx.name),
        principal: principal.clone(),
        session,
    };
    let input = ask.input;
    let (asking, params) = cx.asks.ask(asked, ask)?;
    let params = params_for(Era::Session, input, params.as_ref().map(OwnedRaw::borrow));
    let id = asking.id().as_json();
    let message = jsonrpc::request(id, input.method().as_str(), params.as_deref());
    Some((asking, message))
}

/// A client of the session era answers, or believes to. What nobody waits for is no matter (TL-4).
pub(crate) fn answered(
    cx: &Cx,
    caller: &Caller,
    session: SessionId,
    response: &Response<'_>,
    body: &Bytes,
) {
    let Some(id) = response.id else { return };
    let said = match response.outcome {
        jsonrpc::Outcome::Result(result) if result.is_object() => {
            Outcome::Result(OwnedRaw::of(body, result))
        }
        // No client answers with anything else; the target hears that there is no answer.
        jsonrpc::Outcome::Result(_) => Outcome::Error {
            code: mcp::error::Code::INVALID_PARAMS,
            raw: OwnedRaw::trusted(
                r#"{"code":-32602,"message":"the client's answer is no object"}"#,
            ),
        },
        jsonrpc::Outcome::Error(error) => Outcome::Error {
            code: error.code,
            raw: OwnedRaw::trusted(mcp::mend::error(error.raw).into_owned()),
        },
    };
    let asked = Asked {
        gateway: Arc::clone(&cx.name),
        principal: caller.principal.clone(),
        session,
    };
    if !cx.asks.answer(&asked, id, said) {
        tracing::debug!(gateway = %cx.name, "an answer to nothing that was asked");
    }
}

/// The result that asks a client of the stateless era; the call waits meanwhile. Where there is no room for it, it ends.
pub(crate) fn park(cx: &Cx, client: &Client, waiting: Waiting) -> Result<Vec<u8>, Refusal> {
    let origin = &client.origin;
    let asked: Vec<_> = waiting
        .questions()
        .map(|(key, input, params)| {
            let params = params_for(Era::Stateless, input, params);
            (key.to_owned(), input, params)
        })
        .collect();
    let parked = cx
        .parked
        .park((&cx.tasks, &cx.stop_of_all), waiting, origin.patience);
    let id = parked.ok_or(Refusal::NotParked)?;
    let state = origin.seal(cx, PARKED, &id).ok_or(Refusal::NotParked)?;
    let asked = asked
        .iter()
        .map(|(key, input, params)| (key.as_str(), *input, params.as_deref().map(Raw::trusted)));
    let result = input::write_result(asked, &state, &meta_member(&cx.server_info));
    Ok(jsonrpc::response(client.id.borrow(), &result))
}

/// What came of a client's coming back to a call that waits.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// It goes on.
    Going(Stream),
    /// Something is still to be answered: the result that asks for it again.
    Asking(Vec<u8>),
}

/// Takes a client's answers to a call that waits for them.
///
/// # Errors
/// If none does, any more.
pub(crate) fn resume(
    cx: &Cx,
    client: &Client,
    id: &ParkedId,
    responses: Option<(Raw<'_>, &Bytes)>,
) -> Result<Resumed, Refusal> {
    let waiting = cx.parked.take(id).ok_or(Refusal::RequestState)?;
    let said = |key: &str| {
        let (responses, body) = responses?;
        let answer = responses.get(key).filter(|answer| answer.is_object())?;
        Some(OwnedRaw::of(body, answer))
    };
    match waiting.answer(said) {
        Answered::All(stream) => Ok(Resumed::Going(stream)),
        Answered::Not(waiting) => park(cx, client, waiting).map(Resumed::Asking),
    }
}

/// The message for a target's own result that says `input_required`, and its HTTP status.
pub(crate) fn pass_on(cx: &Cx, client: &Client, answer: &Answer) -> (Vec<u8>, StatusCode) {
    let origin = &client.origin;
    let message = match &answer.outcome {
        // Rounds are for clients that can be asked.
        Outcome::Result(result) if client.era == Era::Stateless => {
            passed(cx, client, result.borrow())
        }
        Outcome::Result(_) | Outcome::Error { .. } => {
            Err(CallError::from(Violation::InputRequired))
        }
    };
    message.map_or_else(
        |error| {
            let refusal = Refusal::of_call(&origin.target, error);
            let status = refusal.status(client.era);
            (refusal.message(&client.id, client.era), status)
        },
        |message| (message, StatusCode::OK),
    )
}

fn passed(cx: &Cx, client: &Client, result: Raw<'_>) -> Result<Vec<u8>, CallError> {
    let origin = &client.origin;
    let as_declared = targets::client::Client {
        declared: origin.declared,
        ..targets::client::Client::silent(Era::Stateless)
    };
    let required = required(result, client.method, &as_declared)?;
    let sealed = match required.state {
        None => None,
        Some(state) => {
            let sealed = origin.seal(cx, PASSED, state.as_bytes());
            Some(quote(&sealed.ok_or(Violation::InputRequired)?))
        }
    };
    let id = client.id.borrow();
    Ok(input_required_response(
        id,
        result,
        sealed.as_deref(),
        &cx.server_info,
    ))
}
