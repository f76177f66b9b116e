//! Users: who there is, who may log in, and with which password. Whoever loses a password or an account loses with it what
//! was begun before (SEC-46, SEC-55).

use model::password::PasswordHash;
use model::password_choice;
use model::secret::Secret;
use model::traits::{Attribute, AttributeName, Group, Traits};
use model::user::{Profile, User, Username};
use serde::{Deserialize, Serialize};
use store::standing::{self, Change, Ended};

use crate::config::realm::UsersRemoved;
use crate::operation::{Cx, Problem};
use crate::wire::users;

/// How many are read at once.
const PAGE: u16 = 500;

/// Whose matter a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The configuration declares them, here.
    Declared(String),
    /// The configuration declared them at the last start and does so no longer: the next one disables or keeps them.
    Removed,
    /// A command added them.
    Added,
}

/// A user, and whose matter they are.
pub(crate) struct Known {
    /// The user.
    pub(crate) user: User,
    /// Whose matter they are.
    pub(crate) origin: Origin,
}

/// Everybody, by name.
pub(crate) async fn list(cx: &Cx<'_>) -> Result<Vec<Known>, Problem> {
    let declared = store::user::declared(cx.store, &cx.realm.name).await?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store::user::list(cx.store, &cx.realm.name, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.username.clone());
        all.extend(page.into_iter().map(|user| known(cx, user, &declared)));
    }
}

/// One of them.
pub(crate) async fn show(cx: &Cx<'_>, username: &Username) -> Result<Known, Problem> {
    let user = cx.user(username).await?;
    let declared = store::user::declared(cx.store, &cx.realm.name).await?;
    Ok(known(cx, user, &declared))
}

fn known(cx: &Cx<'_>, user: User, declared_before: &[Username]) -> Known {
    let origin = match cx.declared.user(&user.username) {
        Some(at) => Origin::Declared(at.place),
        None if declared_before.contains(&user.username) => Origin::Removed,
        None => Origin::Added,
    };
    Known { user, origin }
}

/// Somebody new.
pub(crate) struct NewUser {
    /// What they type to log in.
    pub(crate) username: Username,
    /// Their password.
    pub(crate) password: Secret<String>,
    /// Who they are. Whoever adds them vouches for their address.
    pub(crate) profile: Profile,
    /// Their groups and attributes.
    pub(crate) traits: Traits,
}

