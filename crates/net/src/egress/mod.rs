//! The only HTTP client: which addresses may be dialled, dialling them, and fetching.

pub mod rules;

pub mod resolve;

pub mod connect;

mod h1;
mod idle;
mod live;

pub mod outgoing;

mod sending;

pub mod client;

pub mod budget;

mod freshness;

pub mod documents;

pub mod pool;
