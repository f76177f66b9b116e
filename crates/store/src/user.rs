//! People who can log in.

use model::id::Id;
use model::password::PasswordHash;
use model::realm::RealmName;
use model::user::{User, Username};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::row::Record;

/// Adds a user. [`Error::Conflict`] if the realm has one of that name.
pub async fn insert(store: &Store, user: &User) -> Result<(), Error> {
    store
        .backend()
        .write(user.clone(), |user, connection| {
            Box::pin(async move {
                bind(query::USER_INSERT, user).execute(connection).await?;
                Ok(())
            })
        })
        .await
}

/// Adds a user whom the configuration names, or brings the one of that name up to date. A user without password keeps
/// the one they have. Returns their id, which stays the same for ever.
pub async fn declare(store: &Store, user: &User) -> Result<Id<User>, Error> {
    store
        .backend()
        .write(user.clone(), |user, connection| {
            Box::pin(async move {
                let row = bind(query::USER_DECLARE, user)
                    .fetch_one(connection)
                    .await?;
                Record {
                    row: &row,
                    table: "account",
                    id: user.username.to_string(),
                }
                .parse("id")
            })
        })
        .await
}

/// The user with this name.
pub async fn by_username(
    store: &Store,
    realm: &RealmName,
    username: &Username,
) -> Result<Option<User>, Error> {
    store
        .backend()
        .read(&(realm, username), |(realm, username), connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_BY_NAME)
                    .bind(realm.to_string())
                    .bind(username.to_string());
                query
                    .fetch_optional(connection)
                    .await?
                    .as_ref()
                    .map(read)
                    .transpose()
            })
        })
        .await
}

/// The user with this id.
pub async fn by_id(store: &Store, id: Id<User>) -> Result<Option<User>, Error> {
    store
        .backend()
        .read(&id, |id, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_BY_ID).bind(id.to_string());
                query
                    .fetch_optional(connection)
                    .await?
                    .as_ref()
                    .map(read)
                    .transpose()
            })
        })
        .await
}

/// Changes the password. `false` if there is no such user.
pub async fn set_password(
    store: &Store,
    id: Id<User>,
    password: &PasswordHash,
) -> Result<bool, Error> {
    store
        .backend()
        .write((id, password.clone()), |(id, password), connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_SET_PASSWORD)
                    .bind(id.to_string())
                    .bind(password.as_str().to_owned());
                Ok(query.execute(connection).await?.rows_affected() == 1)
            })
        })
        .await
}

/// Lets a user log in, or no longer. `false` if there is no such user.
pub async fn set_disabled(store: &Store, id: Id<User>, disabled: bool) -> Result<bool, Error> {
    store
        .backend()
        .write((id, disabled), |(id, disabled), connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_SET_DISABLED)
                    .bind(id.to_string())
                    .bind(i64::from(*disabled));
                Ok(query.execute(connection).await?.rows_affected() == 1)
            })
        })
        .await
}

/// What [`set_declared_proof`] kept for a user.
pub async fn declared_proof(store: &Store, id: Id<User>) -> Result<Option<Vec<u8>>, Error> {
    store
        .backend()
        .read(&id, |id, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_DECLARED_PROOF).bind(id.to_string());
                let Some(row) = query.fetch_optional(connection).await? else {
                    return Ok(None);
                };
                Record {
                    row: &row,
                    table: "account",
                    id: id.to_string(),
                }
                .optional_bytes("declared_proof")
            })
        })
        .await
}

