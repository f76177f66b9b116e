//! The JSON-RPC envelope: parse it with everything borrowed, refuse what is none, build answers by splicing.

use std::borrow::Cow;

use crate::edit::{self, Change};
use crate::error::Code;
use crate::id::Id;
use crate::raw::{self, Likeness, Name, Raw, write_string};
use crate::scan::{Fault, MAX_DEPTH, Scanner};

/// One message.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Is one.
    Response(Response<'a>),
}

/// A message with an id and a method.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// To be echoed in the answer.
    pub id: Id<'a>,
    /// The method's name, escapes resolved.
    pub method: Cow<'a, str>,
    /// An object, if there.
    pub params: Option<Raw<'a>>,
}

/// A message with a method and no id.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// The method's name, escapes resolved.
    pub method: Cow<'a, str>,
    /// An object, if there.
    pub params: Option<Raw<'a>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    /// Of the request; none if the answerer could not read it.
    pub id: Option<Id<'a>>,
    /// What is answered.
    pub outcome: Outcome<'a>,
}

/// A result or an error.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// `result`: any value, an object in all of MCP.
    Result(Raw<'a>),
    /// `error`
    Error(ErrorObject<'a>),
}

/// The members of `error`.
#[derive(Clone, Copy, Debug)]
pub struct ErrorObject<'a> {
    /// All of it, with members that are not known here.
    pub raw: Raw<'a>,
    /// `code` in any spelling; 0 if it is missing or no integer.
    pub code: Code,
    /// `message`, still as JSON.
    pub message: Option<Raw<'a>>,
    /// `data`
    pub data: Option<Raw<'a>>,
}

/// Members of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `jsonrpc`
    Jsonrpc,
    /// `id`
    Id,
    /// `method`
    Method,
    /// `params`
    Params,
    /// `result`
    Result,
    /// `error`
    Error,
}

const FIELDS: [(Field, &str); 6] = [
    (Field::Jsonrpc, "jsonrpc"),
    (Field::Id, "id"),
    (Field::Method, "method"),
    (Field::Params, "params"),
    (Field::Result, "result"),
    (Field::Error, "error"),
];

/// What some editors and libraries put before UTF-8 (RFC 8259 §8.1 lets a parser ignore it).
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a body is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not UTF-8.
    #[error("the body is not valid UTF-8")]
    NotUtf8,
    /// The body ends inside a value, or is empty.
    #[error("the body ends in the middle of a JSON value")]
    Truncated,
    /// A byte that JSON does not allow there.
    #[error("the body is not valid JSON (offset {at})")]
    NotJson {
        /// Offset of the byte.
        at: usize,
    },
    /// Something follows the message.
    #[error("the body has data after the message (offset {at})")]
    TrailingData {
        /// Offset of its first byte.
        at: usize,
    },
    /// Too many levels of arrays and objects.
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An array: batches were removed in 2025-06-18.
    #[error("batches are not served, send one message per request")]
    Batch,
    /// A string, number, boolean or null.
    #[error("a message is a JSON object")]
    NotAnObject,
    /// A member of the envelope occurs twice.
    #[error("the envelope has a member twice")]
    Duplicate(Field),
    /// A member of the envelope in another case: some readers would take it for the member (SEC-81).
    #[error("the envelope has a member in another case")]
    OtherCase(Field),
    /// `jsonrpc` is missing or not `"2.0"`.
    #[error("expected `\"jsonrpc\":\"2.0\"`")]
    WrongVersion,
    /// `id` is neither a string nor a number.
    #[error("`id` must be a string or a number")]
    InvalidId,
    /// `method` is no string.
    #[error("`method` must be a string")]
    InvalidMethod,
    /// `params` is no object.
    #[error("`params` must be an object")]
    InvalidParams,
    /// `error` is no object.
    #[error("`error` must be an object")]
    InvalidError,
    /// Neither `method` nor `result` nor `error`, or several of these.
    #[error("expected exactly one of `method`, `result` and `error`")]
    NoKind,
}

impl Malformed {
    /// The JSON-RPC error code.
    pub fn code(self) -> Code {
        match self {
            Self::NotUtf8 | Self::Truncated | Self::NotJson { .. } | Self::TrailingData { .. } => {
                Code::PARSE_ERROR
            }
            Self::TooDeep
            | Self::Batch
            | Self::NotAnObject
            | Self::Duplicate(_)
            | Self::OtherCase(_)
            | Self::WrongVersion
            | Self::InvalidId
            | Self::InvalidMethod
            | Self::InvalidError
            | Self::NoKind => Code::INVALID_REQUEST,
            Self::InvalidParams => Code::INVALID_PARAMS,
        }
    }
}

