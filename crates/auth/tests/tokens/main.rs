//! What clients do after the user agreed: tokens, refreshes, revocation, user information, logout; through the router,
//! without sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

mod world;

mod client_authentication;
mod code;
mod cors;
mod end_session;
mod jwks;
mod refresh;
mod revoke;
mod two_nodes;
mod userinfo;
