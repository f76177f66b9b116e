//! Login sessions, by the hash of the token in their cookie (SEC-55).

use model::clock::Timestamp;
use model::id::Id;
use model::secret::TokenHash;
use model::session::Session;
use model::user::User;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::row::Record;

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
                Box::pin(async move {
                    let query = sqlx::query(query::SESSION_INSERT)
                        .bind(token.as_bytes().to_vec())
                        .bind(session.id.to_string())
                        .bind(session.realm.to_string())
                        .bind(session.user.to_string())
                        .bind(session.auth_time.millis())
                        .bind(session.created_at.millis())
                        .bind(session.last_seen_at.millis())
                        .bind(expires_at.millis());
                    query.execute(connection).await?;
                    Ok(())
                })
            },
        )
        .await
}

/// The session of a cookie. Whether it still holds is for [`Session::check`] to say.
pub async fn load(store: &Store, token: TokenHash) -> Result<Option<Session>, Error> {
    store
        .backend()
        .read(&token, |token, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::SESSION_LOAD).bind(token.as_bytes().to_vec());
                let Some(found) = query.fetch_optional(connection).await? else {
                    return Ok(None);
                };
                let row = Record {
                    row: &found,
                    table: "login_session",
                    id: token.to_string(),
                };
                Ok(Some(Session {
                    id: row.parse("id")?,
                    realm: row.parse("realm")?,
                    user: row.parse("account_id")?,
                    auth_time: row.time("auth_time")?,
                    created_at: row.time("created_at")?,
                    last_seen_at: row.time("last_seen_at")?,
                }))
            })
        })
        .await
}

/// Notes that a session was used.
pub async fn touch(
    store: &Store,
    id: Id<Session>,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(), Error> {
    store
        .backend()
        .write(
            (id, now, expires_at),
            |(id, now, expires_at), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::SESSION_TOUCH)
                        .bind(id.to_string())
                        .bind(now.millis())
                        .bind(expires_at.millis());
                    query.execute(connection).await?;
                    Ok(())
                })
            },
        )
        .await
}

/// Ends the session of a cookie. `false` if there was none.
pub async fn delete(store: &Store, token: TokenHash) -> Result<bool, Error> {
    store
        .backend()
        .write(token, |token, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::SESSION_DELETE).bind(token.as_bytes().to_vec());
                Ok(query.fetch_optional(connection).await?.is_some())
            })
        })
        .await
}

/// Ends every session of a user; how many there were.
pub async fn delete_by_user(store: &Store, user: Id<User>) -> Result<u64, Error> {
    store
        .backend()
        .write(user, |user, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::SESSION_DELETE_USER).bind(user.to_string());
                Ok(query.execute(connection).await?.rows_affected())
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing;

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
        assert_eq!(
            delete_by_user(&store, Id::from_bytes([7; 16]))
                .await
                .unwrap(),
            2
        );
        assert_eq!(load(&store, TokenHash::of([2])).await.unwrap(), None);
    }
}