impl From<Fault> for Malformed {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Truncated => Self::Truncated,
            Fault::Unexpected { at } => Self::NotJson { at },
            Fault::TooDeep => Self::TooDeep,
            Fault::Trailing { at } => Self::TrailingData { at },
        }
    }
}

/// A refused body, with its id if that could be read, so that the refusal can carry it.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Why.
    pub reason: Malformed,
    /// Of the request, if it was readable and the only one.
    pub id: Option<Id<'a>>,
}

impl Rejected<'_> {
    /// The answer to send: an error response, without `id` if that is unknown.
    pub fn response(&self) -> Vec<u8> {
        error(self.id, self.reason.code(), &self.reason.to_string(), None)
    }
}

impl From<Malformed> for Rejected<'_> {
    fn from(reason: Malformed) -> Self {
        Self { reason, id: None }
    }
}

/// Parses one message. The body is checked completely, in one flat pass; values stay where they are (SEC-63).
///
/// What says nothing spoils nothing: a byte order mark, and members of the envelope that are `null` where they may be
/// absent. A `null` for an id makes a notification of what is one by its name, and nothing of a request.
pub fn parse(body: &[u8]) -> Result<Message<'_>, Rejected<'_>> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)?;
    let envelope = Envelope::parse(text)?;
    envelope.classify().map_err(|reason| Rejected {
        reason,
        id: envelope.id.and_then(Id::new),
    })
}

#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    jsonrpc: Option<Raw<'a>>,
    pub(crate) id: Option<Raw<'a>>,
    pub(crate) method: Option<Raw<'a>>,
    pub(crate) params: Option<Raw<'a>>,
    pub(crate) result: Option<Raw<'a>>,
    pub(crate) error: Option<Raw<'a>>,
    pub(crate) ambiguous: Option<Malformed>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.whitespace();
        match scanner.peek() {
            Some(b'{') => scanner.at += 1,
            Some(b'[') => return Err(Malformed::Batch),
            _ => {
                scanner.value(MAX_DEPTH)?;
                scanner.end()?;
                return Err(Malformed::NotAnObject);
            }
        }
        let mut envelope = Self::default();
        scanner.whitespace();
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
        } else {
            loop {
                envelope.member(text, &mut scanner)?;
                scanner.whitespace();
                if scanner.peek() == Some(b'}') {
                    scanner.at += 1;
                    break;
                }
                scanner.expect(b',')?;
                scanner.whitespace();
            }
        }
        scanner.end()?;
        Ok(envelope)
    }

    fn member(&mut self, text: &'a str, scanner: &mut Scanner<'a>) -> Result<(), Malformed> {
        let key_start = scanner.at;
        scanner.string()?;
        let key = text.get(key_start..scanner.at).unwrap_or_default();
        scanner.whitespace();
        scanner.expect(b':')?;
        scanner.whitespace();
        let value_start = scanner.at;
        scanner.value(MAX_DEPTH - 1)?;
        let value = Raw::trusted(text.get(value_start..scanner.at).unwrap_or_default());
        let Some(key) = Raw::trusted(key).text() else {
            return Ok(());
        };
        let key = Name::new(key);
        let likeness = |(field, name): &(Field, &str)| match key.likeness_to_ascii(name) {
            Likeness::Other => None,
            likeness => Some((*field, likeness)),
        };
        let Some((field, likeness)) = FIELDS.iter().find_map(likeness) else {
            return Ok(());
        };
        if likeness == Likeness::OtherCase {
            self.ambiguous.get_or_insert(Malformed::OtherCase(field));
            return Ok(());
        }
        let slot = match field {
            Field::Jsonrpc => &mut self.jsonrpc,
            Field::Id => &mut self.id,
            Field::Method => &mut self.method,
            Field::Params => &mut self.params,
            Field::Result => &mut self.result,
            Field::Error => &mut self.error,
        };
        if slot.replace(value).is_some() {
            self.ambiguous.get_or_insert(Malformed::Duplicate(field));
        }
        Ok(())
    }

    fn classify(&self) -> Result<Message<'a>, Malformed> {
        if let Some(reason) = self.ambiguous {
            return Err(reason);
        }
        if self.jsonrpc.map(Raw::as_str) != Some("\"2.0\"") {
            return Err(Malformed::WrongVersion);
        }
        let error = self.error.filter(|error| !error.is_null());
        // A `null` beside a method or an error is what some libraries write for nothing.
        let method = self.method.filter(|method| !method.is_null());
        let nothing = method.is_some() || error.is_some();
        let result = self.result.filter(|result| !(nothing && result.is_null()));
        match (method, result, error) {
            (Some(method), None, None) => self.call(method),
            (None, Some(result), None) => self.answer(Outcome::Result(result)),
            (None, None, Some(error)) => {
                if !error.is_object() {
                    return Err(Malformed::InvalidError);
                }
                self.answer(Outcome::Error(ErrorObject::new(error)))
            }
            _ => Err(Malformed::NoKind),
        }
    }

    fn call(&self, method: Raw<'a>) -> Result<Message<'a>, Malformed> {
        let method = method.text().ok_or(Malformed::InvalidMethod)?;
        let id = match self.id {
            None => None,
            Some(raw) if raw.is_null() && method.starts_with("notifications/") => None,
            Some(raw) => Some(Id::new(raw).ok_or(Malformed::InvalidId)?),
        };
        let params = self.params.filter(|params| !params.is_null());
        if params.is_some_and(|raw| !raw.is_object()) {
            return Err(Malformed::InvalidParams);
        }
        Ok(match id {
            Some(id) => Message::Request(Request { id, method, params }),
            None => Message::Notification(Notification { method, params }),
        })
    }

    fn answer(&self, outcome: Outcome<'a>) -> Result<Message<'a>, Malformed> {
        let id = match (self.id, &outcome) {
            (Some(raw), _) if !raw.is_null() => Some(Id::new(raw).ok_or(Malformed::InvalidId)?),
            (_, Outcome::Error(_)) => None,
            (_, Outcome::Result(_)) => return Err(Malformed::InvalidId),
        };
        Ok(Message::Response(Response { id, outcome }))
    }
}

impl<'a> ErrorObject<'a> {
    /// Reads the members of an `error` object.
    pub fn new(raw: Raw<'a>) -> Self {
        Self {
            raw,
            code: Code(
                raw.get("code")
                    .and_then(Raw::any_integer)
                    .unwrap_or_default(),
            ),
            message: raw.get("message"),
            data: raw.get("data"),
        }
    }

    /// `message` as text; empty if it is missing.
    pub fn message_text(&self) -> Cow<'a, str> {
        self.message.and_then(Raw::text).unwrap_or_default()
    }
}

