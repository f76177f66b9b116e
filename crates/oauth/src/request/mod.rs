//! Requests, parsed from their forms.

pub mod authorization;
pub mod token;
