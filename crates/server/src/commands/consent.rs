//! `sekisho consent`: what users have granted to clients, and taking it back.

use crate::cli::{Consent as Command, ConsentRevoke, OfUser};
use crate::commands::running::about_realm;
use crate::commands::table::table;
use crate::operation::asked::Operation;
use crate::operation::output::{Consent, Revoked};
use crate::talk;
use crate::wire::database::Begin;

/// Runs `sekisho consent …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::Revoke(options) => revoke(options),
    }
}

fn list(options: &OfUser) -> anyhow::Result<()> {
    about_realm(&options.listing.realm, Begin::Never, async |control| {
        let username = options.user.as_ref().map(ToString::to_string);
        let asked = Operation::ConsentList { username };
        let done = control.ask::<Vec<Consent>>(asked).await?;
        let lines = done.output;
        if options.listing.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!(
                "nobody in realm `{}` has agreed to anything",
                done.realm
            ));
        } else {
            let rows: Vec<_> = lines
                .into_iter()
                .map(|line| {
                    [
                        line.username,
                        line.client_id,
                        line.scope,
                        line.resource.unwrap_or_default(),
                        line.redirect_origin,
                        line.granted_at,
                    ]
                })
                .collect();
            let headings = [
                "USERNAME",
                "CLIENT",
                "SCOPES",
                "RESOURCE",
                "RETURNS TO",
                "SINCE",
            ];
            talk::data(&table(headings, &rows));
        }
        Ok(())
    })
}

fn revoke(options: &ConsentRevoke) -> anyhow::Result<()> {
    let user = &options.user;
    about_realm(&user.realm, Begin::Never, async |control| {
        let asked = Operation::ConsentRevoke {
            username: user.username.to_string(),
            client_id: options.client_id.to_string(),
        };
        let Revoked { consents, grants } = control.ask(asked).await?.output;
        talk::say(format_args!(
            "consents of `{}` to `{}` taken back: {consents}, grants revoked: {grants}",
            user.username, options.client_id
        ));
        Ok(())
    })
}
