//! The only HTTP client: which addresses may be dialled, dialling them, and fetching.

pub mod client;
pub mod connect;
pub mod documents;
pub mod pool;
pub mod resolve;
pub mod rules;

mod budget;
mod freshness;
mod live;
