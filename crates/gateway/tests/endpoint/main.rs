//! The endpoint as its clients see it: real upstreams and a real issuer on loopback, callers good and bad.

mod bad_input;
mod browsers;
mod calls;
mod eras;
mod lists;
mod metadata;
mod policies;
mod sessions;
mod tokens;
mod upstreams;
mod world;
