//! `sekisho consent`: what users have granted to clients, and taking it back.

use oauth::resource::Resource;
use serde::Serialize;

use crate::cli::{Consent as Command, ConsentRevoke, OfUser};
use crate::commands::about_realm;
use crate::commands::table::table;
use crate::operation::consent;
use crate::talk;
use crate::telemetry::moment;
use crate::wire::database::Begin;

/// Runs `sekisho consent …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List(options) => list(options),
        Command::Revoke(options) => revoke(options),
    }
}

/// What is printed about an agreement.
#[derive(Serialize)]
struct Line {
    username: String,
    client_id: String,
    redirect_origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    scope: String,
    granted_at: String,
}

fn list(options: &OfUser) -> anyhow::Result<()> {
    about_realm(&options.listing.realm, Begin::Never, async |cx| {
        let all = consent::list(cx, options.user.as_ref()).await?;
        let lines: Vec<Line> = all
            .into_iter()
            .map(|one| Line {
                username: one.username.to_string(),
                client_id: one.consent.client_id.to_string(),
                redirect_origin: one.consent.redirect_origin,
                resource: one.consent.resource.as_ref().map(Resource::to_string),
                scope: one.consent.scope.to_string(),
                granted_at: moment::rfc3339(one.consent.granted_at),
            })
            .collect();
        if options.listing.json {
            talk::data(&format!("{}\n", serde_json::to_string_pretty(&lines)?));
        } else if lines.is_empty() {
            talk::say(format_args!(
                "nobody in realm `{}` has agreed to anything",
                cx.realm.name
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
    about_realm(&user.realm, Begin::Never, async |cx| {
        let revoked = consent::revoke(cx, &user.username, &options.client_id).await?;
        talk::say(format_args!(
            "consents of `{}` to `{}` taken back: {}, grants revoked: {}",
            user.username, options.client_id, revoked.consents, revoked.grants
        ));
        Ok(())
    })
}
