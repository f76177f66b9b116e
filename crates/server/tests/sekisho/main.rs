//! The real program from outside: its commands, its stories, its life and its end.

#[cfg(test)]
mod program;

#[cfg(test)]
mod beginning;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cli_config;
#[cfg(test)]
mod cli_store;
mod control;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod log;
#[cfg(test)]
mod log_lines;
#[cfg(test)]
mod people;
#[cfg(test)]
mod people_online;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod story_demo;
#[cfg(test)]
mod story_headers;
mod story_init;
#[cfg(test)]
mod story_no_authorization;
#[cfg(test)]
mod story_tls;
#[cfg(test)]
mod story_verify;
#[cfg(test)]
mod story_verify_denials;
#[cfg(test)]
mod story_verify_discovery;
#[cfg(test)]
mod story_verify_person;
#[cfg(test)]
mod terminal;