/// Keeps what proves, to whoever knows how it was made, that the password is that of a secret in the configuration. It
/// has to depend on the stored hash: whatever changes the password leaves this as it is.
pub async fn set_declared_proof(store: &Store, id: Id<User>, proof: &[u8]) -> Result<(), Error> {
    store
        .backend()
        .write((id, proof.to_vec()), |(id, proof), connection| {
            Box::pin(async move {
                sqlx::query(query::USER_SET_DECLARED_PROOF)
                    .bind(id.to_string())
                    .bind(proof.clone())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await
}

fn bind(
    sql: &'static str,
    user: &User,
) -> sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments> {
    sqlx::query(sql)
        .bind(user.id.to_string())
        .bind(user.realm.to_string())
        .bind(user.username.to_string())
        .bind(user.password.as_ref().map(|hash| hash.as_str().to_owned()))
        .bind(user.name.clone())
        .bind(user.email.clone())
        .bind(i64::from(user.email_verified))
        .bind(i64::from(user.disabled))
        .bind(user.created_at.millis())
}

fn read(row: &AnyRow) -> Result<User, Error> {
    let row = Record {
        row,
        table: "account",
        id: row.try_get("id").unwrap_or_default(),
    };
    let password = row.optional_text("password")?;
    Ok(User {
        id: row.parse("id")?,
        realm: row.parse("realm")?,
        username: row.parse("username")?,
        password: password
            .map(|text| PasswordHash::parse(&text).map_err(|_| row.inconsistent("password")))
            .transpose()?,
        name: row.optional_text("name")?,
        email: row.optional_text("email")?,
        email_verified: row.flag("email_verified")?,
        disabled: row.flag("disabled")?,
        created_at: row.time("created_at")?,
    })
}

#[cfg(test)]
mod tests {
    use model::clock::Timestamp;

    use super::*;
    use crate::testing;

    fn alice(byte: u8) -> User {
        let id = Id::from_bytes([byte; 16]);
        User::new(
            id,
            "demo".parse().unwrap(),
            "alice".parse().unwrap(),
            Timestamp::from_seconds(1),
        )
    }

    #[tokio::test]
    async fn a_user_is_found_by_name_and_id() {
        let store = testing::open().await;
        let user = User {
            password: Some(PasswordHash::dummy()),
            name: Some("Alice \u{1f5dd}".to_owned()),
            email: Some("alice@example.com".to_owned()),
            email_verified: true,
            ..alice(1)
        };
        insert(&store, &user).await.unwrap();
        assert_eq!(
            by_username(&store, &user.realm, &user.username)
                .await
                .unwrap(),
            Some(user.clone())
        );
        assert_eq!(by_id(&store, user.id).await.unwrap(), Some(user.clone()));
        assert_eq!(
            by_username(&store, &"other".parse().unwrap(), &user.username)
                .await
                .unwrap(),
            None
        );
        assert_eq!(by_id(&store, Id::from_bytes([9; 16])).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_realm_has_one_user_of_a_name() {
        let store = testing::open().await;
        insert(&store, &alice(1)).await.unwrap();
        assert!(matches!(
            insert(&store, &alice(2)).await,
            Err(Error::Conflict)
        ));
        let elsewhere = User {
            realm: "other".parse().unwrap(),
            ..alice(2)
        };
        insert(&store, &elsewhere).await.unwrap();
    }

    #[tokio::test]
    async fn declaring_a_user_again_keeps_id_and_password() {
        let store = testing::open().await;
        let first = User {
            password: Some(PasswordHash::dummy()),
            ..alice(1)
        };
        assert_eq!(declare(&store, &first).await.unwrap(), first.id);
        let second = User {
            name: Some("Alice".to_owned()),
            ..alice(2)
        };
        assert_eq!(declare(&store, &second).await.unwrap(), first.id);
        let stored = by_id(&store, first.id).await.unwrap().unwrap();
        assert_eq!(
            stored,
            User {
                name: second.name,
                ..first
            }
        );
    }

    #[tokio::test]
    async fn the_proof_of_a_declared_password_is_kept_beside_it() {
        let store = testing::open().await;
        let user = alice(1);
        assert_eq!(declared_proof(&store, user.id).await.unwrap(), None);
        insert(&store, &user).await.unwrap();
        assert_eq!(declared_proof(&store, user.id).await.unwrap(), None);
        set_declared_proof(&store, user.id, b"proof").await.unwrap();
        assert_eq!(
            declared_proof(&store, user.id).await.unwrap(),
            Some(b"proof".to_vec())
        );
        assert_eq!(by_id(&store, user.id).await.unwrap(), Some(user));
    }

    #[tokio::test]
    async fn passwords_and_standing_change() {
        let store = testing::open().await;
        let user = alice(1);
        insert(&store, &user).await.unwrap();
        assert!(
            set_password(&store, user.id, &PasswordHash::dummy())
                .await
                .unwrap()
        );
        assert!(set_disabled(&store, user.id, true).await.unwrap());
        let stored = by_id(&store, user.id).await.unwrap().unwrap();
        assert_eq!(
            (stored.password, stored.disabled),
            (Some(PasswordHash::dummy()), true)
        );
        assert!(
            !set_disabled(&store, Id::from_bytes([9; 16]), true)
                .await
                .unwrap()
        );
    }
}
