//! `sekisho migrate`: brings the database to the version of this program.

use crate::cli::Source;
use crate::config::Loaded;
use crate::wire::database;
use crate::wire::plan::Plan;
use crate::{commands, talk};

/// Runs `sekisho migrate`.
pub(crate) fn run(source: &Source) -> anyhow::Result<()> {
    let plan = Plan::new(Loaded::read(&source.config)?)?;
    commands::runtime()?.block_on(async {
        // Opening a database brings it up to date.
        let (store, _) = database::open(&plan.storage).await?;
        store.close().await;
        talk::say(format_args!("{} is up to date", plan.storage.url));
        Ok(())
    })
}
