//! Users: those that the configuration declares go into the store, and commands add others.

use anyhow::Context as _;
use model::clock::Timestamp;
use model::id::Id;
use model::password::{self, PasswordHash};
use model::realm::{Realm, RealmName};
use model::secret::Secret;
use model::user::{User, Username};
use store::Store;

use crate::config::convert::realm::DeclaredUser;

/// Brings the store up to what the configuration declares. Users that it does not declare are left alone.
pub(crate) async fn reconcile(
    store: &Store,
    realms: &[(Realm, Vec<DeclaredUser>)],
    now: Timestamp,
) -> anyhow::Result<()> {
    for (realm, users) in realms {
        for declared in users {
            declare(store, &realm.name, declared, now)
                .await
                .with_context(|| {
                    format!(
                        "the user `{}` of realm `{}` can't be declared",
                        declared.username, realm.name
                    )
                })?;
        }
    }
    Ok(())
}

async fn declare(
    store: &Store,
    realm: &RealmName,
    declared: &DeclaredUser,
    now: Timestamp,
) -> anyhow::Result<()> {
    let known = store::user::by_username(store, realm, &declared.username).await?;
    let mut user = User::new(new_id(now)?, realm.clone(), declared.username.clone(), now);
    user.name.clone_from(&declared.name);
    user.email.clone_from(&declared.email);
    // What the operator wrote down is taken for true.
    user.email_verified = declared.email.is_some();
    if let Some(password) = &declared.password {
        let current = known.and_then(|known| known.password);
        user.password = changed(password.clone(), current).await?;
    }
    store::user::declare(store, &user).await?;
    Ok(())
}

/// The hash of a password, unless the current one is of the same.
async fn changed(
    password: Secret<String>,
    current: Option<PasswordHash>,
) -> anyhow::Result<Option<PasswordHash>> {
    let same = move || match &current {
        Some(hash) if password::verify(password.expose(), hash)? => Ok(None),
        _ => hash(&password).map(Some),
    };
    tokio::task::spawn_blocking(same).await?
}

/// Hashes a password. It takes some 50 ms of a core.
pub(crate) fn hash(password: &Secret<String>) -> anyhow::Result<PasswordHash> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).context("the system gives no random bytes")?;
    Ok(password::hash(password.expose(), &salt)?)
}

/// An identifier for a new user.
pub(crate) fn new_id(now: Timestamp) -> anyhow::Result<Id<User>> {
    let mut random = [0; 10];
    aws_lc_rs::rand::fill(&mut random).context("the system gives no random bytes")?;
    Ok(Id::new(now, random))
}

/// The user with this name.
pub(crate) async fn find(
    store: &Store,
    realm: &RealmName,
    username: &Username,
) -> anyhow::Result<User> {
    let found = store::user::by_username(store, realm, username).await?;
    found.with_context(|| {
        format!("realm `{realm}` has no user `{username}`; hint: `sekisho user add {username}`")
    })
}
