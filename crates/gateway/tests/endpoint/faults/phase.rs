//! When a target has which fault, and what that means for who asks it for something.

use testkit::fake_mcp::Act;

use super::cell::{FAILED, Kind};

pub(super) const LISTS: &[&str] = &[
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
];

/// Something that a target does instead of what it should.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) act: Act,
    /// What a client is told of a call that meets it.
    codes: &'static [i64],
    /// It ends only where nobody waits any more.
    pub(super) hangs: bool,
    /// It does no harm.
    pub(super) harmless: bool,
    /// The target is not there at all.
    pub(super) gone: bool,
}

impl Fault {
    pub(super) const fn new(name: &'static str, act: Act, codes: &'static [i64]) -> Self {
        Self {
            name,
            act,
            codes,
            hangs: false,
            harmless: false,
            gone: false,
        }
    }

    /// Whoever asks meets nobody.
    pub(super) fn gone(name: &'static str) -> Self {
        Self {
            gone: true,
            ..Self::new(name, Act::Close, FAILED)
        }
    }

    pub(super) const fn hanging(mut self) -> Self {
        self.hangs = true;
        self
    }

    pub(super) const fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// A stream that says nothing of use is one all the same: whoever opens it does not see the fault.
    const fn begins_a_stream(&self) -> bool {
        matches!(
            self.act,
            Act::HangAfterHead
                | Act::CloseMidStream
                | Act::Drip(_)
                | Act::Events(_)
                | Act::EndlessLine(_)
        )
    }
}

/// When a target has its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// When it is asked for the first time, what it speaks.
    First,
    /// When it is asked for the first time, what it has.
    Lists,
    /// When it is to tell of changes.
    Stream,
    /// When it is asked for what a client asks for.
    Request,
    /// When it is told which log messages are wanted.
    Level,
    /// When a session begins.
    Session,
    /// When it is told that a session has begun.
    Initialized,
}

impl Phase {
    pub(super) const OF_ALL: [Self; 4] = [Self::First, Self::Lists, Self::Stream, Self::Request];
    pub(super) const OF_SESSIONS: [Self; 3] = [Self::Level, Self::Session, Self::Initialized];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Lists => "lists",
            Self::Stream => "stream",
            Self::Request => "request",
            Self::Level => "level",
            Self::Session => "session",
            Self::Initialized => "initialized",
        }
    }

    /// The requests that meet the fault.
    pub(super) const fn at_fault(self) -> &'static [&'static str] {
        match self {
            Self::First => &["server/discover", "initialize"],
            Self::Lists => LISTS,
            Self::Stream => &["GET", "subscriptions/listen"],
            Self::Request => &[
                "tools/list",
                "tools/call",
                "prompts/list",
                "prompts/get",
                "resources/list",
                "resources/templates/list",
                "resources/read",
                "resources/subscribe",
                "completion/complete",
                "tasks/get",
            ],
            Self::Level => &["logging/setLevel"],
            Self::Session => &["initialize"],
            Self::Initialized => &["notifications/initialized"],
        }
    }

    /// Whether lists were had before.
    pub(super) const fn knows_lists(self) -> bool {
        !matches!(self, Self::First | Self::Lists)
    }

    /// A level that shuts out less than those of the phases before: the target is told of it.
    pub(super) const fn level(self) -> &'static str {
        match self {
            Self::First => "emergency",
            Self::Lists => "alert",
            Self::Stream => "critical",
            Self::Request => "error",
            Self::Level => "warning",
            Self::Session => "notice",
            Self::Initialized => "info",
        }
    }
}

/// What is to come of a request that is made while the target has its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Works,
    Refused(&'static [i64]),
    Either,
}

/// What is told of a target that was not got to know.
const UNKNOWN: Expected = Expected::Refused(&[-31502, -31504]);
/// What is told of a URI whose target is not known: that nobody has it, or what that one says that could have it.
const UNKNOWN_URI: Expected = Expected::Refused(&[-31502, -31504, -32601, -32602, -32002]);
/// What is told of a target that does not tell of updates, for the time being.
const UNTOLD: Expected = Expected::Refused(&[-31502, -31504, -32601]);

pub(super) fn expected(fault: &Fault, phase: Phase, kind: Kind, is_modern: bool) -> Expected {
    use Expected::{Either, Refused, Works};
    // Lists are those that are known. The level is said to the gateway, and the call after that is one like all.
    let is_ours = matches!(kind, Kind::List(_) | Kind::Level);
    if fault.harmless || is_ours || phase == Phase::Level {
        return Works;
    }
    let is_of_updates = matches!(kind, Kind::Subscribe | Kind::Listen);
    match phase {
        Phase::First | Phase::Lists if kind == Kind::Named => UNKNOWN,
        Phase::First => UNKNOWN_URI,
        Phase::Lists => Either,
        Phase::Stream if is_of_updates && !is_modern && fault.begins_a_stream() => Either,
        // It is subscribed to by opening a stream.
        Phase::Request if is_of_updates && is_modern && !fault.gone => Works,
        _ if is_of_updates => UNTOLD,
        Phase::Request => Refused(fault.codes),
        Phase::Session | Phase::Initialized => UNKNOWN,
        Phase::Stream | Phase::Level => Works,
    }
}
