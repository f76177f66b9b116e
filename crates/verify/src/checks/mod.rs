//! The one table of checks. Order is the order of asking: good cases first, then everything that must be refused.

mod authorization;
mod denial;
mod discovery;
mod registration;
mod token;
mod transport;

use crate::check::Check;

/// A row of the table: the handler is an async function of the session.
macro_rules! check {
    ($id:literal, $cites:literal, $run:path) => {
        Check {
            id: $id,
            cites: $cites,
            run: |session| Box::pin($run(session)),
        }
    };
}

/// A row whose handler only judges what was learned before.
macro_rules! judge {
    ($id:literal, $cites:literal, $run:path) => {
        Check {
            id: $id,
            cites: $cites,
            run: |session| Box::pin(std::future::ready($run(session))),
        }
    };
}

/// Every check, in order.
pub const CHECKS: &[Check] = &[
    // Discovery.
    check!(
        "discovery.challenge",
        "RS-2, RS-6, RS-11; RFC 9728 §5.1",
        discovery::challenge
    ),
    judge!(
        "discovery.challenge-scope",
        "RS-3; RFC 6750 §3",
        discovery::challenge_scope
    ),
    check!(
        "discovery.resource-metadata",
        "RS-1; RFC 9728 §3",
        discovery::resource_metadata
    ),
    check!(
        "discovery.resource-metadata-urls",
        "RS-2; RFC 9728 §3.1",
        discovery::resource_metadata_urls
    ),
    check!(
        "discovery.server-metadata",
        "AS-4, AS-5, CL-2, CL-3; RFC 8414 §3.3",
        discovery::server_metadata
    ),
    check!(
        "discovery.server-metadata-urls",
        "AS-4; RFC 8414 §3.1",
        discovery::server_metadata_urls
    ),
    judge!(
        "discovery.transport-security",
        "AS-20; OAuth 2.1 §1.5",
        discovery::transport_security
    ),
    judge!(
        "discovery.pkce-advertised",
        "AS-6, CL-10; RFC 8414 §2",
        discovery::pkce_advertised
    ),
    judge!(
        "discovery.iss-advertised",
        "AS-8; RFC 9207 §3",
        discovery::iss_advertised
    ),
    check!("discovery.keys", "AS-4; RFC 7517 §5", discovery::keys),
    // Registration.
    check!(
        "registration.client",
        "CL-5, CL-6, CI-1; MCP client registration",
        registration::client
    ),
    judge!(
        "registration.cimd-advertised",
        "AS-15, CI-12; CIMD §5",
        registration::cimd_advertised
    ),
    // Authorization.
    check!(
        "authorization.missing-pkce",
        "AS-28, SEC-1; OAuth 2.1 §4.1.1",
        authorization::missing_pkce
    ),
    check!(
        "authorization.plain-pkce",
        "AS-28, SEC-1; OAuth 2.1 §7.5.2",
        authorization::plain_pkce
    ),
    check!(
        "authorization.unregistered-redirect",
        "AS-12, AS-22, AS-23, SEC-6; OAuth 2.1 §2.3.1",
        authorization::unregistered_redirect
    ),
    check!(
        "authorization.refused-scope",
        "AS-31; OAuth 2.1 §4.1.2.1",
        authorization::refused_scope
    ),
    check!(
        "authorization.code",
        "AS-1, CL-11; OAuth 2.1 §4.1",
        authorization::code
    ),
    check!(
        "authorization.iss",
        "AS-7, CL-9, SEC-8; RFC 9207 §2",
        authorization::iss
    ),
    // Token.
    check!(
        "token.wrong-verifier",
        "AS-28, SEC-1; RFC 7636 §4.6",
        token::wrong_verifier
    ),
    check!(
        "token.wrong-resource",
        "AS-29, SEC-4, SEC-38; RFC 8707 §2",
        token::wrong_resource
    ),
    check!("token.exchange", "AS-1; OAuth 2.1 §3.2.3", token::exchange),
    judge!("token.claims", "AS-18, AS-29; RFC 9068 §2.2", token::claims),
    check!(
        "token.replayed-code",
        "SEC-3; OAuth 2.1 §4.1.3",
        token::replayed_code
    ),
    check!(
        "token.refresh",
        "AS-19, SEC-48; OAuth 2.1 §4.3.1",
        token::refresh
    ),
    // MCP.
    check!(
        "mcp.stateless",
        "TM-4, TM-15, TM-16; MCP 2026-07-28",
        transport::stateless
    ),
    check!(
        "mcp.session",
        "TL-2, TL-3; MCP 2025-11-25",
        transport::session
    ),
    check!(
        "mcp.tools-list",
        "RS-7, TM-1; MCP tools",
        transport::tools_list
    ),
    check!("mcp.tools-call", "TM-1; MCP tools", transport::tools_call),
    // What must be refused.
    check!(
        "denial.garbage",
        "RS-6, RS-11; RFC 6750 §3.1",
        denial::garbage
    ),
    check!(
        "denial.wrong-audience",
        "RS-7, SEC-37; RFC 8707 §4",
        denial::wrong_audience
    ),
    check!(
        "denial.id-token",
        "RS-7, SEC-40; RFC 9068 §4",
        denial::id_token
    ),
    check!(
        "denial.wrong-issuer",
        "RS-6, SEC-41; RFC 9068 §4",
        denial::wrong_issuer
    ),
    check!(
        "denial.foreign-signature",
        "RS-6, SEC-39; RFC 8725 §3.1",
        denial::foreign_signature
    ),
    check!("denial.alg-none", "SEC-39; RFC 8725 §3.1", denial::alg_none),
    check!(
        "denial.public-key-as-secret",
        "SEC-39; RFC 8725 §2.1",
        denial::public_key_as_secret
    ),
    check!(
        "denial.token-in-query",
        "RS-9, CL-14; OAuth 2.1 §5.1",
        denial::token_in_query
    ),
    check!(
        "denial.foreign-origin",
        "TM-2, SEC-62; MCP transports",
        denial::foreign_origin
    ),
    check!(
        "denial.unknown-session",
        "TL-3; MCP transports",
        denial::unknown_session
    ),
    check!(
        "denial.foreign-session",
        "TL-10, SEC-66; MCP security",
        denial::foreign_session
    ),
    check!(
        "denial.expired",
        "RS-6, SEC-41; RFC 6750 §3.1",
        denial::expired
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own_and_cites_something() {
        let mut names: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(CHECKS.iter().all(|check| !check.cites.is_empty()));
    }
}
