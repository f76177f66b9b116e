//! Sekisho: an MCP gateway and an OAuth 2.1 authorization server in one program.
//!
//! Map: `cli` is the command line and `commands` what each command does; `operation` is what
//! an operator can have done, without a skin; `control` the socket at which a running program does it; `config` reads the configuration file; `demo`
//! writes the one of the demonstration; `wire` is the only place where everything meets; `telemetry` is the log and the
//! metrics; `documents` serves client metadata; `management` serves health and metrics, `readiness` judges, `by_name` only by names that are ours;
//! `routes` finds the service of a path, `access` writes and counts each answer, `browsers` adds what all answers say.
//!
//! To add a command: a variant in `cli`, a file in `commands`. To add a configuration key: see `config`.

mod access;
mod browsers;
mod by_name;
mod cli;
mod commands;
mod config;
mod control;
mod demo;
mod documents;
mod files;
mod management;
mod operation;
mod readiness;
mod routes;
mod talk;
mod telemetry;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// Blocks of any size come from lists of their thread (decision 0012).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    commands::run(cli::Cli::parse().command)
}
