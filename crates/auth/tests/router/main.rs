//! The authorization server through its router, without sockets: one file per endpoint, and the flows.

mod world;

mod authorize;
mod consent;
mod flow_code;
mod login;
mod metadata;
mod pages;
