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
#[cfg(test)]
mod outward;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod world;
