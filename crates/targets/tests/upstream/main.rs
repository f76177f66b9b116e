//! MCP servers of all kinds on loopback, well behaved and not, and what a target makes of them.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod misbehaviour;
mod outward;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod world;
