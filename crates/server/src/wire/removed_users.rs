//! Users whom the configuration no longer declares: disabled with all that they had begun, or kept as if a command had
//! added them. From then on they are the commands' matter, until they are declared again.

use std::collections::BTreeSet;

use anyhow::Context as _;
use model::clock::Timestamp;
use model::realm::Realm;
use model::user::Username;
use store::Store;
use store::standing::{self, Change};

use crate::config::realm::UsersRemoved;
use crate::wire::plan::Plan;

/// Deals with those who were declared before and are no longer. A realm that is gone itself lets nobody in.
pub(crate) async fn settle(store: &Store, plan: &Plan, now: Timestamp) -> anyhow::Result<()> {
    for (realm, declared, fate) in of(plan) {
        let before = store::user::declared(store, &realm.name).await?;
        let gone: Vec<Username> = before
            .into_iter()
            .filter(|username| !declared.contains(username))
            .collect();
        for username in &gone {
            release(store, realm, username, fate, now)
                .await
                .with_context(|| {
                    format!(
                        "the user `{username}` of realm `{}`, who is no longer declared, can't be dealt with",
                        realm.name
                    )
                })?;
        }
        store::user::set_declared(store, &realm.name, &gone, false).await?;
    }
    Ok(())
}

/// Notes who is declared now, once they are in the store.
pub(crate) async fn note(store: &Store, plan: &Plan) -> anyhow::Result<()> {
    for (realm, declared, _) in of(plan) {
        let before = store::user::declared(store, &realm.name).await?;
        let new: Vec<Username> = declared
            .into_iter()
            .filter(|username| !before.contains(username))
            .cloned()
            .collect();
        store::user::set_declared(store, &realm.name, &new, true).await?;
    }
    Ok(())
}

/// Each realm, whom it declares, and what becomes of others.
fn of(plan: &Plan) -> impl Iterator<Item = (&Realm, BTreeSet<&Username>, UsersRemoved)> {
    plan.realms.iter().map(|one| {
        let declared = one.users.iter().map(|user| &user.username).collect();
        (&one.realm, declared, one.users_removed)
    })
}

async fn release(
    store: &Store,
    realm: &Realm,
    username: &Username,
    fate: UsersRemoved,
    now: Timestamp,
) -> anyhow::Result<()> {
    let Some(user) = store::user::by_username(store, &realm.name, username).await? else {
        return Ok(());
    };
    match fate {
        UsersRemoved::Keep => tracing::info!(
            realm = %realm.name, user = %user.id,
            "`{username}` was taken out of the configuration, and is kept"
        ),
        UsersRemoved::Disable => {
            let ended =
                standing::change(store, user.id, Change::Disabled, &realm.lifetimes, now).await?;
            if let Some(ended) = ended {
                tracing::warn!(
                    realm = %realm.name, user = %user.id,
                    "`{username}` was taken out of the configuration, and is disabled; {ended}"
                );
            }
        }
    }
    Ok(())
}
