//! Why a call to a target has no answer; facts only, what a client is told is the gateway's business.

use std::sync::Arc;
use std::time::Duration;

use ::mcp::input::Input;
use ::mcp::jsonrpc::Malformed;
use net::egress::connect::ConnectError;
use net::egress::pool::SendError;

use crate::meter::NoRoom;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// No connection came about; the target did nothing.
    #[error("the target can't be reached")]
    Unreachable(#[source] Arc<ConnectError>),
    /// The connection broke before the head of an answer, or what came is not HTTP.
    #[error("the connection to the target broke before it answered")]
    NoAnswer(#[source] Arc<SendError>),
    /// It took too long (UC-10). The target was told to stop.
    #[error("the target did not answer in time ({0})")]
    TimedOut(Stage),
    /// A body, an event or a line is larger than allowed. The connection was closed.
    #[error("the target's answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
    /// There is no room for the answer: too much of its caller's, or of all callers', is in memory (SEC-79). What had come
    /// of it was dropped.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The answer began and broke off (UC-7).
    #[error("the target closed the stream before its answer was complete")]
    ClosedMidStream,
    /// An HTTP status that is no success, without a JSON-RPC error in the body.
    #[error("the target answered with HTTP status {status}")]
    UpstreamHttp {
        /// The status.
        status: u16,
    },
    /// A redirect that is not followed: it leads away from the target's origin, or in a circle.
    #[error("the target answered with a redirect (HTTP status {status})")]
    UpstreamRedirect {
        /// The status.
        status: u16,
        /// Where to, for the operator's eyes.
        #[source]
        to: LeadsTo,
    },
    /// HTTP status 401: the target wants a credential that we do not have.
    #[error("the target demands authorization")]
    UpstreamUnauthorized {
        /// `WWW-Authenticate`, for the operator's eyes.
        #[source]
        challenge: Option<Challenge>,
    },
    /// The target speaks none of our protocol versions (UC-2).
    #[error("the target speaks none of our protocol versions")]
    NoCommonVersion {
        /// What it speaks, as far as it said.
        supported: Vec<Box<str>>,
    },
    /// What came breaks the protocol.
    #[error("the target broke the protocol: {0}")]
    ProtocolViolation(#[from] Violation),
    /// `tools/list` was answered with an error.
    #[error("the target refused to list its tools (code {code})")]
    ListRefused {
        /// The JSON-RPC error code.
        code: i64,
    },
    /// It does not tell of updates of a resource, as it says itself, or by declaring nothing of the kind.
    #[error("the target does not tell of updates of this resource (code {code})")]
    NotSubscribed {
        /// The JSON-RPC error code.
        code: i64,
    },
    /// More tools, pages or bytes than allowed.
    #[error("the target's list of tools has more {0} than allowed")]
    ListTooLong(ListBound),
    /// It asks for what its client did not declare that it can be asked (UC-12, TM-19).
    #[error("the target asks for `{}`, which its client did not declare", .0.method().as_str())]
    Undeclared(Input),
    /// There are as many calls under way as the target may have (SEC-79). Nothing was sent.
    #[error("the target has enough to do at the moment")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The target failed several times in a row and is not called for a while. Nothing was sent.
    #[error("the target failed several times in a row and is not called at the moment")]
    GivenUp {
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller's cancellation token.
    #[error("the call was cancelled")]
    Cancelled,
    /// The permission was given for another target. Ours to fix.
    #[error("the call was decided about for another target")]
    WrongTarget,
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it leads to `{0}`; hint: make that the URL of the target")]
pub struct LeadsTo(pub Box<str>);

/// `WWW-Authenticate` of a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its challenge is `{0}`")]
pub struct Challenge(pub Box<str>);

/// How a target is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// No connection comes about.
    NoConnection,
    /// It is there and serves nothing.
    NoService,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Resolving, connecting, TLS.
    Connect,
    /// The head of the answer.
    FirstByte,
    /// The next piece of the answer.
    Idle,
    /// The whole of it, however much progress there was.
    Total,
    /// The client's answer to what the target asked in the middle of the call.
    Input,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::FirstByte => "waiting for the first byte",
            Self::Idle => "waiting for the next byte",
            Self::Total => "in total",
            Self::Input => "waiting for what the target asked for",
        })
    }
}

