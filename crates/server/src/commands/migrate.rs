//! `sekisho migrate`: brings the database to the version of this program.

use crate::cli::Migrate;
use crate::commands::running::runtime;
use crate::config::Loaded;
use crate::talk;
use crate::wire::database::{self, Begin};
use crate::wire::plan::Plan;

/// Runs `sekisho migrate`.
pub(crate) fn run(options: &Migrate) -> anyhow::Result<()> {
    let plan = Plan::new(Loaded::read(&options.source.config)?)?;
    runtime()?.block_on(async {
        let begin = if options.begin_empty {
            Begin::Insisted
        } else {
            Begin::IfNew
        };
        // Opening a database brings it up to date.
        let (store, _) = database::open(&plan.storage, begin).await?;
        store.close().await;
        talk::say(format_args!("{} is up to date", plan.storage.url));
        Ok(())
    })
}
