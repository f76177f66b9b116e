//! `sekisho demo`: makes the configuration of the demonstration, runs it, and says where everything is.

use std::io::{self, IsTerminal as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Demo;
use crate::commands::config::demo_settings;
use crate::commands::running::runtime;
use crate::config::Loaded;
use crate::demo::words::Places;
use crate::demo::{Shape, words};
use crate::telemetry::Chattiness;
use crate::wire::plan::Plan;
use crate::wire::{self, Addresses, Source};
use crate::{files, talk, telemetry};

/// What the ready file says.
#[derive(Serialize)]
struct Ready<'a> {
    #[serde(flatten)]
    places: &'a Places,
    #[serde(flatten)]
    addresses: &'a Addresses,
}

/// Runs `sekisho demo`.
pub(crate) fn run(options: &Demo) -> anyhow::Result<()> {
    let mut settings = demo_settings(&options.shape)?;
    // Each is kept until all are known, so that none is given twice.
    let main = bound(settings.listen, "--listen")?;
    settings.listen = main.local_addr()?;
    if let Shape::Plain { mcp_listen } = &mut settings.shape {
        *mcp_listen = bound(*mcp_listen, "--mcp-listen")?.local_addr()?;
    }
    drop(main);
    let loaded = Loaded::parse(
        &settings.configuration(),
        "the demonstration",
        PathBuf::new(),
    )?;
    let plan = Plan::new(loaded)?;
    // On a terminal the introduction is what somebody wants to read, and not to have scrolled away.
    let chattiness = if io::stderr().is_terminal() {
        Chattiness::Quiet
    } else {
        Chattiness::Usual
    };
    let (log, _guard) = telemetry::start(options.log_format, chattiness)?;
    let places = settings.places();
    runtime()?.block_on(wire::run(plan, &Source::Fixed, log, |addresses| {
        talk::data(&words::introduction(&places));
        if let Some(path) = &options.ready_file {
            files::replace(
                path,
                &serde_json::to_string_pretty(&Ready {
                    places: &places,
                    addresses,
                })?,
            )?;
        }
        Ok(())
    }))
}

/// URLs name the port, so a free one is looked for before there is a listener; and one that is taken is found out while
/// it can be said how to choose another.
fn bound(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        anyhow::anyhow!(
            "{address} can't be listened on: {}; hint: choose another address with {option}",
            files::reason(&error)
        )
    })
}
