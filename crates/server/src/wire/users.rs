//! Users: those that the configuration declares go into the store, and commands add others.

use anyhow::Context as _;
use auth::password_pool::PasswordPool;
use aws_lc_rs::hmac;
use futures_util::stream::{self, TryStreamExt as _};
use model::clock::Timestamp;
use model::id::Id;
use model::password::{self, PasswordHash};
use model::realm::Realm;
use model::secret::Secret;
use model::user::User;
use store::Store;
use store::standing::{self, Change};
use zeroize::Zeroizing;

use crate::config::realm::{DeclaredRealm, User as DeclaredUser};

/// How many users are brought in at the same time. How many passwords are hashed meanwhile is the pool's matter.
const AT_ONCE: usize = 16;

/// What it takes to bring users of the configuration into the store.
pub(crate) struct Declaring<'a> {
    /// Where they go.
    pub(crate) store: &'a Store,
    /// Hashes their passwords.
    pub(crate) passwords: &'a PasswordPool,
    /// Proves which secret a password was made of.
    pub(crate) key: &'a [u8; 32],
    /// The present moment.
    pub(crate) now: Timestamp,
}

impl Declaring<'_> {
    /// Brings the store up to what the configuration declares. What becomes of users that it no longer declares is the
    /// matter of [`removed_users`](crate::wire::removed_users).
    pub(crate) async fn reconcile(&self, realms: &[DeclaredRealm]) -> anyhow::Result<()> {
        let all = realms
            .iter()
            .flat_map(|one| one.users.iter().map(move |declared| (&one.realm, declared)));
        stream::iter(all.map(Ok))
            .try_for_each_concurrent(AT_ONCE, |(realm, declared)| async move {
                self.declare(realm, declared).await.with_context(|| {
                    format!(
                        "the user `{}` of realm `{}` can't be declared",
                        declared.username, realm.name
                    )
                })
            })
            .await
    }

    async fn declare(&self, realm: &Realm, declared: &DeclaredUser) -> anyhow::Result<()> {
        let (name, username) = (&realm.name, &declared.username);
        let known = store::user::by_username(self.store, name, username).await?;
        let mut user = User::new(new_id(self.now)?, name.clone(), username.clone(), self.now);
        user.profile.clone_from(&declared.profile);
        user.traits.clone_from(&declared.traits);
        // What the operator wrote down is taken for true.
        user.email_verified = declared.profile.email.is_some();
        let mut unproven = None;
        if let Some(password) = &declared.password
            && !self.is_proven(known.as_ref(), password).await?
        {
            let current = known.as_ref().and_then(|known| known.password.clone());
            let salt = random()?;
            user.password = self
                .passwords
                .changed(password.clone(), current.clone(), salt)
                .await?;
            unproven = user.password.clone().or(current).zip(Some(password));
        }
        let replaced = known.as_ref().and_then(|_| user.password.take());
        let id = match &known {
            Some(known) if is_up_to_date(known, &user) => known.id,
            _ => store::user::declare(self.store, &user).await?,
        };
        if let Some(password) = replaced {
            let change = Change::Password(password);
            let ended =
                standing::change(self.store, id, change, &realm.lifetimes, self.now).await?;
            if let Some(ended) = ended {
                tracing::info!(realm = %name, user = %id, "the declared password of a user was changed; {ended}");
            }
        }
        if let Some((hash, password)) = unproven {
            let proof = hmac::sign(&self.key(), &proven(id, password, &hash));
            store::user::set_declared_proof(self.store, id, proof.as_ref()).await?;
        }
        Ok(())
    }

    /// Whether it is proven that the stored password is this one: a check of it would cost what a login costs.
    async fn is_proven(
        &self,
        known: Option<&User>,
        password: &Secret<String>,
    ) -> anyhow::Result<bool> {
        let Some((id, hash)) = known.and_then(|known| Some((known.id, known.password.as_ref()?)))
        else {
            return Ok(false);
        };
        let Some(proof) = store::user::declared_proof(self.store, id).await? else {
            return Ok(false);
        };
        Ok(hmac::verify(&self.key(), &proven(id, password, hash), &proof).is_ok())
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key)
    }
}

/// What is proven: that of this user, the stored hash is of this password. The key is not in the database: who reads
/// there finds nothing that is faster to guess at than the hash. A password that is changed by other ways has another
/// hash, and is proven no more.
fn proven(id: Id<User>, password: &Secret<String>, hash: &PasswordHash) -> Zeroizing<Vec<u8>> {
    let password = password.expose().as_bytes();
    Zeroizing::new(
        [
            id.to_bytes().as_slice(),
            &password.len().to_be_bytes(),
            password,
            hash.as_str().as_bytes(),
        ]
        .concat(),
    )
}

/// Whether the store says about a user already what is declared.
fn is_up_to_date(known: &User, declared: &User) -> bool {
    (
        &known.profile,
        &known.traits,
        known.email_verified,
        known.disabled,
    ) == (
        &declared.profile,
        &declared.traits,
        declared.email_verified,
        declared.disabled,
    )
}

/// Hashes a password. It takes some 15 ms of a core.
pub(crate) fn hash(password: &Secret<String>) -> anyhow::Result<PasswordHash> {
    Ok(password::hash(password.expose(), &random()?)?)
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(bytes)
}

