//! What comes back from a call: one answer, or a stream that ends with one.

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::method::Method;
use ::mcp::raw::OwnedRaw;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::CallError;
use crate::guard::UnderWay;

/// What came back.
#[derive(Debug)]
pub enum Reply {
    /// The answer, and nothing before it.
    One(Answer),
    /// Notifications, and an answer at the end.
    Stream(Box<dyn Messages>),
}

/// The messages of a call, in order; the last one is the answer. Dropping them before cancels the call.
pub trait Messages: std::fmt::Debug + Send {
    /// The next message; `None` after the answer or an error. Dropping the future loses nothing. Errors are those of
    /// [`crate::Target::call`]; nothing follows one.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Message, CallError>>>;

    /// Whether there was no message yet.
    fn is_silent(&self) -> bool;

    /// Keeps the call's place among those under way until its end, and says when the first message comes.
    fn hold(&mut self, under_way: UnderWay);
}

/// The answer of a target, without the JSON-RPC envelope: its id was ours and means nothing to a
/// client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The era the target speaks: a client of the other one needs a translation.
    pub era: Era,
    /// A result or an error.
    pub outcome: Outcome,
    /// Whether it is the result of a tool that says that it failed.
    pub tool_failed: bool,
}

impl Answer {
    /// Its size in bytes, nearly.
    pub fn len(&self) -> usize {
        match &self.outcome {
            Outcome::Result(raw) | Outcome::Error { raw, .. } => raw.bytes().len(),
        }
    }

    /// Whether there is nothing in it, which no answer is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A result or an error, byte for byte as the target spelled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The value of `result`, an object.
    Result(OwnedRaw),
    /// The value of `error`, an object.
    Error {
        /// Its `code`.
        code: Code,
        /// All of it.
        raw: OwnedRaw,
    },
}

/// One message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A notification about the call, with the client's own progress token.
    Notification {
        /// [`Method::Progress`] or [`Method::LogMessage`].
        method: Method,
        /// The whole JSON-RPC message.
        raw: Bytes,
    },
    /// The answer; nothing follows.
    Answer(Answer),
}
