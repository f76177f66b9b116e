//! People who can log in.

use model::id::Id;
use model::password::PasswordHash;
use model::realm::RealmName;
use model::traits::Traits;
use model::user::{Profile, User, Username};

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::row::{Record, Row};
use crate::statement::{Statement, sql};

/// Adds a user. [`Error::Conflict`] if the realm has one of that name.
pub async fn insert(store: &Store, user: &User) -> Result<(), Error> {
    store.execute(bind(query::USER_INSERT, user)).await?;
    Ok(())
}

/// Adds a user whom the configuration names, or brings the one of that name up to date. A user without password keeps
/// the one they have. Returns their id, which stays the same for ever.
pub async fn declare(store: &Store, user: &User) -> Result<Id<User>, Error> {
    let statement = bind(query::USER_DECLARE, user);
    let declared: User = store
        .backend()
        .write(statement, |statement, connection| {
            Box::pin(statement.the_one(connection))
        })
        .await?;
    Ok(declared.id)
}

/// The user with this name.
pub async fn by_username(
    store: &Store,
    realm: &RealmName,
    username: &Username,
) -> Result<Option<User>, Error> {
    store
        .one(sql(query::USER_BY_NAME).bind(realm).bind(username))
        .await
}

/// The user with this id.
pub async fn by_id(store: &Store, id: Id<User>) -> Result<Option<User>, Error> {
    store.one(sql(query::USER_BY_ID).bind(id)).await
}

/// Puts another hash of the same password in the place of `before`. `false` if that is not the user's any more: a password
/// that was changed meanwhile stays changed.
pub async fn renew_password(
    store: &Store,
    id: Id<User>,
    before: &PasswordHash,
    after: &PasswordHash,
) -> Result<bool, Error> {
    let statement = sql(query::USER_RENEW_PASSWORD).bind(id);
    Ok(store.execute(statement.bind(before).bind(after)).await? == 1)
}

/// Lets a user log in, or no longer. `false` if there is no such user.
pub async fn set_disabled(store: &Store, id: Id<User>, disabled: bool) -> Result<bool, Error> {
    let statement = sql(query::USER_SET_DISABLED).bind(id).bind(disabled);
    Ok(store.execute(statement).await? == 1)
}

/// Puts other groups and attributes in the place of `before`. `false` if those are not the user's any more, or there is no
/// such user.
pub async fn set_traits(
    store: &Store,
    id: Id<User>,
    before: &Traits,
    after: &Traits,
) -> Result<bool, Error> {
    let statement = sql(query::USER_SET_TRAITS).bind(id);
    let statement = statement.bind(before.to_json()).bind(after.to_json());
    Ok(store.execute(statement).await? == 1)
}

/// What [`set_declared_proof`] kept for a user.
pub async fn declared_proof(store: &Store, id: Id<User>) -> Result<Option<Vec<u8>>, Error> {
    let found: Option<Proof> = store.one(sql(query::USER_BY_ID).bind(id)).await?;
    Ok(found.and_then(|Proof(proof)| proof))
}

/// Keeps what proves, to whoever knows how it was made, that the password is that of a secret in the configuration. It
/// has to depend on the stored hash: whatever changes the password leaves this as it is.
pub async fn set_declared_proof(store: &Store, id: Id<User>, proof: &[u8]) -> Result<(), Error> {
    let statement = sql(query::USER_SET_DECLARED_PROOF).bind(id).bind(proof);
    store.execute(statement).await?;
    Ok(())
}

/// At most `limit` users of a realm, in the order of their names, beginning after `after`.
pub async fn list(
    store: &Store,
    realm: &RealmName,
    after: Option<&Username>,
    limit: u16,
) -> Result<Vec<User>, Error> {
    let after = after.map_or("", Username::as_str);
    let statement = sql(query::USER_LIST).bind(realm).bind(after);
    store.many(statement.bind(i64::from(limit))).await
}

/// Those of a realm whom the configuration declared when it was last asked.
pub async fn declared(store: &Store, realm: &RealmName) -> Result<Vec<Username>, Error> {
    let found: Vec<Declared> = store.many(sql(query::USER_DECLARED).bind(realm)).await?;
    Ok(found.into_iter().map(|Declared(name)| name).collect())
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
    let statements = usernames.iter().map(|username| {
        let statement = sql(query::USER_SET_DECLARED).bind(realm);
        statement.bind(username).bind(declared)
    });
    store
        .backend()
        .write(statements.collect::<Vec<_>>(), |statements, connection| {
            Box::pin(async move {
                for statement in statements {
                    statement.execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
}

fn bind(text: &'static str, user: &User) -> Statement {
    let Profile { name, email } = &user.profile;
    sql(text)
        .bind(user.id)
        .bind(&user.realm)
        .bind(&user.username)
        .bind(user.password.as_ref().map(|hash| hash.as_str().to_owned()))
        .bind(name.clone())
        .bind(email.as_ref().map(ToString::to_string))
        .bind(user.email_verified)
        .bind(user.disabled)
        .bind(user.created_at)
        .bind(user.traits.to_json())
}

impl Row for User {
    const TABLE: &'static str = "account";
    const KEY: &'static str = "id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let password = row.optional_text("password")?;
        Ok(Self {
            id: row.parse("id")?,
            realm: row.parse("realm")?,
            username: row.parse("username")?,
            password: password
                .map(|text| PasswordHash::parse(&text).map_err(|_| row.inconsistent("password")))
                .transpose()?,
            profile: Profile {
                name: row.optional_text("name")?,
                email: row.parse_optional("email")?,
            },
            email_verified: row.flag("email_verified")?,
            disabled: row.flag("disabled")?,
            created_at: row.time("created_at")?,
            traits: Traits::of_json(&row.text("traits")?)
                .map_err(|_| row.inconsistent("traits"))?,
        })
    }
}

/// The column `username`.
struct Declared(Username);

impl Row for Declared {
    const TABLE: &'static str = User::TABLE;
    const KEY: &'static str = User::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.parse("username").map(Self)
    }
}

/// The column `declared_proof`.
struct Proof(Option<Vec<u8>>);

impl Row for Proof {
    const TABLE: &'static str = User::TABLE;
    const KEY: &'static str = User::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.optional_bytes("declared_proof").map(Self)
    }
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
            profile: Profile {
                name: Some("Alice \u{1f5dd}".to_owned()),
                email: Some("alice@example.com".parse().unwrap()),
            },
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
            profile: Profile {
                name: Some("Alice".to_owned()),
                email: None,
            },
            ..alice(2)
        };
        assert_eq!(declare(&store, &second).await.unwrap(), first.id);
        let stored = by_id(&store, first.id).await.unwrap().unwrap();
        assert_eq!(
            stored,
            User {
                profile: second.profile,
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
