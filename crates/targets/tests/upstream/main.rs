//! MCP servers of all kinds on loopback, well behaved and not, and what a target makes of them.

mod calls;
mod eras;
mod lists;
mod misbehaviour;
mod sessions;
mod streams;
mod watching;
mod world;