/// How a list of tools can be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListBound {
    /// Too many pages.
    Pages,
    /// Too many tools.
    Tools,
    /// Too many bytes.
    Bytes,
}

impl std::fmt::Display for ListBound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pages => "pages",
            Self::Tools => "tools",
            Self::Bytes => "bytes",
        })
    }
}

/// How the protocol was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not a JSON-RPC message.
    #[error("not a JSON-RPC message ({0})")]
    NotAMessage(Malformed),
    /// A message, but no response, where only a response can be.
    #[error("not a response")]
    NotAResponse,
    /// A response to something that we did not ask.
    #[error("a response with another id")]
    WrongId,
    /// A success whose body is neither JSON nor an event stream.
    #[error("neither JSON nor an event stream")]
    ContentType,
    /// A compressed body, although we accept none.
    #[error("a content coding that was not asked for")]
    ContentEncoding,
    /// A `resultType` that nobody negotiated (UC-6).
    #[error("an unknown `resultType`")]
    ResultType,
    /// A `result` that is no object.
    #[error("a `result` that is no object")]
    Result,
    /// A demand for input that nobody can meet: where there can be none, of a form that is none, or again and again (TM-19).
    #[error("a demand for input that is none, or has no end")]
    InputRequired,
    /// It insists on headers that do not follow from its own tool list (UC-4).
    #[error("it refuses the headers that its tool list asks for")]
    HeaderMismatch,
    /// `initialize` was answered without a usable `protocolVersion`, or with an unusable session id.
    #[error("an unusable answer to `initialize`")]
    Initialize,
    /// The stream of HTTP+SSE names no endpoint for messages, or one elsewhere.
    #[error("no endpoint for messages at its own origin")]
    Endpoint,
    /// `tools/list` was answered without an array of tools.
    #[error("no array of tools")]
    ToolList,
    /// It asks on while our answers to its earlier requests are not taken (SEC-79).
    #[error("more requests at once than we answer")]
    TooManyRequests,
    /// The session was refused again just after it was made.
    #[error("a session that it does not know itself")]
    Session,
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Connect(ConnectError::TimedOut) => Self::TimedOut(Stage::Connect),
            // Ours is full, not the target away.
            SendError::Connect(ConnectError::NoPlace) => Self::Busy {
                retry_after: Duration::from_secs(1),
            },
            SendError::Connect(error) => Self::Unreachable(Arc::new(error)),
            SendError::TimedOut => Self::TimedOut(Stage::FirstByte),
            error @ SendError::Protocol(_) => Self::NoAnswer(Arc::new(error)),
        }
    }
}

impl CallError {
    /// Whether it speaks of a target that is out of order, rather than of a call that it does not like.
    pub(crate) const fn outage(&self) -> Option<Outage> {
        match self {
            Self::Unreachable(_) | Self::TimedOut(Stage::Connect) => Some(Outage::NoConnection),
            Self::NoAnswer(_)
            | Self::TimedOut(Stage::FirstByte)
            | Self::UpstreamHttp { status: 502..=504 } => Some(Outage::NoService),
            _ => None,
        }
    }

    /// Whether it says nothing about the target: it was not called, or not heard out, or it began to answer and did not come
    /// to an end. That may be the target's fault as well as a slow tool's, or the caller's.
    pub(crate) const fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::Busy { .. }
                | Self::GivenUp { .. }
                | Self::NoRoom(_)
                | Self::WrongTarget
                | Self::ClosedMidStream
                | Self::TimedOut(Stage::Idle | Stage::Total | Stage::Input)
        )
    }

    /// Whether nothing came back at all: neither an answer nor the end of one.
    pub(crate) const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer(_)
                | Self::ClosedMidStream
                | Self::TimedOut(Stage::FirstByte | Stage::Idle | Stage::Total)
        )
    }

    /// Whether the target may have begun to work on the request and may still be at it.
    pub(crate) const fn may_be_running(&self) -> bool {
        matches!(
            self,
            Self::TimedOut(Stage::FirstByte | Stage::Idle | Stage::Total)
                | Self::TooLarge { .. }
                | Self::NoRoom(_)
                | Self::ClosedMidStream
                | Self::ProtocolViolation(_)
                | Self::Cancelled
        )
    }
}
