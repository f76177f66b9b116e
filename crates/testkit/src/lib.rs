//! Fakes and a world builder for integration tests; never in a release.

pub mod browser;
pub mod fake_http;
pub mod fake_idp;
pub mod fake_mcp;
