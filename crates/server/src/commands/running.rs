//! What commands have in common: the threads they run on, and how they reach a realm.

use anyhow::{Context as _, ensure};
use store::url::StoreUrl;

use crate::cli::InRealm;
use crate::config::Loaded;
use crate::control::client::Control;
use crate::wire::database::Begin;
use crate::wire::plan::Plan;

/// The command did its work and found something wrong, and has said so.
#[derive(Debug, thiserror::Error)]
#[error("something was wrong")]
pub(crate) struct AlreadySaid;

/// The threads that everything runs on.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")
}

/// Does something about a realm of a configuration: by the program that runs it, or with the database that it names.
pub(super) fn about_realm<T>(
    options: &InRealm,
    begin: Begin,
    work: impl AsyncFnOnce(&Control<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let plan = Plan::new(Loaded::read(&options.source.config)?)?;
    ensure_kept(&plan)?;
    runtime()?.block_on(async {
        let control = Control::reach(&plan, options.realm.as_deref(), begin).await?;
        let done = work(&control).await;
        control.close().await;
        done
    })
}

/// Refuses a database in memory to commands that change it: they would talk to themselves.
pub(super) fn ensure_kept(plan: &Plan) -> anyhow::Result<()> {
    ensure!(
        plan.storage.url != StoreUrl::memory(),
        "the database is in memory, where another process can't reach it"
    );
    Ok(())
}