/// An identifier for a new user.
pub(crate) fn new_id(now: Timestamp) -> anyhow::Result<Id<User>> {
    Ok(Id::new(now, random()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::password::Cost;
    use model::realm::RealmName;
    use model::secret::TokenHash;
    use model::session::Session;
    use model::traits::Traits;
    use model::user::{Profile, Username};
    use store::testing::{self, sample};

    use super::*;
    use crate::config::realm::UsersRemoved;

    const NOW: Timestamp = sample::NOW;

    async fn find(store: &Store, realm: &RealmName, username: &Username) -> anyhow::Result<User> {
        let found = store::user::by_username(store, realm, username).await?;
        found.context("nobody")
    }

    /// A realm that declares Alice with this password.
    fn declaring(password: &str) -> [DeclaredRealm; 1] {
        let issuer = "https://as.example/realms/demo".parse().unwrap();
        let alice = DeclaredUser {
            username: "alice".parse().unwrap(),
            password: Some(Secret::new(password.to_owned())),
            profile: Profile::default(),
            traits: Traits::default(),
        };
        [DeclaredRealm {
            realm: Realm::new("demo".parse().unwrap(), issuer),
            users: vec![alice],
            users_removed: UsersRemoved::default(),
            min_password_length: model::password_choice::LEAST,
        }]
    }

    const KEY: [u8; 32] = [7; 32];

    async fn reconcile(store: &Store, realms: &[DeclaredRealm]) -> anyhow::Result<()> {
        with_key(store, &KEY, realms).await.map(|_| ())
    }

    /// Declares users, and says whether a password was hashed.
    async fn with_key(
        store: &Store,
        key: &[u8; 32],
        realms: &[DeclaredRealm],
    ) -> anyhow::Result<bool> {
        let passwords = PasswordPool::default().costing(Cost::DANGER_LEAST);
        let declaring = Declaring {
            store,
            passwords: &passwords,
            key,
            now: NOW,
        };
        declaring.reconcile(realms).await?;
        Ok(format!("{passwords:?}") != "PasswordPool(0 threads)")
    }

    /// A store where Alice, declared with the password `old`, has logged in and granted something to a client.
    async fn after_a_login() -> (Store, Id<User>) {
        let store = testing::open().await;
        reconcile(&store, &declaring("old")).await.unwrap();
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
            granted: model::granted::Granted {
                user,
                ..sample::granted()
            },
            ..sample::grant()
        };
        let family = model::refresh::Family {
            granted: model::granted::Granted {
                user,
                ..sample::granted()
            },
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

    async fn stored(store: &Store) -> User {
        let (realm, alice) = ("demo".parse().unwrap(), "alice".parse().unwrap());
        find(store, &realm, &alice).await.unwrap()
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
        reconcile(&store, &declaring("new")).await.unwrap();
        assert_eq!(hold(&store).await, (false, false));
        let family = sample::family(1).id.to_string();
        assert!(store.revocations().is_revoked(&family));
    }

    #[tokio::test]
    async fn a_declared_password_that_stays_ends_nothing() {
        let (store, _) = after_a_login().await;
        reconcile(&store, &declaring("old")).await.unwrap();
        assert_eq!(hold(&store).await, (true, true));
    }

    #[tokio::test]
    async fn a_secret_that_stays_is_hashed_once() {
        let store = testing::open().await;
        for hashed in [true, false, false] {
            assert_eq!(
                with_key(&store, &KEY, &declaring("old")).await.unwrap(),
                hashed
            );
        }
        // Under another key nothing is proven, and the password is checked once.
        let user = stored(&store).await;
        for hashed in [true, false] {
            assert_eq!(
                with_key(&store, &[8; 32], &declaring("old")).await.unwrap(),
                hashed
            );
        }
        assert_eq!(stored(&store).await, user);
    }

    // SEC-70
    #[tokio::test]
    async fn what_proves_a_secret_needs_the_key() {
        let store = testing::open().await;
        reconcile(&store, &declaring("old")).await.unwrap();
        let user = stored(&store).await;
        let proof = store::user::declared_proof(&store, user.id).await.unwrap();
        let made = |key: &[u8; 32]| {
            let password = Secret::new("old".to_owned());
            let message = proven(user.id, &password, user.password.as_ref().unwrap());
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            Some(hmac::sign(&key, &message).as_ref().to_vec())
        };
        assert_eq!(proof, made(&KEY));
        assert_ne!(proof, made(&[8; 32]));
    }

    #[tokio::test]
    async fn the_declared_password_holds_after_it_was_changed_by_other_ways() {
        let store = testing::open().await;
        reconcile(&store, &declaring("old")).await.unwrap();
        let user = stored(&store).await;
        let other = hash(&Secret::new("other".to_owned())).unwrap();
        let before = user.password.unwrap();
        assert!(
            store::user::renew_password(&store, user.id, &before, &other)
                .await
                .unwrap()
        );
        assert!(with_key(&store, &KEY, &declaring("old")).await.unwrap());
        let now = stored(&store).await.password.unwrap();
        let verified = PasswordPool::default()
            .costing(Cost::DANGER_LEAST)
            .verify(Secret::new("old".to_owned()), now)
            .await;
        assert!(verified.unwrap());
    }

    #[tokio::test]
    async fn all_of_many_users_are_declared() {
        let [declared] = declaring("secret");
        let many: Vec<_> = (0..40)
            .map(|n| DeclaredUser {
                username: format!("user{n}").parse().unwrap(),
                ..declared.users.first().unwrap().clone()
            })
            .collect();
        let store = testing::open().await;
        let realms = [DeclaredRealm {
            users: many.clone(),
            ..declared.clone()
        }];
        assert!(with_key(&store, &KEY, &realms).await.unwrap());
        for user in &many {
            let user = find(&store, &declared.realm.name, &user.username)
                .await
                .unwrap();
            assert!(user.password.is_some(), "{}", user.username);
        }
        assert!(!with_key(&store, &KEY, &realms).await.unwrap());
    }
}
