//! The OAuth 2.1 and OpenID Connect vocabulary: no I/O, no clock, no product noun.
//!
//! It serves issuer, verifier and client alike. The map:
//!
//! | module | what it speaks |
//! |---|---|
//! | [`error`] | error codes in the order of the registry, and the JSON error body |
//! | [`causes`] | an error with what caused it, as everybody says it |
//! | [`form`] | `application/x-www-form-urlencoded` without repeated parameters |
//! | [`client_id`], [`redirect_uri`], [`scope`], [`resource`], [`issuer`] | the grammars of single values |
//! | [`response_mode`], [`prompt`], [`auth_method`], [`pkce`] | the closed sets |
//! | [`request`], [`response`] | typed messages |
//! | [`metadata`] | RFC 8414, RFC 9728, RFC 7591 and Client ID Metadata Documents |
//! | [`discovery`] | which well-known URLs to ask, in which order |
//! | [`challenge`], [`bearer`] | `WWW-Authenticate`, both directions, and the token that answers it |
//! | [`jose`] | signatures, keys and claims; the algorithms are always an argument |
//!
//! To add one more parameter: its grammar gets a newtype here, its place is a field in [`request`], and the rule
//! about it belongs to whoever serves the endpoint.

pub mod auth_method;
pub mod bearer;
pub mod causes;
pub mod challenge;
pub mod client_id;
pub mod discovery;
pub mod error;
pub mod form;
pub mod issuer;
pub mod jose;
mod json_object;
pub mod metadata;
pub mod pkce;
pub mod prompt;
mod raw_url;
pub mod redirect_uri;
pub mod request;
pub mod resource;
pub mod response;
pub mod response_mode;
pub mod scope;
