//! What requests to a target carry besides what they are about: the credential and the labels that its operator wrote.
//!
//! It is made here for each request, and nowhere else. Nothing that a caller sent is ever among it (SEC-36): of the caller
//! it is known who asks, and nothing more.

use mcp::capability::ClientCapabilities;
use model::target::{Target, is_of_the_protocol};
use net::egress::outgoing::Fields;
use policy::call::Principal;

/// Who asks a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// We: to list what there is and to watch it.
    Gateway,
    /// A caller.
    Caller {
        /// Who.
        principal: Principal,
        /// Its own session, if it has one.
        session: Option<[u8; 16]>,
        /// What it can be asked.
        declared: ClientCapabilities,
    },
}

impl Asker {
    /// What is declared on its behalf (UC-12). We list for clients of every kind, and some servers list only what the client
    /// can be asked for: so all of that is declared for us, although whatever is asked of us is refused.
    pub(crate) const fn declared(&self) -> ClientCapabilities {
        match self {
            Self::Gateway => ClientCapabilities::ALL_INPUT,
            Self::Caller { declared, .. } => *declared,
        }
    }
}

/// How a target is shown what it has to see. To add one more kind of credential: a variant, and a file for it.
#[derive(Debug)]
pub(crate) enum Outward {
    /// The same for whoever asks.
    Headers(Fields),
}

impl Outward {
    /// What a declaration says; without anything in it, nothing. What is the protocol's to say stays so.
    pub(crate) fn of(declared: &Target) -> Self {
        let mut fields = Fields::default();
        for (name, value) in &declared.headers {
            if !is_of_the_protocol(name) {
                fields.add(name, value);
            }
        }
        Self::Headers(fields)
    }

    /// Adds what a request carries for whoever asks.
    pub(crate) fn show(&self, _asker: &Asker, fields: &mut Fields) {
        match self {
            Self::Headers(headers) => fields.extend(headers),
        }
    }
}