/// Refuses what can be refused before a password is asked for.
pub(crate) async fn check_new(cx: &Cx<'_>, username: &Username) -> Result<(), Problem> {
    cx.check_not_declared(username, "change them there and reload")?;
    match cx.user(username).await {
        Ok(_) => Err(exists(cx, username)),
        Err(Problem::NoSuchUser { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Adds somebody.
pub(crate) async fn add(cx: &Cx<'_>, new: NewUser) -> Result<User, Problem> {
    check_new(cx, &new.username).await?;
    let NewUser {
        username,
        password,
        profile,
        traits,
    } = new;
    traits.check()?;
    check_password(cx, &username, &password)?;
    let id = users::new_id(cx.now).map_err(Problem::Random)?;
    let mut user = User::new(id, cx.realm.name.clone(), username, cx.now);
    user.password = Some(hashed(&password).await?);
    user.email_verified = profile.email.is_some();
    user.profile = profile;
    user.traits = traits;
    match store::user::insert(cx.store, &user).await {
        Ok(()) => Ok(user),
        Err(store::error::Error::Conflict) => Err(exists(cx, &user.username)),
        Err(error) => Err(error.into()),
    }
}

/// What is to become of groups and attributes. What is taken away goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TraitsChange {
    /// Groups to be in.
    pub(crate) groups: Vec<Group>,
    /// Groups to be in no more.
    pub(crate) no_groups: Vec<Group>,
    /// Attributes to have; what is named twice has both texts.
    pub(crate) attributes: Vec<(AttributeName, String)>,
    /// Attributes to have no more.
    pub(crate) no_attributes: Vec<AttributeName>,
}

impl TraitsChange {
    /// The groups and attributes after it.
    pub(crate) fn applied(&self, mut traits: Traits) -> Traits {
        traits
            .groups
            .retain(|group| !self.no_groups.contains(group));
        traits.groups.extend(self.groups.iter().cloned());
        let named = |name: &AttributeName| self.attributes.iter().any(|(one, _)| one == name);
        traits
            .attributes
            .retain(|name, _| !self.no_attributes.contains(name) && !named(name));
        for (name, text) in &self.attributes {
            let before = traits.attributes.remove(name);
            let after = match before {
                None => Attribute::One(text.clone()),
                Some(Attribute::One(first)) => Attribute::Several(vec![first, text.clone()]),
                Some(Attribute::Several(mut texts)) => {
                    texts.push(text.clone());
                    Attribute::Several(texts)
                }
            };
            traits.attributes.insert(name.clone(), after);
        }
        traits
    }
}

/// Changes somebody's groups and attributes. Tokens that were issued before say what they say. `false` if nothing changed.
pub(crate) async fn change_traits(
    cx: &Cx<'_>,
    username: &Username,
    change: &TraitsChange,
) -> Result<bool, Problem> {
    cx.check_not_declared(username, "change them there and reload")?;
    loop {
        let user = cx.user(username).await?;
        let after = change.applied(user.traits.clone());
        after.check()?;
        if after == user.traits {
            return Ok(false);
        }
        // Somebody else may have changed them since they were read.
        if store::user::set_traits(cx.store, user.id, &user.traits, &after).await? {
            return Ok(true);
        }
    }
}

/// Refuses what can be refused before a password is asked for. A declared user without a declared password gets one by
/// command.
pub(crate) async fn check_password_change(
    cx: &Cx<'_>,
    username: &Username,
) -> Result<User, Problem> {
    if let Some(at) = cx.declared.user(username)
        && at.password
    {
        return Err(Problem::Declared {
            username: username.clone(),
            place: at.place,
            hint: "change the password there and reload",
        });
    }
    cx.user(username).await
}

/// Gives somebody another password.
pub(crate) async fn set_password(
    cx: &Cx<'_>,
    username: &Username,
    password: &Secret<String>,
) -> Result<Ended, Problem> {
    let user = check_password_change(cx, username).await?;
    check_password(cx, username, password)?;
    let hash = hashed(password).await?;
    change(cx, &user, Change::Password(hash)).await
}

/// Lets somebody log in no more.
pub(crate) async fn disable(cx: &Cx<'_>, username: &Username) -> Result<Ended, Problem> {
    cx.check_not_declared(username, taking_out(cx))?;
    let user = cx.user(username).await?;
    change(cx, &user, Change::Disabled).await
}

/// Lets somebody log in again. `false` if they could all the time.
pub(crate) async fn enable(cx: &Cx<'_>, username: &Username) -> Result<bool, Problem> {
    let user = cx.user(username).await?;
    if user.disabled && !store::user::set_disabled(cx.store, user.id, false).await? {
        return Err(gone(cx, username));
    }
    Ok(user.disabled)
}

/// Forgets somebody.
pub(crate) async fn delete(cx: &Cx<'_>, username: &Username) -> Result<Ended, Problem> {
    cx.check_not_declared(username, taking_out(cx))?;
    let user = cx.user(username).await?;
    change(cx, &user, Change::Deleted).await
}

fn check_password(
    cx: &Cx<'_>,
    username: &Username,
    password: &Secret<String>,
) -> Result<(), Problem> {
    let least = cx.declared.min_password_length();
    Ok(password_choice::check(password.expose(), username, least)?)
}

/// The hash of a password, made where it keeps nobody waiting.
async fn hashed(password: &Secret<String>) -> Result<PasswordHash, Problem> {
    let password = password.clone();
    let hashing = tokio::task::spawn_blocking(move || users::hash(&password));
    let hash = hashing
        .await
        .map_err(|ended| Problem::Hashing(ended.into()))?;
    hash.map_err(Problem::Hashing)
}

async fn change(cx: &Cx<'_>, user: &User, change: Change) -> Result<Ended, Problem> {
    let lifetimes = &cx.realm.lifetimes;
    standing::change(cx.store, user.id, change, lifetimes, cx.now)
        .await?
        .ok_or_else(|| gone(cx, &user.username))
}

fn taking_out(cx: &Cx<'_>) -> &'static str {
    match cx.declared.users_removed() {
        UsersRemoved::Disable => {
            "take the user out there and reload: that disables them and ends what they have begun"
        }
        UsersRemoved::Keep => "take the user out there, reload, and say it again",
    }
}

fn exists(cx: &Cx<'_>, username: &Username) -> Problem {
    Problem::UserExists {
        realm: cx.realm.name.clone(),
        username: username.clone(),
    }
}

fn gone(cx: &Cx<'_>, username: &Username) -> Problem {
    Problem::NoSuchUser {
        realm: cx.realm.name.clone(),
        username: username.clone(),
    }
}
