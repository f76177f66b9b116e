//! `sekisho user`: adds users and sets their passwords. A password comes from a file or standard input, never from an
//! argument, which everybody on the machine could read. A changed password ends what was begun with the old one.

use anyhow::{Context as _, bail, ensure};
use model::clock::{Clock as _, SystemClock};
use model::realm::{Realm, RealmName};
use model::secret::Secret;
use model::user::{User, Username};
use store::Store;

use crate::cli::{User as Command, UserAdd};
use crate::config::Loaded;
use crate::wire::database::{self, Begin};
use crate::wire::plan::Plan;
use crate::wire::users;
use crate::{commands, talk};

/// Runs `sekisho user …`.
pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let (Command::Add(UserAdd {
        passwd: options, ..
    })
    | Command::Passwd(options)) = command;
    let plan = Plan::new(Loaded::read(&options.realm.source.config)?)?;
    commands::ensure_kept(&plan)?;
    let realm = commands::realm(&plan, options.realm.realm.as_deref())?;
    let username: Username = options
        .username
        .parse()
        .with_context(|| format!("`{}` can't be a user name", options.username))?;
    let password = Secret::new(commands::password_from(&options.password_file)?.to_string());
    commands::runtime()?.block_on(async {
        let (store, _) = database::open(&plan.storage, Begin::IfNew).await?;
        let done = match command {
            Command::Add(options) => {
                add(&store, realm.name.clone(), username, &password, options).await
            }
            Command::Passwd(_) => passwd(&store, realm, &username, &password).await,
        };
        store.close().await;
        done
    })
}

async fn add(
    store: &Store,
    realm: RealmName,
    username: Username,
    password: &Secret<String>,
    options: &UserAdd,
) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let mut user = User::new(users::new_id(now)?, realm, username, now);
    user.password = Some(users::hash(password)?);
    user.name.clone_from(&options.name);
    user.email.clone_from(&options.email);
    user.email_verified = options.email.is_some();
    match store::user::insert(store, &user).await {
        Ok(()) => {}
        Err(store::error::Error::Conflict) => {
            bail!(
                "realm `{}` has a user `{}` already; hint: `sekisho user passwd {}`",
                user.realm,
                user.username,
                user.username
            )
        }
        Err(error) => return Err(error.into()),
    }
    talk::say(format_args!(
        "realm `{}` has a new user `{}`",
        user.realm, user.username
    ));
    Ok(())
}

async fn passwd(
    store: &Store,
    realm: &Realm,
    username: &Username,
    password: &Secret<String>,
) -> anyhow::Result<()> {
    let user = users::find(store, &realm.name, username).await?;
    ensure!(
        store::user::set_password(store, user.id, &users::hash(password)?).await?,
        "the user was deleted in the meantime"
    );
    let ended = users::end_all(store, user.id, &realm.lifetimes, SystemClock.now()).await?;
    talk::say(format_args!(
        "the password of `{username}` in realm `{}` was changed; {ended}",
        realm.name
    ));
    Ok(())
}
