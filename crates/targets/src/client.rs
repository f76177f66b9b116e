//! For whom a call is made, as far as that changes how it is made: nothing of it is sent to a target but what is declared here.

use mcp::capability::ClientCapabilities;
use mcp::era::Era;
use mcp::meta::LogLevel;
use mcp::raw::OwnedRaw;

/// The client of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The era that it speaks. A target that speaks both is spoken to in this one: what one era does in the middle of a call
    /// the other does differently.
    pub era: Era,
    /// Its session, if it has one. A target's session is never shared between two of these.
    pub session: Option<[u8; 16]>,
    /// What it can be asked in the middle of a call, and nothing else is (UC-12).
    pub declared: ClientCapabilities,
    /// The extensions that it declared, an object, which are declared on to a target of the stateless era.
    pub extensions: Option<OwnedRaw>,
    /// The least level of the log messages that it asked for, if it asked.
    pub log_level: Option<LogLevel>,
}

impl Client {
    /// One of this era that can be asked nothing.
    pub const fn silent(era: Era) -> Self {
        Self {
            era,
            session: None,
            declared: ClientCapabilities::from_bits(0),
            extensions: None,
            log_level: None,
        }
    }
}
