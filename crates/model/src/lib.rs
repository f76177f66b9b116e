//! The product's nouns, their state machines, and the rules that several services share; no I/O.
//!
//! The map, in reading order:
//!
//! - values: [`id`], [`clock`], [`secret`], [`rate`], [`mail`], [`network`], [`password`], [`password_choice`], [`text`], [`traits`];
//! - what is configured: [`realm`], [`client`], [`client_policy`], [`gateway`], [`target`];
//! - the rules of scopes and claims: [`scope_grant`], [`claims`];
//! - state machines: [`interaction`], [`grant`], [`refresh`], [`session`], [`signing_key`]; beside them [`consent`],
//!   [`login`] and [`user`].
//!
//! Nothing here reads a clock, draws a random number or derives a wire format: `now` and random bytes are arguments.
//! A type with `Serialize` is a setting, and is written as the configuration has it: there is no second definition.
//!
//! To add a state machine: an enum with its data in the variants, consuming transitions, a pure `decide`, and one
//! snapshot test that tries every event in every state. To add a claim mapper: a variant of
//! [`claims::mapper::Source`] and its arm.

pub mod clock;
pub mod id;
pub mod mail;
pub mod network;
pub mod password;
pub mod password_choice;
pub mod rate;
pub mod secret;
pub mod span;
pub mod text;
pub mod traits;
pub mod web_url;

mod lifetimes;
mod realm_name;
mod signing_algorithm;

pub mod algs;
pub mod client;
pub mod client_policy;
pub mod gateway;
pub mod listing;
pub mod realm;
pub mod registration;
pub mod target;

pub mod claims;
pub mod scope_grant;

pub mod consent;
pub mod grant;
pub mod granted;
pub mod interaction;
pub mod login;
pub mod refresh;
pub mod session;
pub mod signing_key;
pub mod user;
