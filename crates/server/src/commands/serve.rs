//! `sekisho serve`: runs a configuration until a signal ends it.

use crate::cli::Serve;
use crate::commands::running::runtime;
use crate::config::Loaded;
use crate::telemetry::Chattiness;
use crate::wire::plan::Plan;
use crate::wire::{self, Source};
use crate::{files, telemetry};

/// Runs `sekisho serve`.
pub(crate) fn run(options: &Serve) -> anyhow::Result<()> {
    let plan = Plan::new(Loaded::read(&options.source.config)?)?;
    let (log, _guard) = telemetry::start(options.log_format, Chattiness::Usual)?;
    let source = Source::File(options.source.config.clone());
    runtime()?.block_on(wire::run(plan, &source, log, |addresses| {
        if let Some(path) = &options.ready_file {
            files::replace(path, &serde_json::to_string_pretty(addresses)?)?;
        }
        Ok(())
    }))
}
