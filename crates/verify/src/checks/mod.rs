//! The one table of checks. Order is the order of asking: good cases first, then everything that must be refused.

mod authorization;
mod denial;
mod discovery;
mod mistaken;
mod registration;
mod said;
mod token;
mod transport;

use crate::check::{About, Check, Part};

/// A row of the table: the handler is an async function of the session.
macro_rules! check {
    ($part:ident, $about:ident, $id:literal, $cites:literal, $run:path) => {
        Check {
            id: $id,
            cites: $cites,
            part: Part::$part,
            about: About::$about,
            run: |session| Box::pin($run(session)),
        }
    };
}

/// A row whose handler only judges what was learned before.
macro_rules! judge {
    ($about:ident, $id:literal, $cites:literal, $run:path) => {
        Check {
            id: $id,
            cites: $cites,
            part: Part::Survey,
            about: About::$about,
            run: |session| Box::pin(std::future::ready($run(session))),
        }
    };
}

/// Every check, in order. What must be refused comes after what must work, so that each refusal has something to be compared
/// with.
#[rustfmt::skip]
pub const CHECKS: &[Check] = &[
    // Discovery.
    check!(Flow, Protocol, "discovery.challenge", "RS-2, RS-6, RS-11; RFC 9728 §5.1", discovery::challenge),
    judge!(Authorization, "discovery.challenge-scope", "RS-3; RFC 6750 §3", discovery::challenge_scope),
    check!(Flow, Authorization, "discovery.resource-metadata", "RS-1; RFC 9728 §3", discovery::resource_metadata),
    check!(Survey, Authorization, "discovery.resource-metadata-urls", "RS-2; RFC 9728 §3.1", discovery::resource_metadata_urls),
    check!(Flow, Authorization, "discovery.server-metadata", "AS-4, AS-5, CL-2, CL-3; RFC 8414 §3.3", discovery::server_metadata),
    check!(Survey, Authorization, "discovery.server-metadata-urls", "AS-4; RFC 8414 §3.1", discovery::server_metadata_urls),
    judge!(Authorization, "discovery.transport-security", "AS-20; OAuth 2.1 §1.5", discovery::transport_security),
    judge!(Authorization, "discovery.pkce-advertised", "AS-6, CL-10; RFC 8414 §2", discovery::pkce_advertised),
    judge!(Authorization, "discovery.iss-advertised", "AS-8; RFC 9207 §3", discovery::iss_advertised),
    check!(Survey, Authorization, "discovery.keys", "AS-4; RFC 7517 §5", discovery::keys),
    // Registration.
    check!(Flow, Authorization, "registration.client", "CL-5, CL-6, CI-1; MCP client registration", registration::client),
    judge!(Authorization, "registration.cimd-advertised", "AS-15, CI-12; CIMD §5", registration::cimd_advertised),
    check!(Survey, Authorization, "registration.dynamic", "SEC-33; RFC 7591 §3.2.1", registration::dynamic),
    // Authorization.
    check!(Flow, Authorization, "authorization.code", "AS-1, CL-11; OAuth 2.1 §4.1", authorization::code),
    check!(Denial, Authorization, "authorization.iss", "AS-7, CL-9, SEC-8; RFC 9207 §2", authorization::iss),
    // Token.
    check!(Flow, Authorization, "token.exchange", "AS-1; OAuth 2.1 §3.2.3", token::exchange),
    judge!(Authorization, "token.claims", "AS-18, AS-29; RFC 9068 §2.2", token::claims),
    check!(Flow, Authorization, "token.refresh", "AS-19, SEC-48; OAuth 2.1 §4.3.1", token::refresh),
    // MCP.
    check!(Flow, Protocol, "mcp.stateless", "TM-4, TM-15, TM-16; MCP 2026-07-28", transport::stateless),
    check!(Flow, Protocol, "mcp.session", "TL-2, TL-3; MCP 2025-11-25", transport::session),
    check!(Flow, Protocol, "mcp.tools-list", "RS-7, TM-1; MCP tools", transport::tools_list),
    check!(Flow, Protocol, "mcp.tools-call", "TM-1; MCP tools", transport::tools_call),
    // What the authorization server must refuse.
    check!(Denial, Authorization, "authorization.missing-pkce", "AS-28, SEC-1; OAuth 2.1 §4.1.1", authorization::missing_pkce),
    check!(Denial, Authorization, "authorization.plain-pkce", "AS-28, SEC-1; OAuth 2.1 §7.5.2", authorization::plain_pkce),
    check!(Denial, Authorization, "authorization.unregistered-redirect", "AS-12, AS-22, AS-23, SEC-6; OAuth 2.1 §2.3.1", authorization::unregistered_redirect),
    check!(Denial, Authorization, "authorization.refused-scope", "AS-31; OAuth 2.1 §4.1.2.1", authorization::refused_scope),
    check!(Denial, Authorization, "token.wrong-verifier", "AS-28, SEC-1; RFC 7636 §4.6", token::wrong_verifier),
    check!(Denial, Authorization, "token.wrong-resource", "AS-29, SEC-4, SEC-38; RFC 8707 §2", token::wrong_resource),
    check!(Denial, Authorization, "token.replayed-code", "SEC-3; OAuth 2.1 §4.1.3", token::replayed_code),
    check!(Denial, Authorization, "registration.dangerous-redirect", "SEC-7; RFC 7591 §5", registration::dangerous_redirect),
    // What the gateway must refuse.
    check!(Denial, Authorization, "denial.garbage", "RS-6, RS-11; RFC 6750 §3.1", denial::garbage),
    check!(Denial, Authorization, "denial.wrong-audience", "RS-7, SEC-37; RFC 8707 §4", denial::wrong_audience),
    check!(Denial, Authorization, "denial.id-token", "RS-7, SEC-40; RFC 9068 §4", denial::id_token),
    check!(Denial, Authorization, "denial.wrong-issuer", "RS-6, SEC-41; RFC 9068 §4", denial::wrong_issuer),
    check!(Denial, Authorization, "denial.foreign-signature", "RS-6, SEC-39; RFC 8725 §3.1", denial::foreign_signature),
    check!(Denial, Authorization, "denial.alg-none", "SEC-39; RFC 8725 §3.1", denial::alg_none),
    check!(Denial, Authorization, "denial.public-key-as-secret", "SEC-39; RFC 8725 §2.1", denial::public_key_as_secret),
    check!(Denial, Authorization, "denial.token-in-query", "RS-9, CL-14; OAuth 2.1 §5.1", denial::token_in_query),
    check!(Denial, Protocol, "denial.foreign-origin", "TM-2, SEC-62; MCP transports", denial::foreign_origin),
    check!(Denial, Protocol, "denial.unknown-session", "TL-3; MCP transports", denial::unknown_session),
    check!(Denial, Authorization, "denial.foreign-session", "TL-10, SEC-66; MCP security", denial::foreign_session),
    check!(Denial, Authorization, "denial.expired", "RS-6, SEC-41; RFC 6750 §3.1", denial::expired),
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
