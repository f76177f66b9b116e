//! The authorization server through its router, without sockets: one file per endpoint, and the flows.

#![expect(
    clippy::duration_suboptimal_units,
    reason = "moments and windows are in the unit of what they test"
)]

#[cfg(test)]
mod registrant;
#[cfg(test)]
mod world;

#[cfg(test)]
mod authorize;
#[cfg(test)]
mod cimd_document;
#[cfg(test)]
mod cimd_policy;
#[cfg(test)]
mod cimd_url;
#[cfg(test)]
mod client_authentication;
#[cfg(test)]
mod code;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod departure;
#[cfg(test)]
mod end_session;
#[cfg(test)]
mod flow_cimd;
#[cfg(test)]
mod flow_code;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod jwks;
#[cfg(test)]
mod login;
#[cfg(test)]
mod logout;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod origin;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod registered;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod two_nodes;
#[cfg(test)]
mod userinfo;
