//! Users: those that the configuration declares go into the store, and commands add others.

use std::fmt;

use anyhow::Context as _;
use model::clock::Timestamp;
use model::id::Id;
use model::password::{self, PasswordHash};
use model::realm::{Lifetimes, Realm, RealmName};
use model::secret::Secret;
use model::user::{User, Username};
use store::Store;

use crate::config::convert::realm::DeclaredUser;

/// Brings the store up to what the configuration declares. Users that it does not declare are left alone: the store
/// does not know who was declared once and whom a command added.
pub(crate) async fn reconcile(
    store: &Store,
    realms: &[(Realm, Vec<DeclaredUser>)],
    now: Timestamp,
) -> anyhow::Result<()> {
    for (realm, users) in realms {
        for declared in users {
            declare(store, realm, declared, now)
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
    realm: &Realm,
    declared: &DeclaredUser,
    now: Timestamp,
) -> anyhow::Result<()> {
    let (name, username) = (&realm.name, &declared.username);
    let known = store::user::by_username(store, name, username).await?;
    let mut user = User::new(new_id(now)?, name.clone(), username.clone(), now);
    user.name.clone_from(&declared.name);
    user.email.clone_from(&declared.email);
    // What the operator wrote down is taken for true.
    user.email_verified = declared.email.is_some();
    if let Some(password) = &declared.password {
        let current = known.as_ref().and_then(|known| known.password.clone());
        user.password = changed(password.clone(), current).await?;
    }
    let id = store::user::declare(store, &user).await?;
    if known.is_some() && user.password.is_some() {
        let ended = end_all(store, id, &realm.lifetimes, now).await?;
        tracing::info!(realm = %name, user = %id, "the declared password of a user was changed; {ended}");
    }
    Ok(())
}

/// What a user had begun with a password that was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Login sessions.
    pub(crate) sessions: u64,
    /// Grants to clients, each with its tokens.
    pub(crate) grants: usize,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "login sessions ended: {}, grants to clients revoked: {}",
            self.sessions, self.grants
        )
    }
}

/// Ends the login sessions of a user, and revokes what they granted to clients with all its tokens (SEC-46, SEC-55).
/// Do it after the password was changed, when nobody can begin anything new with the old one.
pub(crate) async fn end_all(
    store: &Store,
    user: Id<User>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Ended, store::error::Error> {
    let sessions = store::session::delete_by_user(store, user).await?;
    // Before the grants: what is made of a code meanwhile is among them.
    store::grant::delete_by_user(store, user).await?;
    Ok(Ended {
        sessions,
        grants: store::family::revoke_by_user(store, user, lifetimes, now).await?,
    })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::secret::TokenHash;
    use model::session::Session;
    use store::testing::{self, sample};

    use super::*;

    const NOW: Timestamp = sample::NOW;

    /// A realm that declares Alice with this password.
    fn declaring(password: &str) -> [(Realm, Vec<DeclaredUser>); 1] {
        let issuer = "https://as.example/realms/demo".parse().unwrap();
        let alice = DeclaredUser {
            username: "alice".parse().unwrap(),
            password: Some(Secret::new(password.to_owned())),
            name: None,
            email: None,
        };
        [(Realm::new("demo".parse().unwrap(), issuer), vec![alice])]
    }

    /// A store where Alice, declared with the password `old`, has logged in and granted something to a client.
    async fn after_a_login() -> (Store, Id<User>) {
        let store = testing::open().await;
        reconcile(&store, &declaring("old"), NOW).await.unwrap();
        let (realm, alice) = ("demo".parse().unwrap(), "alice".parse().unwrap());
        let user = find(&store, &realm, &alice).await.unwrap().id;
        let session = Session::begin(Id::from_bytes([2; 16]), realm, user, NOW);
        store::session::insert(
            &store,
            TokenHash::of("cookie"),
            &session,
            NOW + Duration::from_mins(30),
        )
        .await
        .unwrap();
        let grant = model::grant::Grant {
            user,
            ..sample::grant()
        };
        let family = model::refresh::Family {
            user,
            ..sample::family(1)
        };
        store::grant::insert(&store, TokenHash::of("code"), &grant)
            .await
            .unwrap();
        store::grant::redeem(&store, TokenHash::of("code"), &family, NOW)
            .await
            .unwrap();
        (store, user)
    }

    /// Whether Alice's login session and her grant still hold.
    async fn hold(store: &Store) -> (bool, bool) {
        let session = store::session::load(store, TokenHash::of("cookie"))
            .await
            .unwrap();
        let family = store::family::load(store, sample::family(1).id)
            .await
            .unwrap()
            .unwrap();
        (session.is_some(), family.revoked_at.is_none())
    }

    // SEC-46, SEC-55
    #[tokio::test]
    async fn a_declared_password_that_changes_ends_what_the_old_one_began() {
        let (store, _) = after_a_login().await;
        reconcile(&store, &declaring("new"), NOW).await.unwrap();
        assert_eq!(hold(&store).await, (false, false));
        let family = sample::family(1).id.to_string();
        assert!(store.revocations().is_revoked(&family));
    }

    #[tokio::test]
    async fn a_declared_password_that_stays_ends_nothing() {
        let (store, _) = after_a_login().await;
        reconcile(&store, &declaring("old"), NOW).await.unwrap();
        assert_eq!(hold(&store).await, (true, true));
    }

    // SEC-46, SEC-55
    #[tokio::test]
    async fn what_was_ended_is_counted_and_codes_are_forgotten() {
        let (store, user) = after_a_login().await;
        let grant = model::grant::Grant {
            user,
            ..sample::grant()
        };
        let code = TokenHash::of("another code");
        store::grant::insert(&store, code, &grant).await.unwrap();
        let ended = end_all(&store, user, &Lifetimes::default(), NOW)
            .await
            .unwrap();
        assert_eq!(
            ended.to_string(),
            "login sessions ended: 1, grants to clients revoked: 1"
        );
        assert_eq!(store::grant::load(&store, code).await.unwrap(), None);
    }
}
