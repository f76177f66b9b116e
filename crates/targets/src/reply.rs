//! What comes back from a call: one answer, or a stream that ends with one.

use ::mcp::era::Era;
use ::mcp::error::Code;
use ::mcp::input::Input;
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

    /// The client goes on with the call by another request, which wants to hear of progress under this token (JSON text).
    fn go_on(&mut self, progress_token: Option<Box<str>>);

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
    /// What it says that it is.
    pub kind: Kind,
}

/// What an answer says that it is (D8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An error, or a result that is all.
    Complete,
    /// A result that says `input_required`: what it asks for was not looked at yet.
    InputRequired,
    /// A task that was created instead of a result: its client declared that it takes that.
    Task,
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
#[derive(Debug)]
pub enum Message {
    /// A notification about the call, with the client's own progress token.
    Notification {
        /// [`Method::Progress`], [`Method::LogMessage`] or [`Method::ElicitationComplete`].
        method: Method,
        /// The whole JSON-RPC message.
        raw: Bytes,
    },
    /// The target asks the client for something, and goes on when it has it.
    Ask(Ask),
    /// The answer; nothing follows.
    Answer(Answer),
}

/// What a target asks the client for in the middle of a call. Only what the client declared is asked (UC-12).
#[derive(Debug)]
pub struct Ask {
    /// What it is.
    pub input: Input,
    /// The parameters, an object.
    pub params: Option<OwnedRaw>,
    /// Where the answer goes.
    pub answering: Answering,
}

/// Takes the answer to an [`Ask`] to who asked. Dropped without one, it says that there is none.
pub struct Answering(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Answering {
    /// One that does this.
    pub fn new(answer: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(answer)))
    }

    /// What the client said.
    pub fn answer(mut self, said: Outcome) {
        if let Some(answer) = self.0.take() {
            answer(said);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            let raw = r#"{"code":-32603,"message":"the client gave no answer"}"#;
            answer(Outcome::Error {
                code: Code::INTERNAL_ERROR,
                raw: OwnedRaw::trusted(raw),
            });
        }
    }
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answering")
    }
}
