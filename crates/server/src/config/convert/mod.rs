//! Turns the configuration into what the crates that do the work understand, and reports what they object to.

pub(crate) mod document;
pub(crate) mod egress;
pub(crate) mod files;
pub(crate) mod gateway;
mod headers;
pub(crate) mod listener;
pub(crate) mod realm;
pub(crate) mod storage;
