//! `sekisho session`: who is logged in, and the end of it.

use model::realm::LogoutEnds;
use serde::Serialize;

use crate::cli::{OfUser, Session as Command, SessionEnd};
use crate::commands::about_realm;
use crate::commands::table::table;
use crate::operation::session;
use crate::talk;
use crate::telemetry::moment;
use crate::wire::database::Begin;

/// Runs `sekisho session …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::End(options) => end(options),
    }
}

/// What is printed about a session.
#[derive(Serialize)]
struct Line {
    id: String,
    username: String,
    authenticated_at: String,
    last_seen_at: String,
    expires_at: String,
}

fn list(options: &OfUser) -> anyhow::Result<()> {
    about_realm(&options.listing.realm, Begin::Never, async |cx| {
        let all = session::list(cx, options.user.as_ref()).await?;
        let lines: Vec<Line> = all
            .into_iter()
            .map(|one| Line {
                id: one.session.id.to_string(),
                username: one.username.to_string(),
                authenticated_at: moment::rfc3339(one.session.auth_time),
                last_seen_at: moment::rfc3339(one.session.last_seen_at),
                expires_at: moment::rfc3339(one.session.expires_at(&cx.realm.lifetimes)),
            })
            .collect();
        if options.listing.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!(
                "realm `{}` has no login sessions",
                cx.realm.name
            ));
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
    about_realm(&options.realm, Begin::Never, async |cx| {
        let ends = if options.tokens {
            LogoutEnds::SessionAndTokens
        } else {
            cx.realm.logout_ends
        };
        let ids = match (&options.user, options.id) {
            (Some(username), _) => {
                let all = session::list(cx, Some(username)).await?;
                all.into_iter().map(|one| one.session.id).collect()
            }
            (None, id) => Vec::from_iter(id),
        };
        let (sessions, mut grants) = (ids.len(), 0);
        for id in ids {
            grants += session::end(cx, id, ends).await?;
        }
        talk::say(format_args!(
            "login sessions ended: {sessions}, grants to clients revoked: {grants}"
        ));
        if ends == LogoutEnds::Session && sessions > 0 {
            talk::say("note: clients go on with the tokens they have; --tokens revokes those, too");
        }
        Ok(())
    })
}
