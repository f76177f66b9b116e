//! `sekisho targets`: what stands behind gateways lists, and that it is asked for it.

use anyhow::ensure;

use crate::cli::{OfTargets, Targets as Command};
use crate::commands::running::runtime;
use crate::commands::table::table;
use crate::config::Loaded;
use crate::control::client::about_targets;
use crate::operation::target::{List, Operation};
use crate::talk;
use crate::wire::plan::Plan;

/// Runs `sekisho targets …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let (Command::List(options) | Command::Sync(options)) = command;
    let OfTargets {
        source,
        target,
        gateway,
        json,
    } = options;
    let (gateway, target) = (gateway.clone(), target.clone());
    let (asked, is_sync) = match command {
        Command::List(_) => (Operation::List { gateway, target }, false),
        Command::Sync(_) => (Operation::Sync { gateway, target }, true),
    };
    let plan = Plan::new(Loaded::read(&source.config)?)?;
    let lists: Vec<List> = runtime()?.block_on(about_targets(&plan, asked))?;
    if *json {
        talk::data(&format!("{}\n", serde_json::to_string_pretty(&lists)?));
    } else {
        print(&lists);
    }
    let failed = lists.iter().filter(|list| list.failure.is_some()).count();
    ensure!(
        !is_sync || failed == 0,
        "{failed} of {} lists could not be had",
        lists.len()
    );
    Ok(())
}

fn print(lists: &[List]) {
    let rows: Vec<_> = lists
        .iter()
        .map(|list| {
            let entries = list.entries.map(|entries| entries.to_string());
            let age = list.age_seconds.map(|age| format!("{age} s ago"));
            [
                list.gateway.clone(),
                list.target.clone(),
                list.feature.clone(),
                list.mode.clone(),
                entries.unwrap_or_else(|| "-".to_owned()),
                age.unwrap_or_else(|| "-".to_owned()),
                list.failure.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let headings = [
        "GATEWAY", "TARGET", "LIST", "MODE", "ENTRIES", "LISTED", "FAILURE",
    ];
    talk::data(&table(headings, &rows));
}
