//! What a decision is about: one call of a target, as the gateway understood it.

use std::sync::Arc;

use mcp::feature::Feature;
use mcp::method::Method;
use mcp::params::CallParams;

/// Who calls, as one opaque string: equal for two requests exactly if the same principal made
/// them. Never the token itself: a principal survives a refreshed token.
///
/// State kept at a target on a caller's behalf (a session) is kept under this key, so that it is
/// never shared between principals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Names a principal; the gateway derives the string from the verified token.
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One `tools/call`, `prompts/get` or the like, addressed to what a target offers.
///
/// Policies name a tool, or what else is offered, by target and name, never by the name that was shown to the client:
/// moving a name between targets must not redirect a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub principal: Principal,
    /// The target's name in the configuration.
    pub target: Arc<str>,
    /// What is asked for.
    pub feature: Feature,
    /// How it is asked for.
    pub method: Method,
    /// Its own name at the target, without any prefix.
    pub name: Arc<str>,
    /// The `params` object of the client's request, as it came.
    /// The member that names what is asked for, and `_meta`, are replaced on the way out, all others pass untouched.
    pub params: CallParams,
}
