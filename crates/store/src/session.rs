//! Login sessions, by the hash of the token in their cookie (SEC-55).

use model::clock::Timestamp;
use model::id::Id;
use model::password::PasswordHash;
use model::realm::{Lifetimes, LogoutEnds, RealmName};
use model::secret::TokenHash;
use model::session::Session;
use model::user::{User, Username};
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::{Record, Row};
use crate::statement::sql;

/// Stores a new session. `expires_at` is when it may be cleaned up; [`touch`] moves it.
pub async fn insert(
    store: &Store,
    token: TokenHash,
    session: &Session,
    expires_at: Timestamp,
) -> Result<(), Error> {
    store
        .backend()
        .write(
            (token, session.clone(), expires_at),
            |(token, session, expires_at), connection| {
                Box::pin(put(connection, *token, session, *expires_at))
            },
        )
        .await
}

/// Holds a session as part of a transaction that depends on it. `false` if it has ended.
pub(crate) async fn hold(
    connection: &mut AnyConnection,
    session: Id<Session>,
) -> Result<bool, Error> {
    let statement = sql(query::SESSION_HOLD).bind(session);
    Ok(statement.execute(connection).await? == 1)
}

/// Stores a session that begins with a password, if that is still the one of its user, and the user may still log in:
/// both may have changed while it was checked. `false` if so. The account is held until the session is there, so that a
/// change comes before it, and is seen, or after it, and ends it.
pub async fn begin(
    store: &Store,
    token: TokenHash,
    session: &Session,
    expires_at: Timestamp,
    password: &PasswordHash,
) -> Result<bool, Error> {
    store
        .backend()
        .write(
            (token, session.clone(), expires_at, password.clone()),
            |(token, session, expires_at, password), connection| {
                Box::pin(async move {
                    let hold = sql(query::USER_HOLD).bind(session.user).bind(password);
                    if hold.execute(&mut *connection).await? == 0 {
                        return Ok(false);
                    }
                    put(connection, *token, session, *expires_at).await?;
                    Ok(true)
                })
            },
        )
        .await
}

async fn put(
    connection: &mut AnyConnection,
    token: TokenHash,
    session: &Session,
    expires_at: Timestamp,
) -> Result<(), Error> {
    let statement = sql(query::SESSION_INSERT)
        .bind(token)
        .bind(session.id)
        .bind(&session.realm)
        .bind(session.user)
        .bind(session.auth_time)
        .bind(session.created_at)
        .bind(session.last_seen_at)
        .bind(expires_at);
    statement.execute(connection).await?;
    Ok(())
}

/// The session of a cookie. Whether it still holds is for [`Session::check`] to say.
pub async fn load(store: &Store, token: TokenHash) -> Result<Option<Session>, Error> {
    store.one(sql(query::SESSION_LOAD).bind(token)).await
}

/// Notes that a session was used.
pub async fn touch(
    store: &Store,
    id: Id<Session>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), Error> {
    let statement = sql(query::SESSION_TOUCH).bind(id);
    store.execute(statement.bind(now).bind(expires_at)).await?;
    Ok(())
}

/// Ends the session of a cookie. `false` if there was none.
pub async fn delete(store: &Store, token: TokenHash) -> Result<bool, Error> {
    let statement = sql(query::SESSION_DELETE).bind(token);
    Ok(store.execute(statement).await? == 1)
}

/// A session and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The session.
    pub session: Session,
    /// What its user types to log in.
    pub username: Username,
}

/// The sessions of a realm that have not expired, those of one user or all, in the order of names and times.
pub async fn list(
    store: &Store,
    realm: &RealmName,
    user: Option<Id<User>>,
    now: Timestamp,
) -> Result<Vec<Listed>, Error> {
    let user = user.map_or_else(String::new, |id| id.to_string());
    let statement = sql(query::SESSION_LIST).bind(realm);
    store.many(statement.bind(user).bind(now)).await
}

/// Ends a session of a realm, and, where that is wanted, revokes what was granted in it to clients, codes on their way
/// included. How many grants were revoked; `None` if there is no such session.
pub async fn end(
    store: &Store,
    realm: &RealmName,
    id: Id<Session>,
    ends: LogoutEnds,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Option<usize>, Error> {
    let until = family::forget_at(lifetimes, now);
    let revoked = store
        .backend()
        .write(
            (realm.clone(), id, ends, now, until),
            |(realm, id, ends, now, until), connection| {
                Box::pin(async move {
                    let end = sql(query::SESSION_END).bind(*id).bind(realm);
                    let Some(Owner(user)) = end.one(&mut *connection).await? else {
                        return Ok(None);
                    };
                    if *ends == LogoutEnds::Session {
                        return Ok(Some(Vec::new()));
                    }
                    // Before the grants: what is made of a code meanwhile is among them.
                    let codes = sql(query::CODE_DELETE_BY_SESSION)
                        .bind(user)
                        .bind(format!("%\"session\":\"{id}\"%"));
                    codes.execute(&mut *connection).await?;
                    family::revoke_within(connection, &Which::Session(*id), *now, *until)
                        .await
                        .map(Some)
                })
            },
        )
        .await?;
    Ok(revoked.map(|revoked| {
        let count = revoked.len();
        store.revocations().add(revoked);
        count
    }))
}

impl Row for Session {
    const TABLE: &'static str = "login_session";
    const KEY: &'static str = "id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            id: row.parse("id")?,
            realm: row.parse("realm")?,
            user: row.parse("account_id")?,
            auth_time: row.time("auth_time")?,
            created_at: row.time("created_at")?,
            last_seen_at: row.time("last_seen_at")?,
        })
    }
}

