//! The endpoint as its clients see it: real upstreams and a real issuer on loopback, callers good and bad.

#[cfg(test)]
mod ambiguity;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod browsers;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod completion;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod habits;
#[cfg(test)]
mod input;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod no_authorization;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod policies;
mod prompts;
#[cfg(test)]
mod recoveries;
#[cfg(test)]
mod reload_at_size;
#[cfg(test)]
mod reloads;
mod resources;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod two_people;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod world;
