//! Signatures, keys and claims. Which algorithms are acceptable is always an argument; `none` and HMAC do not exist.

pub mod alg;
pub mod claims;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod signing;