/// Whose a session is, whatever else is wrong with it: it can be ended all the same.
struct Owner(Id<User>);

impl Row for Owner {
    const TABLE: &'static str = Session::TABLE;
    const KEY: &'static str = Session::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.parse("account_id").map(Self)
    }
}

impl Row for Listed {
    const TABLE: &'static str = Session::TABLE;
    const KEY: &'static str = Session::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            session: row.part()?,
            username: row.parse("username")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{self, sample};
    use crate::{grant, user};

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    fn session(byte: u8) -> Session {
        Session::begin(
            Id::from_bytes([byte; 16]),
            "demo".parse().unwrap(),
            Id::from_bytes([7; 16]),
            NOW,
        )
    }

    // SEC-55
    #[tokio::test]
    async fn a_session_is_found_by_its_token_only() {
        let store = testing::open().await;
        let token = TokenHash::of("cookie");
        insert(&store, token, &session(1), NOW + Duration::from_mins(30))
            .await
            .unwrap();
        assert_eq!(load(&store, token).await.unwrap(), Some(session(1)));
        assert_eq!(
            load(&store, TokenHash::of(session(1).id.to_string()))
                .await
                .unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn use_is_noted_and_never_earlier_than_before() {
        let store = testing::open().await;
        let token = TokenHash::of("cookie");
        insert(&store, token, &session(1), NOW).await.unwrap();
        for seconds in [60, 30] {
            let now = NOW + Duration::from_secs(seconds);
            touch(&store, session(1).id, now, now).await.unwrap();
        }
        let seen = load(&store, token).await.unwrap().unwrap().last_seen_at;
        assert_eq!(seen, NOW + Duration::from_mins(1));
    }

    // SEC-55
    #[tokio::test]
    async fn an_ended_session_is_gone() {
        let store = testing::open().await;
        for byte in 1..=3 {
            insert(&store, TokenHash::of([byte]), &session(byte), NOW)
                .await
                .unwrap();
        }
        assert!(delete(&store, TokenHash::of([1])).await.unwrap());
        assert!(!delete(&store, TokenHash::of([1])).await.unwrap());
        assert_eq!(load(&store, TokenHash::of([1])).await.unwrap(), None);
        let other = load(&store, TokenHash::of([2])).await.unwrap();
        assert_eq!(other, Some(session(2)));
    }

    fn realm() -> RealmName {
        "demo".parse().unwrap()
    }

    #[tokio::test]
    async fn sessions_are_listed_with_whose_they_are() {
        let store = testing::open().await;
        let user = User::new(
            Id::from_bytes([7; 16]),
            realm(),
            "alice".parse().unwrap(),
            NOW,
        );
        user::insert(&store, &user).await.unwrap();
        let later = NOW + Duration::from_mins(30);
        for (byte, expires_at) in [(1, later), (2, later), (3, NOW)] {
            insert(&store, TokenHash::of([byte]), &session(byte), expires_at)
                .await
                .unwrap();
        }
        let found = async |of: Option<u8>| {
            let of = of.map(|byte| Id::from_bytes([byte; 16]));
            list(&store, &realm(), of, NOW).await.unwrap()
        };
        let expected = [1, 2].map(|byte| Listed {
            session: session(byte),
            username: user.username.clone(),
        });
        assert_eq!(found(None).await, expected);
        assert_eq!(found(Some(7)).await, expected);
        assert_eq!(found(Some(8)).await, []);
    }

    // SEC-46, SEC-55
    #[tokio::test]
    async fn the_end_of_a_session_revokes_what_was_granted_in_it_if_that_is_wanted() {
        for (ends, revoked) in [
            (LogoutEnds::Session, None),
            (LogoutEnds::SessionAndTokens, Some(1)),
        ] {
            let store = testing::open().await;
            let token = TokenHash::of("cookie");
            insert(&store, token, &session(1), NOW).await.unwrap();
            let in_session = |id: u8| model::grant::Grant {
                granted: model::granted::Granted {
                    user: session(1).user,
                    session: Some(session(id).id),
                    ..sample::granted()
                },
                ..sample::grant()
            };
            for (code, id) in [("redeemed", 1), ("unused", 1), ("elsewhere", 2)] {
                grant::insert(&store, TokenHash::of(code), &in_session(id))
                    .await
                    .unwrap();
            }
            let family = model::refresh::Family {
                granted: model::granted::Granted {
                    user: session(1).user,
                    session: Some(session(1).id),
                    ..sample::granted()
                },
                ..sample::family(1)
            };
            grant::redeem(&store, TokenHash::of("redeemed"), &family, sample::NOW)
                .await
                .unwrap();
            let other = "other".parse().unwrap();
            let lifetimes = Lifetimes::default();
            let ended = async |realm: &RealmName| {
                end(&store, realm, session(1).id, ends, &lifetimes, NOW)
                    .await
                    .unwrap()
            };
            assert_eq!(ended(&other).await, None);
            assert_eq!(ended(&realm()).await, Some(revoked.unwrap_or(0)));
            assert_eq!(ended(&realm()).await, None);
            assert_eq!(load(&store, token).await.unwrap(), None);
            let id = family.id.to_string();
            assert_eq!(store.revocations().is_revoked(&id), revoked.is_some());
            let there = async |code: &str| {
                let found = grant::load(&store, TokenHash::of(code)).await.unwrap();
                found.is_some()
            };
            assert_eq!(there("unused").await, revoked.is_none());
            assert!(there("elsewhere").await);
        }
    }
}
