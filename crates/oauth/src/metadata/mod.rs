//! Metadata documents: of authorization servers, of protected resources, of clients.

pub mod client;
pub mod display_name;
pub mod registration;
pub mod resource;
pub mod server;
