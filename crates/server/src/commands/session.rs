//! `sekisho session`: who is logged in, and the end of it.

use crate::cli::{OfUser, Session as Command, SessionEnd};
use crate::commands::running::about_realm;
use crate::commands::table::table;
use crate::operation::asked::Operation;
use crate::operation::output::{Session, SessionsEnded};
use crate::talk;
use crate::wire::database::Begin;

/// Runs `sekisho session …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::End(options) => end(options),
    }
}

fn list(options: &OfUser) -> anyhow::Result<()> {
    about_realm(&options.listing.realm, Begin::Never, async |control| {
        let username = options.user.as_ref().map(ToString::to_string);
        let asked = Operation::SessionList { username };
        let done = control.ask::<Vec<Session>>(asked).await?;
        let lines = done.output;
        if options.listing.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!("realm `{}` has no login sessions", done.realm));
        } else {
            let rows: Vec<_> = lines
                .into_iter()
                .map(|line| {
                    [
                        line.id,
                        line.username,
                        line.authenticated_at,
                        line.last_seen_at,
                        line.expires_at,
                    ]
                })
                .collect();
            let headings = ["ID", "USERNAME", "SINCE", "LAST SEEN", "ENDS"];
            talk::data(&table(headings, &rows));
        }
        Ok(())
    })
}

fn end(options: &SessionEnd) -> anyhow::Result<()> {
    about_realm(&options.realm, Begin::Never, async |control| {
        let asked = Operation::SessionEnd {
            id: options.id.map(|id| id.to_string()),
            username: options.user.as_ref().map(ToString::to_string),
            tokens: options.tokens,
        };
        let SessionsEnded {
            sessions,
            grants,
            tokens_go_on,
        } = control.ask(asked).await?.output;
        talk::say(format_args!(
            "login sessions ended: {sessions}, grants to clients revoked: {grants}"
        ));
        if tokens_go_on && sessions > 0 {
            talk::say("note: clients go on with the tokens they have; --tokens revokes those, too");
        }
        Ok(())
    })
}
