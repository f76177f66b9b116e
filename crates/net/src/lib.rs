//! Every socket: the edge (listen, TLS, host routing) and egress (the only HTTP client).
//!
//! Map: [`body`] is the one body type; [`edge`] takes requests in (`listen` accepts, `tls` and
//! `local_ca` make certificates, `places` bounds connections, `framing` and `path` refuse what others
//! could read differently, `forwarded` knows who is asking, `hosts` picks the [`edge::Site`], `proxy` is a site in front of somebody else's server); [`egress`] sends requests out (`rules`
//! says which addresses may be dialled, `resolve` and `connect` dial them, `client` and
//! `documents` fetch small things within `budget`, `pool` is the data path); [`durable`] writes the
//! files that must outlive a crash; [`media`] and [`network`] say what is one and the same.
//!
//! To add one more thing that is served: implement [`edge::Site`] and put it into
//! [`edge::hosts::Table`]. To make an outgoing request: [`egress::client::Client`] for a document,
//! [`egress::pool::Pool`] for traffic. There is no other way.

pub mod body;
pub mod boxed;
pub mod durable;
pub mod edge;
pub mod egress;
pub mod hop_by_hop;
pub mod media;
pub mod network;
