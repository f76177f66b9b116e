//! JSON-RPC error codes of the protocol, and the HTTP status each travels with.

use crate::era::Era;

/// An error code. The set is open: peers define their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub i64);

impl Code {
    /// Not JSON.
    pub const PARSE_ERROR: Self = Self(-32700);
    /// JSON, but no request.
    pub const INVALID_REQUEST: Self = Self(-32600);
    /// A method that is not served.
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    /// Parameters that are missing, malformed, or name what does not exist.
    pub const INVALID_PARAMS: Self = Self(-32602);
    /// Our own fault.
    pub const INTERNAL_ERROR: Self = Self(-32603);
    /// There is more to do than is taken on: to be tried again. Of the range that JSON-RPC leaves to servers, as the SDKs use it.
    pub const BUSY: Self = Self(-32000);
    /// A session that is unknown or over, as the SDKs of the session era say it.
    pub const SESSION_NOT_FOUND: Self = Self(-32001);
    /// A resource that is not there, in the session era; in the stateless era that is [`Self::INVALID_PARAMS`].
    pub const RESOURCE_NOT_FOUND: Self = Self(-32002);
    /// Headers and body disagree (2026-07-28).
    pub const HEADER_MISMATCH: Self = Self(-32020);
    /// The request needs a client capability that was not declared (2026-07-28).
    pub const MISSING_CLIENT_CAPABILITY: Self = Self(-32021);
    /// The protocol version is not served (2026-07-28).
    pub const UNSUPPORTED_VERSION: Self = Self(-32022);
    /// The policy forbids the call. Ours, outside of the reserved range (D12).
    pub const DENIED: Self = Self(-31_403);
    /// The target behind the gateway failed, or can't be reached. Ours, outside of the reserved range (D12).
    pub const TARGET_FAILED: Self = Self(-31_502);
    /// The target is not called at the moment: it has enough to do, or failed several times in a row. Ours, outside of the
    /// reserved range (D12).
    pub const TARGET_UNAVAILABLE: Self = Self(-31_503);
    /// The target did not answer in time. Ours, outside of the reserved range (D12).
    pub const TARGET_TIMED_OUT: Self = Self(-31_504);

    /// Whether a legacy client finds this code in its own protocol: the modern protocol errors are not there.
    pub fn exists_in(self, era: Era) -> bool {
        match era {
            Era::Stateless => !matches!(self.0, -32002 | -32042),
            Era::Session => !matches!(self.0, -32022..=-32020),
        }
    }

    /// A code that only a modern server sends in a `400` body: it tells a probing client the era (UC-2).
    pub fn is_modern(self) -> bool {
        matches!(self.0, -32022..=-32020)
    }

    /// The HTTP status of an answer whose body is an error with this code (D12, D13, TM-10).
    /// What the transport refuses on other grounds (authentication, missing metadata) has its own status.
    pub fn http_status(self, era: Era) -> u16 {
        match (self, era) {
            (
                Self::PARSE_ERROR
                | Self::INVALID_REQUEST
                | Self::HEADER_MISMATCH
                | Self::MISSING_CLIENT_CAPABILITY
                | Self::UNSUPPORTED_VERSION,
                _,
            ) => 400,
            (Self::METHOD_NOT_FOUND, Era::Stateless) => 404,
            (Self::TARGET_UNAVAILABLE, _) => 503,
            _ => 200,
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // TM-10
    #[test]
    fn an_unknown_method_is_not_found_in_the_stateless_era_only() {
        assert_eq!(Code::METHOD_NOT_FOUND.http_status(Era::Stateless), 404);
        assert_eq!(Code::METHOD_NOT_FOUND.http_status(Era::Session), 200);
    }

    // TM-20
    #[test]
    fn our_own_codes_lie_outside_of_the_reserved_range() {
        for code in [
            Code::DENIED,
            Code::TARGET_FAILED,
            Code::TARGET_UNAVAILABLE,
            Code::TARGET_TIMED_OUT,
        ] {
            assert!(!(-32768..=-32000).contains(&code.0));
        }
    }
}
