//! `sekisho client`: whose metadata documents are accepted where the mode is `approval`.

use model::clock::{Clock as _, SystemClock};
use model::realm::RealmName;
use store::Store;
use store::approval::{self, Verdict};

use crate::cli::{Client as Command, ClientHost};
use crate::config::Loaded;
use crate::config::scalar::HostPattern;
use crate::wire::database::{self, Begin};
use crate::wire::plan::Plan;
use crate::{commands, talk};

/// Runs `sekisho client …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let in_realm = match command {
        Command::List(options) => options,
        Command::Approve(options) | Command::Deny(options) => &options.realm,
    };
    let plan = Plan::new(Loaded::read(&in_realm.source.config)?)?;
    commands::ensure_kept(&plan)?;
    let realm = &commands::realm(&plan, in_realm.realm.as_deref())?.name;
    commands::runtime()?.block_on(async {
        let (store, _) = database::open(&plan.storage, Begin::IfNew).await?;
        let done = match command {
            Command::List(_) => list(&store, realm).await,
            Command::Approve(options) => decide(&store, realm, options, Verdict::Approved).await,
            Command::Deny(options) => decide(&store, realm, options, Verdict::Denied).await,
        };
        store.close().await;
        done
    })
}

async fn list(store: &Store, realm: &RealmName) -> anyhow::Result<()> {
    let all = approval::list(store, realm).await?;
    if all.is_empty() {
        talk::say(format_args!(
            "no host of clients was asked for in realm `{realm}`, and none was decided about"
        ));
    }
    for approval in all {
        talk::data(&format!(
            "{:<9} {}\n",
            approval.verdict.as_str(),
            approval.host
        ));
    }
    Ok(())
}

async fn decide(
    store: &Store,
    realm: &RealmName,
    options: &ClientHost,
    verdict: Verdict,
) -> anyhow::Result<()> {
    let host = HostPattern::parse(&options.host)
        .ok()
        .filter(|host| !host.0.starts_with("*."))
        .ok_or_else(|| anyhow::anyhow!("`{}` is not a host name", options.host))?;
    approval::decide(store, realm, &host.0, verdict, SystemClock.now()).await?;
    talk::say(format_args!(
        "clients of {host} are {} in realm `{realm}`",
        verdict.as_str()
    ));
    Ok(())
}
