//! `sekisho client`: whose metadata documents are accepted where the mode is `approval`.

use crate::cli::{Client as Command, ClientHost};
use crate::commands::running::about_realm;
use crate::operation::asked::Operation;
use crate::operation::output::Host;
use crate::talk;
use crate::wire::database::Begin;

/// Runs `sekisho client …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => about_realm(options, Begin::IfNew, async |control| {
            let all = control.ask::<Vec<Host>>(Operation::ClientList {}).await?;
            if all.output.is_empty() {
                talk::say(format_args!(
                    "no host of clients was asked for in realm `{}`, and none was decided about",
                    all.realm
                ));
            }
            for Host { host, verdict } in all.output {
                talk::data(&format!("{verdict:<9} {host}\n"));
            }
            Ok(())
        }),
        Command::Approve(options) => decide(options, true),
        Command::Deny(options) => decide(options, false),
    }
}

fn decide(options: &ClientHost, approved: bool) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::IfNew, async |control| {
        let host = options.host.clone();
        let asked = Operation::ClientDecide { host, approved };
        let done = control.ask::<String>(asked).await?;
        talk::say(format_args!(
            "clients of {} are {} in realm `{}`",
            done.output,
            if approved { "approved" } else { "denied" },
            done.realm
        ));
        Ok(())
    })
}
