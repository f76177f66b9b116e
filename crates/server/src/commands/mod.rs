//! What each command does, and how it ends: 0 for success, 1 for failure, 2 for a wrong command line, 3 for requests that
//! were cut at the end, 64 for a wrong configuration.

mod client;
mod config;
mod consent;
mod demo;
mod init;
mod key;
mod migrate;
mod password;
mod running;
mod serve;
mod session;
mod table;
mod targets;
mod user;
mod verify;

use std::process::ExitCode;

use oauth::causes::with_causes;

use crate::cli::Command;
use crate::commands::running::AlreadySaid;
use crate::config::Invalid;
use crate::talk;
use crate::wire::CutShort;

/// The exit code for a wrong configuration (`EX_USAGE` of sysexits).
const WRONG_CONFIGURATION: u8 = 64;

/// The exit code when the program ended as it was told to, but cut requests that were under way.
const CUT_SHORT: u8 = 3;

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Demo(options) => demo::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Verify(options) => verify::run(*options),
        Command::Config { command } => config::run(command),
        Command::Client { command } => client::run(&command),
        Command::Migrate(options) => migrate::run(&options),
        Command::User { command } => user::run(&command),
        Command::Key { command } => key::run(&command),
        Command::Targets { command } => targets::run(&command),
        Command::Session { command } => session::run(&command),
        Command::Consent { command } => consent::run(&command),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    if let Some(invalid) = error.downcast_ref::<Invalid>() {
        let count = invalid.problems.len();
        talk::say(invalid);
        talk::say(format_args!(
            "{count} {} in the configuration",
            if count == 1 { "problem" } else { "problems" }
        ));
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    if let Some(cut) = error.downcast_ref::<CutShort>() {
        talk::say(cut);
        return ExitCode::from(CUT_SHORT);
    }
    if !error.is::<AlreadySaid>() {
        talk::say(format_args!("error: {}", with_causes(&*error)));
    }
    ExitCode::FAILURE
}
