//! What each command does, and how it ends: 0 for success, 1 for failure, 2 for a wrong command line, 64 for a wrong configuration.

mod config;
mod init;

use std::process::ExitCode;

use crate::cli::Command;
use crate::config::Invalid;
use crate::talk;

/// The exit code for a wrong configuration (`EX_USAGE` of sysexits).
const WRONG_CONFIGURATION: u8 = 64;

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Config { command } => config::run(command),
        Command::Init(options) => init::run(&options),
        _ => Ok(()),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    if let Some(invalid) = error.downcast_ref::<Invalid>() {
        let count = invalid.problems.len();
        talk::say(invalid);
        talk::say(format_args!("{count} {} in the configuration", if count == 1 { "problem" } else { "problems" }));
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    if !error.is::<AlreadySaid>() {
        talk::say(format_args!("error: {}", chain(&error)));
    }
    ExitCode::FAILURE
}

/// The command did its work and found something wrong, and has said so.
#[derive(Debug, thiserror::Error)]
#[error("something was wrong")]
pub(crate) struct AlreadySaid;

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
