//! What a client says first, and what is in an answer to it.

use oauth::challenge::{Challenge, ChallengeError};
use serde_json::{Value, json};

use crate::session::message_of;
use crate::web::Answer;

/// The message that a client begins with.
pub(super) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "sekisho-verify", "version": env!("CARGO_PKG_VERSION") }
        }
    })
}

/// Whether an answer is a JSON-RPC response, be it a result or an error.
pub(super) fn is_json_rpc(answer: &Answer) -> bool {
    message_of(answer).is_some_and(|message| {
        message.get("jsonrpc").is_some()
            && (message.get("result").is_some() || message.get("error").is_some())
    })
}

/// All challenges of an answer.
pub(super) fn challenges(answer: &Answer) -> Result<Vec<Challenge>, ChallengeError> {
    let mut all = Vec::new();
    for value in answer.headers.get_all("www-authenticate") {
        // What is not text is not part of any challenge.
        if let Ok(text) = value.to_str() {
            all.extend(Challenge::parse_all(text)?);
        }
    }
    Ok(all)
}
