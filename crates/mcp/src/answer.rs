//! Messages of servers, read generously: what nobody needs never spoils what is needed.
//!
//! Requests of clients are judged by [`crate::jsonrpc::parse`], strictly, because what is decided about must be what is
//! forwarded. Of a server's message only the content is forwarded, in an envelope of our own, so that here a byte order
//! mark, a missing `jsonrpc`, an `id` of another kind, and members that are null instead of absent do no harm.

use crate::id::Id;
use crate::jsonrpc::{
    BYTE_ORDER_MARK, Envelope, ErrorObject, Malformed, Message, Notification, Outcome, Request,
    Response,
};
use crate::raw::Raw;

/// One message of a server.
///
/// # Errors
/// What can't be understood; [`Malformed::Batch`] for an array, which [`batch`] takes apart.
pub fn parse(body: &[u8]) -> Result<Message<'_>, Malformed> {
    classify(&Envelope::parse(text(body)?)?)
}

/// The messages of a batch, as servers of 2025-03-26 may send them (TL-11); none if it is not an array.
///
/// # Errors
/// If the body is no JSON.
pub fn batch(
    body: &[u8],
) -> Result<impl Iterator<Item = Result<Message<'_>, Malformed>>, Malformed> {
    let array = Raw::parse(text(body)?)?;
    let messages = array.elements().into_iter().flatten();
    Ok(messages.map(|message| classify(&Envelope::parse(message.as_str())?)))
}

/// Is this text our id? It was sent as a decimal number; some servers send a text back, some a fraction.
pub fn is_id(found: Id<'_>, ours: u64) -> bool {
    found.raw().any_integer().map(u64::try_from) == Some(Ok(ours))
}

fn text(body: &[u8]) -> Result<&str, Malformed> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    std::str::from_utf8(body).map_err(|_| Malformed::NotUtf8)
}

fn classify<'a>(envelope: &Envelope<'a>) -> Result<Message<'a>, Malformed> {
    if let Some(reason) = envelope.ambiguous {
        return Err(reason);
    }
    let there = |member: Option<Raw<'a>>| member.filter(|raw| !raw.is_null());
    let id = envelope.id.and_then(Id::new);
    match (
        there(envelope.method),
        there(envelope.result),
        there(envelope.error),
    ) {
        (Some(method), None, None) => {
            let method = method.text().ok_or(Malformed::InvalidMethod)?;
            let params = envelope.params.filter(|params| params.is_object());
            Ok(match id {
                Some(id) => Message::Request(Request { id, method, params }),
                None => Message::Notification(Notification { method, params }),
            })
        }
        (None, None, Some(error)) if !error.is_object() => Err(Malformed::InvalidError),
        (None, None, Some(error)) => Ok(Message::Response(Response {
            id,
            outcome: Outcome::Error(ErrorObject::new(error)),
        })),
        (None, Some(result), None) => Ok(Message::Response(Response {
            id,
            outcome: Outcome::Result(result),
        })),
        // A result that is null, and nothing else: it says that there is none.
        (None, None, None) if envelope.result.is_some() => Ok(Message::Response(Response {
            id,
            outcome: Outcome::Result(Raw::NULL),
        })),
        _ => Err(Malformed::NoKind),
    }
}

/// The first byte that says what a body is: past a byte order mark and whitespace.
pub fn first_byte(body: &[u8]) -> Option<u8> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    body.trim_ascii_start().first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn result(body: &str) -> String {
        match parse(body.as_bytes()) {
            Ok(Message::Response(Response {
                outcome: Outcome::Result(result),
                ..
            })) => result.as_str().to_owned(),
            other => panic!("a result expected: {other:?}"),
        }
    }

    #[test]
    fn what_nobody_needs_does_not_spoil_a_result() {
        for body in [
            r#"{"jsonrpc":"2.0","id":7,"result":{"a":1.0}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"a":1.0},"error":null}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":null,"params":null,"result":{"a":1.0},"error":null}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":{"a":1.0}}"#,
            r#"{"jsonrpc":"2.0","id":[],"result":{"a":1.0}}"#,
            r#"{"jsonrpc":2.0,"id":7,"result":{"a":1.0}}"#,
            r#"{"result":{"a":1.0}}"#,
            "\u{feff}{\"id\":7,\"result\":{\"a\":1.0}}",
            "\r\n {\"id\":7,\"result\":{\"a\":1.0}}\n",
        ] {
            assert_eq!(result(body), r#"{"a":1.0}"#, "{body}");
        }
    }

    #[test]
    fn an_error_beside_a_null_result_is_an_error() {
        let body = br#"{"id":7,"result":null,"error":{"code":"-32601","message":"no"}}"#;
        let Ok(Message::Response(Response {
            outcome: Outcome::Error(error),
            ..
        })) = parse(body)
        else {
            panic!("an error")
        };
        assert_eq!(error.code, Code::METHOD_NOT_FOUND);
    }

    #[test]
    fn a_result_that_is_null_stays_null() {
        assert_eq!(result(r#"{"jsonrpc":"2.0","id":7,"result":null}"#), "null");
        assert_eq!(result(r#"{"result":null,"error":null}"#), "null");
    }

    #[test]
    fn requests_and_notifications_are_told_apart_whatever_their_parameters() {
        for (body, request) in [
            (r#"{"id":"a","method":"ping"}"#, true),
            (r#"{"id":"a","method":"ping","params":null}"#, true),
            (r#"{"id":"a","method":"ping","params":[]}"#, true),
            (r#"{"method":"x","params":7,"result":null}"#, false),
            (r#"{"id":null,"method":"x"}"#, false),
        ] {
            let message = parse(body.as_bytes()).unwrap();
            assert_eq!(matches!(message, Message::Request(_)), request, "{body}");
        }
    }

    #[test]
    fn what_can_mean_two_things_is_refused() {
        for body in [
            r#"{"id":7,"result":{},"error":{"code":1,"message":"m"}}"#,
            r#"{"id":7,"result":{},"result":{"a":1}}"#,
            r#"{"id":7,"method":"x","result":{}}"#,
            r#"{"id":7,"error":"no"}"#,
            r#"{"id":7}"#,
            "{}",
            "7",
            "",
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    // TL-11
    #[test]
    fn a_batch_is_taken_apart() {
        let body = br#"[{"method":"notifications/progress"}, 7, {"id":1,"result":{}}]"#;
        assert_eq!(parse(body).unwrap_err(), Malformed::Batch);
        let messages: Vec<_> = batch(body).unwrap().collect();
        assert!(matches!(
            messages.as_slice(),
            [
                Ok(Message::Notification(_)),
                Err(Malformed::NotAnObject),
                Ok(Message::Response(_))
            ]
        ));
        assert_eq!(batch(b"{}").unwrap().count(), 0);
    }

    #[test]
    fn our_id_is_known_in_any_spelling() {
        let is_seven = |text: &'static str| {
            let id = Id::new(Raw::parse(text).unwrap()).unwrap();
            is_id(id, 7)
        };
        for text in ["7", "\"7\"", "7.0", "\"7.0\""] {
            assert!(is_seven(text), "{text}");
        }
        for text in ["8", "-7", "\"x7\"", "7.5", "\"\""] {
            assert!(!is_seven(text), "{text}");
        }
    }
}