fn concat(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// A request. `id` and `params` are JSON text.
pub fn request(id: &str, method: &str, params: Option<&str>) -> Vec<u8> {
    let method = raw::quote(method);
    match params {
        Some(params) => concat(&[
            r#"{"jsonrpc":"2.0","id":"#,
            id,
            r#","method":"#,
            &method,
            r#","params":"#,
            params,
            "}",
        ]),
        None => concat(&[
            r#"{"jsonrpc":"2.0","id":"#,
            id,
            r#","method":"#,
            &method,
            "}",
        ]),
    }
}

/// A request whose parameters are `params` with `changes`. `id` is JSON text.
pub fn request_with(id: &str, method: &str, params: Raw<'_>, changes: &[Change<'_>]) -> Vec<u8> {
    let length = params.as_str().len() + edit::weight(changes) + id.len() + method.len() + 64;
    let mut out = String::with_capacity(length);
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id);
    out.push_str(r#","method":"#);
    write_string(&mut out, method);
    out.push_str(r#","params":"#);
    edit::write(&mut out, params, changes);
    out.push('}');
    out.into_bytes()
}

/// A notification. `params` is JSON text.
pub fn notification(method: &str, params: Option<&str>) -> Vec<u8> {
    let method = raw::quote(method);
    match params {
        Some(params) => concat(&[
            r#"{"jsonrpc":"2.0","method":"#,
            &method,
            r#","params":"#,
            params,
            "}",
        ]),
        None => concat(&[r#"{"jsonrpc":"2.0","method":"#, &method, "}"]),
    }
}

/// A response with a result, which is JSON text.
pub fn response(id: Id<'_>, result: &str) -> Vec<u8> {
    concat(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id.as_json(),
        r#","result":"#,
        result,
        "}",
    ])
}

/// A response whose result is `result` with `changes`.
pub fn response_with(id: Id<'_>, result: Raw<'_>, changes: &[Change<'_>]) -> Vec<u8> {
    let id = id.as_json();
    let length = result.as_str().len() + edit::weight(changes) + id.len() + 64;
    let mut out = String::with_capacity(length);
    out.push_str(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(id);
    out.push_str(r#","result":"#);
    edit::write(&mut out, result, changes);
    out.push('}');
    out.into_bytes()
}

/// A response with an error of our own. `data` is JSON text. Without an id there is none: the schemas of MCP know no null.
pub fn error(id: Option<Id<'_>>, code: Code, message: &str, data: Option<&str>) -> Vec<u8> {
    let code = code.to_string();
    let message = raw::quote(message);
    let mut out = match id {
        Some(id) => concat(&[r#"{"jsonrpc":"2.0","id":"#, id.as_json(), ","]),
        None => concat(&[r#"{"jsonrpc":"2.0","#]),
    };
    for part in [r#""error":{"code":"#, &code, r#","message":"#, &message] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// A response with an error that somebody else made, byte for byte.
pub fn error_from(id: Id<'_>, error: Raw<'_>) -> Vec<u8> {
    concat(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id.as_json(),
        r#","error":"#,
        error.as_str(),
        "}",
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::arbitrary;

    fn refused(body: &str) -> Malformed {
        parse(body.as_bytes()).unwrap_err().reason
    }

    #[test]
    fn a_request_is_taken_apart_without_losing_a_byte() {
        let body = br#" {"params":{"name":"a","x":1.0e2}, "id" : "7", "jsonrpc":"2.0","method":"tools\/call","extra":[]} "#;
        let Message::Request(request) = parse(body).unwrap() else {
            panic!("no request")
        };
        assert_eq!(request.method, "tools/call");
        assert_eq!(request.id.as_json(), "\"7\"");
        assert_eq!(
            request.params.unwrap().as_str(),
            r#"{"name":"a","x":1.0e2}"#
        );
    }

    #[test]
    fn a_message_without_id_is_a_notification() {
        let body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert!(matches!(parse(body).unwrap(), Message::Notification(_)));
    }

    #[test]
    fn responses_are_told_apart() {
        let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":[]}}}"#;
        let Message::Response(response) = parse(body).unwrap() else {
            panic!("no response")
        };
        let Outcome::Error(error) = response.outcome else {
            panic!("no error")
        };
        assert_eq!(
            (error.code, error.message_text().as_ref()),
            (Code::UNSUPPORTED_VERSION, "no")
        );
        assert_eq!(error.data.unwrap().as_str(), r#"{"supported":[]}"#);
    }

    #[test]
    fn an_error_may_lack_an_id_and_a_result_may_not() {
        assert!(parse(br#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#).is_ok());
        assert!(parse(br#"{"jsonrpc":"2.0","error":{"code":1,"message":""}}"#).is_ok());
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":null,"result":{}}"#),
            Malformed::InvalidId
        );
    }

    // TM-1, SEC-64
    #[test]
    fn a_batch_is_refused() {
        let body = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#;
        assert_eq!(refused(body), Malformed::Batch);
        assert_eq!(Malformed::Batch.code(), Code::INVALID_REQUEST);
    }

    // SEC-63
    #[test]
    fn invalid_utf8_is_refused() {
        let refused = parse(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}").unwrap_err();
        assert_eq!(
            (refused.reason, refused.reason.code()),
            (Malformed::NotUtf8, Code::PARSE_ERROR)
        );
    }

    // SEC-63
    #[test]
    fn a_key_twice_in_the_envelope_is_refused_in_any_spelling() {
        for (field, key) in FIELDS {
            let spelled: Vec<String> = key
                .chars()
                .map(|c| format!("\\u{:04x}", u32::from(c)))
                .collect();
            let escaped = spelled.concat();
            for second in [key, &escaped] {
                let body = format!("{{\"{key}\":\"2.0\",\"{second}\":\"2.0\"}}");
                assert_eq!(refused(&body), Malformed::Duplicate(field), "{body}");
            }
        }
    }

    // SEC-81
    #[test]
    fn a_key_of_the_envelope_in_another_case_is_refused_in_any_spelling() {
        for (field, key) in FIELDS {
            let upper = key.to_uppercase();
            let escaped = crate::fold::variants::escaped(&upper);
            for variant in [&upper, &escaped] {
                let body =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{variant}":"2.0"}}"#);
                assert_eq!(refused(&body), Malformed::OtherCase(field), "{body}");
            }
        }
        for variant in ["paramſ", "reſult", "ıd", "\u{130}D"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","{variant}":{{}}}}"#);
            assert!(matches!(refused(&body), Malformed::OtherCase(_)), "{body}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        let body = "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}";
        assert!(matches!(parse(body.as_bytes()), Ok(Message::Request(_))));
        assert_eq!(
            refused("\u{feff}\u{feff}{}"),
            Malformed::NotJson { at: 0 },
            "one of them"
        );
    }

    #[test]
    fn members_that_are_null_are_absent_where_they_may_be() {
        let parsed = |body: &'static str| parse(body.as_bytes()).unwrap();
        let all_null =
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null,"result":null,"error":null}"#;
        let Message::Request(request) = parsed(all_null) else {
            panic!("no request")
        };
        assert_eq!(request.params, None);
        assert!(matches!(
            parsed(r#"{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}"#),
            Message::Notification(_)
        ));
        for (body, is_result) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":null,"result":{},"error":null}"#,
                true,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#, true),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}"#,
                false,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, true),
        ] {
            let Message::Response(response) = parsed(body) else {
                panic!("no response")
            };
            assert_eq!(
                matches!(response.outcome, Outcome::Result(_)),
                is_result,
                "{body}"
            );
        }
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"error":null}"#),
            Malformed::NoKind
        );
    }

    // SEC-63
    #[test]
    fn a_body_nested_ten_thousand_deep_is_refused() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{deep}}}}}"#);
        assert_eq!(refused(&body), Malformed::TooDeep);
        assert_eq!(refused(&"{\"id\":".repeat(10_000)), Malformed::TooDeep);
    }

    // SEC-63
    #[test]
    fn the_envelope_counts_as_a_level() {
        let body = |levels: usize| {
            let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{deep}}}}}"#)
        };
        assert!(parse(body(62).as_bytes()).is_ok());
        assert_eq!(refused(&body(63)), Malformed::TooDeep);
    }

    #[test]
    fn truncated_bodies_are_refused_at_every_length() {
        let body =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é","a":[1,true]}}"#;
        for length in 0..body.len() {
            let cut = body.as_bytes().get(..length).unwrap();
            let reason = parse(cut).unwrap_err().reason;
            assert!(
                matches!(reason, Malformed::Truncated | Malformed::NotUtf8),
                "{length}: {reason:?}"
            );
        }
    }

    #[test]
    fn each_defect_is_its_own_refusal() {
        assert_eq!(refused("{} x"), Malformed::TrailingData { at: 3 });
        assert_eq!(refused("{'a':1}"), Malformed::NotJson { at: 1 });
        assert_eq!(refused("17"), Malformed::NotAnObject);
        assert_eq!(refused("{}"), Malformed::WrongVersion);
        assert_eq!(
            refused(r#"{"jsonrpc":2.0,"id":1,"method":"x"}"#),
            Malformed::WrongVersion
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#),
            Malformed::WrongVersion
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#),
            Malformed::InvalidId
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#),
            Malformed::InvalidId
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":7}"#),
            Malformed::InvalidMethod
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#),
            Malformed::InvalidParams
        );
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1}"#), Malformed::NoKind);
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#),
            Malformed::NoKind
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#),
            Malformed::InvalidError
        );
    }

    // TM-20
    #[test]
    fn a_refusal_carries_the_id_where_it_was_readable() {
        let refused = parse(br#"{"jsonrpc":"2.0","id":"q","method":"x","params":3}"#).unwrap_err();
        insta::assert_snapshot!(
            String::from_utf8(refused.response()).unwrap(),
            @r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32602,"message":"`params` must be an object"}}"#
        );
    }

    #[test]
    fn what_is_built_can_be_parsed() {
        let id = crate::id::OwnedId::text("a\"b");
        let built = [
            request(id.as_json(), "tools/call", Some(r#"{"name":"x"}"#)),
            request("1", "ping", None),
            notification("notifications/cancelled", Some(r#"{"requestId":1}"#)),
            notification("notifications/initialized", None),
            response(id.borrow(), r#"{"tools":[]}"#),
            error(None, Code::PARSE_ERROR, "line\nbreak", Some("[1]")),
            error_from(
                id.borrow(),
                Raw::parse(r#"{"code":1,"message":"m","more":2}"#).unwrap(),
            ),
        ];
        for body in built {
            parse(&body).unwrap();
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_agrees_with_serde_json_about_what_is_json(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let parsed = parse(&body);
            if parsed.is_ok() {
                prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok());
            }
        }

        #[test]
        fn params_come_out_as_they_went_in(
            params in arbitrary::object_of(arbitrary::json()),
            extra in arbitrary::json(),
        ) {
            let body = format!(r#"{{"extra":{extra},"params":{params},"jsonrpc":"2.0","id":1,"method":"m"}}"#);
            let Message::Request(request) = parse(body.as_bytes()).unwrap() else { panic!("no request") };
            prop_assert_eq!(request.params.unwrap().as_str(), params);
        }
    }
}
