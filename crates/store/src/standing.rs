//! A person's standing: a new password, a disabled or a deleted account, each together with the end of everything that
//! was begun before, in one transaction (SEC-46, SEC-55): nothing can begin in between and outlive it.

use std::fmt;

use model::clock::Timestamp;
use model::id::Id;
use model::password::PasswordHash;
use model::realm::Lifetimes;
use model::user::User;
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::statement::sql;

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// They log in with another password from now on.
    Password(PasswordHash),
    /// They can't log in any more.
    Disabled,
    /// They are forgotten, with what they agreed to.
    Deleted,
}

/// What a user had begun, and what was ended with the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Login sessions.
    pub sessions: u64,
    /// Grants to clients, each with its tokens.
    pub grants: usize,
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

/// Makes the change, and ends sessions, codes, families and tokens of the user. This node knows when this returns, others
/// within [`crate::revocation::PERIOD`]. `None` if there is no such user.
pub async fn change(
    store: &Store,
    user: Id<User>,
    change: Change,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Option<Ended>, Error> {
    let state = (user, change, now, family::forget_at(lifetimes, now));
    let outcome = store
        .backend()
        .write(state, |(user, change, now, until), connection| {
            Box::pin(async move {
                if !apply(connection, *user, change).await? {
                    return Ok(None);
                }
                let about = |text| sql(text).bind(*user);
                let sessions = about(query::SESSION_DELETE_USER)
                    .execute(&mut *connection)
                    .await?;
                // Before the grants: what is made of a code meanwhile is among them.
                about(query::CODE_DELETE_BY_USER)
                    .execute(&mut *connection)
                    .await?;
                if *change == Change::Deleted {
                    about(query::CONSENT_DELETE_USER)
                        .execute(&mut *connection)
                        .await?;
                }
                let revoked =
                    family::revoke_within(connection, &Which::User(*user), *now, *until).await?;
                Ok(Some((sessions, revoked)))
            })
        })
        .await?;
    let Some((sessions, revoked)) = outcome else {
        return Ok(None);
    };
    let grants = revoked.len();
    store.revocations().add(revoked);
    Ok(Some(Ended { sessions, grants }))
}

/// Changes the account itself; `false` if there is none.
async fn apply(
    connection: &mut AnyConnection,
    user: Id<User>,
    change: &Change,
) -> Result<bool, Error> {
    let statement = match change {
        Change::Password(hash) => sql(query::USER_SET_PASSWORD).bind(user).bind(hash),
        Change::Disabled => sql(query::USER_SET_DISABLED).bind(user).bind(true),
        Change::Deleted => sql(query::USER_DELETE).bind(user),
    };
    Ok(statement.execute(connection).await? == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::consent::Consent;
    use model::secret::TokenHash;
    use model::session::Session;

    use super::*;
    use crate::testing::{self, sample};
    use crate::{consent, grant, session, user};

    const NOW: Timestamp = sample::NOW;

    /// A store where somebody has a session, a family, a code that was not redeemed, and has agreed to something; twice, as
    /// two nodes see it.
    async fn begun() -> (Store, Store, User) {
        let (here, there) = testing::open_twice().await;
        let alice = User::new(
            Id::from_bytes([9; 16]),
            "demo".parse().unwrap(),
            "alice".parse().unwrap(),
            NOW,
        );
        user::insert(&here, &alice).await.unwrap();
        let begun = Session::begin(Id::from_bytes([2; 16]), alice.realm.clone(), alice.id, NOW);
        let later = NOW + Duration::from_mins(30);
        session::insert(&here, TokenHash::of("cookie"), &begun, later)
            .await
            .unwrap();
        let granted = model::grant::Grant {
            granted: model::granted::Granted {
                user: alice.id,
                ..sample::granted()
            },
            ..sample::grant()
        };
        let family = model::refresh::Family {
            granted: model::granted::Granted {
                user: alice.id,
                ..sample::granted()
            },
            ..sample::family(1)
        };
        for code in ["code", "unused"] {
            grant::insert(&here, TokenHash::of(code), &granted)
                .await
                .unwrap();
        }
        grant::redeem(&here, TokenHash::of("code"), &family, NOW)
            .await
            .unwrap();
        let agreed = Consent {
            user: alice.id,
            client_id: granted.granted.terms.client_id.clone(),
            redirect_origin: "http://localhost".to_owned(),
            resource: None,
            scope: "a".parse().unwrap(),
            document_hash: None,
            granted_at: NOW,
        };
        consent::save(&here, &[agreed]).await.unwrap();
        (here, there, alice)
    }

    // SEC-46, SEC-55
    #[tokio::test]
    async fn every_change_ends_what_was_begun_before_on_every_node() {
        for what in [
            Change::Password(PasswordHash::dummy()),
            Change::Disabled,
            Change::Deleted,
        ] {
            let (here, there, alice) = begun().await;
            let family = sample::family(1).id.to_string();
            assert!(!here.revocations().is_revoked(&family));
            let ended = change(&here, alice.id, what.clone(), &Lifetimes::default(), NOW)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                ended.to_string(),
                "login sessions ended: 1, grants to clients revoked: 1"
            );
            let session = session::load(&here, TokenHash::of("cookie")).await.unwrap();
            assert_eq!(session, None, "{what:?}");
            let unused = grant::load(&here, TokenHash::of("unused")).await.unwrap();
            assert_eq!(unused, None, "{what:?}");
            assert!(here.revocations().is_revoked(&family), "{what:?}");
            crate::revocation::read_log(&there).await.unwrap();
            assert!(there.revocations().is_revoked(&family), "{what:?}");

            let stored = user::by_id(&here, alice.id).await.unwrap();
            let client_id = sample::granted().terms.client_id;
            let agreed = consent::list(&here, alice.id, &client_id).await.unwrap();
            let expected = match &what {
                Change::Password(hash) => Some((Some(hash.clone()), false)),
                Change::Disabled => Some((None, true)),
                Change::Deleted => None,
            };
            assert_eq!(agreed.len(), usize::from(expected.is_some()), "{what:?}");
            assert_eq!(stored.map(|user| (user.password, user.disabled)), expected);
        }
    }

    // SEC-46, SEC-55: a password that is being checked, and a page that is being answered.
    #[tokio::test]
    async fn what_was_under_way_begins_nothing_after_a_change() {
        let [old, new, _] = sample::password_hashes();
        let later = NOW + Duration::from_mins(30);
        for what in [
            Change::Password(new.clone()),
            Change::Disabled,
            Change::Deleted,
        ] {
            let store = testing::open().await;
            let mut alice = User::new(
                Id::from_bytes([9; 16]),
                "demo".parse().unwrap(),
                "alice".parse().unwrap(),
                NOW,
            );
            alice.password = Some(old.clone());
            user::insert(&store, &alice).await.unwrap();
            let begin = async |n: u8, password: &PasswordHash| {
                let begun =
                    Session::begin(Id::from_bytes([n; 16]), alice.realm.clone(), alice.id, NOW);
                session::begin(&store, TokenHash::of([n]), &begun, later, password)
                    .await
                    .unwrap()
            };
            let issue = async |code: &str, session: u8| {
                let granted = model::grant::Grant {
                    granted: model::granted::Granted {
                        user: alice.id,
                        session: Some(Id::from_bytes([session; 16])),
                        ..sample::granted()
                    },
                    ..sample::grant()
                };
                let hash = TokenHash::of(code);
                let issued = grant::issue(&store, hash, &granted, None).await.unwrap();
                let issued = issued == grant::Issued::Stored;
                let there = grant::load(&store, hash).await.unwrap().is_some();
                assert_eq!(issued, there);
                issued
            };
            assert!(begin(1, &old).await);
            assert!(issue("before", 1).await);
            change(&store, alice.id, what.clone(), &Lifetimes::default(), NOW)
                .await
                .unwrap();
            assert!(!issue("after", 1).await, "{what:?}");
            assert!(!begin(2, &old).await, "{what:?}");
            let session = session::load(&store, TokenHash::of([2])).await.unwrap();
            assert_eq!(session, None, "{what:?}");
            let can_log_in = matches!(what, Change::Password(_));
            assert_eq!(begin(3, &new).await, can_log_in, "{what:?}");
        }
    }

    #[tokio::test]
    async fn nobody_is_nobody() {
        let store = testing::open().await;
        let nobody = Id::from_bytes([9; 16]);
        let changed = change(&store, nobody, Change::Disabled, &Lifetimes::default(), NOW).await;
        assert_eq!(changed.unwrap(), None);
    }
}
