//! People who can log in.

use model::id::Id;
use model::password::PasswordHash;
use model::realm::RealmName;
use model::traits::Traits;
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

/// Puts another hash of the same password in the place of `before`. `false` if that is not the user's any more: a password
/// that was changed meanwhile stays changed.
pub async fn renew_password(
    store: &Store,
    id: Id<User>,
    before: &PasswordHash,
    after: &PasswordHash,
) -> Result<bool, Error> {
    store
        .backend()
        .write(
            (id, before.clone(), after.clone()),
            |(id, before, after), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::USER_RENEW_PASSWORD)
                        .bind(id.to_string())
                        .bind(before.as_str().to_owned())
                        .bind(after.as_str().to_owned());
                    Ok(query.execute(connection).await?.rows_affected() == 1)
                })
            },
        )
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

/// Puts other groups and attributes in the place of `before`. `false` if those are not the user's any more, or there is no
/// such user.
pub async fn set_traits(
    store: &Store,
    id: Id<User>,
    before: &Traits,
    after: &Traits,
) -> Result<bool, Error> {
    store
        .backend()
        .write(
            (id, before.to_json(), after.to_json()),
            |(id, before, after), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::USER_SET_TRAITS)
                        .bind(id.to_string())
                        .bind(before.clone())
                        .bind(after.clone());
                    Ok(query.execute(connection).await?.rows_affected() == 1)
                })
            },
        )
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

/// At most `limit` users of a realm, in the order of their names, beginning after `after`.
pub async fn list(
    store: &Store,
    realm: &RealmName,
    after: Option<&Username>,
    limit: u16,
) -> Result<Vec<User>, Error> {
    let after = after.map_or_else(String::new, ToString::to_string);
    store
        .backend()
        .read(
            &(realm, after, limit),
            |(realm, after, limit), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::USER_LIST)
                        .bind(realm.to_string())
                        .bind(after.clone())
                        .bind(i64::from(*limit));
                    query
                        .fetch_all(connection)
                        .await?
                        .iter()
                        .map(read)
                        .collect()
                })
            },
        )
        .await
}

/// Those of a realm whom the configuration declared when it was last asked.
pub async fn declared(store: &Store, realm: &RealmName) -> Result<Vec<Username>, Error> {
    store
        .backend()
        .read(&realm, |realm, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::USER_DECLARED).bind(realm.to_string());
                let found = query.fetch_all(connection).await?;
                let parsed = found.iter().map(|row| {
                    Record {
                        row,
                        table: "account",
                        id: row.try_get("username").unwrap_or_default(),
                    }
                    .parse("username")
                });
                parsed.collect()
            })
        })
        .await
}

/// Notes whether the configuration declares users. Nothing happens to a user that is not there.
pub async fn set_declared(
    store: &Store,
    realm: &RealmName,
    usernames: &[Username],
    declared: bool,
) -> Result<(), Error> {
    if usernames.is_empty() {
        return Ok(());
    }
    store
        .backend()
        .write(
            (realm.clone(), usernames.to_vec(), declared),
            |(realm, usernames, declared), connection| {
                Box::pin(async move {
                    for username in usernames {
                        let query = sqlx::query(query::USER_SET_DECLARED)
                            .bind(realm.to_string())
                            .bind(username.to_string())
                            .bind(i64::from(*declared));
                        query.execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            },
        )
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
        .bind(user.traits.to_json())
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
        traits: Traits::of_json(&row.text("traits")?).map_err(|_| row.inconsistent("traits"))?,
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
    async fn users_are_listed_by_name_page_by_page() {
        let store = testing::open().await;
        let realm = "demo".parse().unwrap();
        for (byte, name) in [(1, "carol"), (2, "alice"), (3, "bob")] {
            let user = User {
                username: name.parse().unwrap(),
                ..alice(byte)
            };
            insert(&store, &user).await.unwrap();
        }
        let elsewhere = User {
            realm: "other".parse().unwrap(),
            ..alice(4)
        };
        insert(&store, &elsewhere).await.unwrap();
        let names = async |after: Option<&str>| {
            let after = after.map(|name| name.parse().unwrap());
            let page = list(&store, &realm, after.as_ref(), 2).await.unwrap();
            page.iter()
                .map(|user| user.username.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(None).await, ["alice", "bob"]);
        assert_eq!(names(Some("bob")).await, ["carol"]);
        assert_eq!(names(Some("carol")).await, [""; 0]);
    }

    #[tokio::test]
    async fn who_was_declared_is_remembered_by_realm() {
        let store = testing::open().await;
        let realm: RealmName = "demo".parse().unwrap();
        let names: [Username; 2] = ["alice".parse().unwrap(), "nobody".parse().unwrap()];
        insert(&store, &alice(1)).await.unwrap();
        assert_eq!(declared(&store, &realm).await.unwrap(), []);
        set_declared(&store, &realm, &names, true).await.unwrap();
        assert_eq!(declared(&store, &realm).await.unwrap(), names[..1]);
        assert_eq!(
            declared(&store, &"other".parse().unwrap()).await.unwrap(),
            []
        );
        set_declared(&store, &realm, &names, false).await.unwrap();
        assert_eq!(declared(&store, &realm).await.unwrap(), []);
    }

    #[tokio::test]
    async fn passwords_and_standing_change() {
        let store = testing::open().await;
        let user = alice(1);
        insert(&store, &user).await.unwrap();
        let [first, second, third] = testing::sample::password_hashes();
        assert!(
            !renew_password(&store, user.id, &first, &second)
                .await
                .unwrap()
        );
        let user = User {
            password: Some(first.clone()),
            ..alice(2)
        };
        let user = User {
            username: "bob".parse().unwrap(),
            ..user
        };
        insert(&store, &user).await.unwrap();
        assert!(
            renew_password(&store, user.id, &first, &second)
                .await
                .unwrap()
        );
        // Whoever saw the first one comes too late.
        assert!(
            !renew_password(&store, user.id, &first, &third)
                .await
                .unwrap()
        );
        assert!(set_disabled(&store, user.id, true).await.unwrap());
        let stored = by_id(&store, user.id).await.unwrap().unwrap();
        assert_eq!((stored.password, stored.disabled), (Some(second), true));
        assert!(
            !set_disabled(&store, Id::from_bytes([9; 16]), true)
                .await
                .unwrap()
        );
    }
}
