//! `sekisho key`: the signing keys of a realm, and their replacement.

use crate::cli::{Key as Command, KeyRotate, Listing};
use crate::commands::running::about_realm;
use crate::commands::table::table;
use crate::operation::asked::Operation;
use crate::operation::output::{Key, NextKey};
use crate::talk;
use crate::wire::database::Begin;

/// Runs `sekisho key …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::Rotate(options) => rotate(options),
    }
}

fn list(options: &Listing) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::Never, async |control| {
        let done = control.ask::<Vec<Key>>(Operation::KeyList {}).await?;
        let lines = done.output;
        if options.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!(
                "realm `{}` has no signing keys yet",
                done.realm
            ));
        } else {
            let rows: Vec<_> = lines
                .into_iter()
                .map(|line| [line.kid, line.algorithm, line.state, line.since])
                .collect();
            talk::data(&table(["KID", "ALGORITHM", "STATE", "SINCE"], &rows));
        }
        Ok(())
    })
}

fn rotate(options: &KeyRotate) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::Never, async |control| {
        let asked = Operation::KeyRotate {
            compromised: options.compromised,
        };
        let done = control.ask::<Vec<NextKey>>(asked).await?;
        for NextKey {
            kid,
            algorithm,
            signs_from,
        } in done.output
        {
            talk::say(format_args!(
                "key `{kid}` ({algorithm}) of realm `{}` signs from {signs_from} on",
                done.realm
            ));
        }
        if options.compromised {
            talk::say(
                "the other keys are deleted: tokens that they signed are refused as soon as a verifier fetches the key set anew, \
                 and nodes that run use the new keys within a minute",
            );
        }
        Ok(())
    })
}
