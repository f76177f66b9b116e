//! What users agreed to (SEC-14, SEC-19).

use model::clock::Timestamp;
use model::consent::Consent;
use model::id::Id;
use model::realm::{Lifetimes, RealmName};
use model::secret::TokenHash;
use model::user::{User, Username};
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;
use sqlx::any::AnyRow;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::Record;

/// Stores agreements, all or none. Scopes agreed to earlier, under the same state of the client's document, stay
/// agreed to.
pub async fn save(store: &Store, consents: &[Consent]) -> Result<(), Error> {
    store
        .backend()
        .write(consents.to_vec(), |consents, connection| {
            Box::pin(async move {
                for consent in consents {
                    let key = || {
                        [
                            consent.user.to_string(),
                            consent.client_id.to_string(),
                            consent.redirect_origin.clone(),
                            resource_key(consent.resource.as_ref()),
                        ]
                    };
                    let find = key()
                        .into_iter()
                        .fold(sqlx::query(query::CONSENT_ONE), sqlx::query::Query::bind);
                    let before = find
                        .fetch_optional(&mut *connection)
                        .await?
                        .as_ref()
                        .map(read)
                        .transpose()?;
                    let scope = match before {
                        Some(before) if before.document_hash == consent.document_hash => {
                            before.scope.union(&consent.scope)
                        }
                        Some(_) | None => consent.scope.clone(),
                    };
                    let query = key()
                        .into_iter()
                        .fold(sqlx::query(query::CONSENT_SAVE), sqlx::query::Query::bind)
                        .bind(scope.to_string())
                        .bind(consent.document_hash.map(|hash| hash.as_bytes().to_vec()))
                        .bind(consent.granted_at.millis());
                    query.execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
}

/// What a user agreed to for a client.
pub async fn list(
    store: &Store,
    user: Id<User>,
    client_id: &ClientId,
) -> Result<Vec<Consent>, Error> {
    store
        .backend()
        .read(&(user, client_id), |(user, client_id), connection| {
            Box::pin(async move {
                let query = sqlx::query(query::CONSENT_LIST)
                    .bind(user.to_string())
                    .bind(client_id.to_string());
                query
                    .fetch_all(connection)
                    .await?
                    .iter()
                    .map(read)
                    .collect()
            })
        })
        .await
}

/// An agreement and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The agreement.
    pub consent: Consent,
    /// What its user types to log in.
    pub username: Username,
}

/// What users of a realm agreed to, one user or all, in the order of names and clients.
pub async fn of_realm(
    store: &Store,
    realm: &RealmName,
    user: Option<Id<User>>,
) -> Result<Vec<Listed>, Error> {
    let user = user.map_or_else(String::new, |id| id.to_string());
    store
        .backend()
        .read(&(realm, user), |(realm, user), connection| {
            Box::pin(async move {
                let query = sqlx::query(query::CONSENT_LIST_REALM)
                    .bind(realm.to_string())
                    .bind(user.clone());
                let found = query.fetch_all(connection).await?;
                let listed = found.iter().map(|row| {
                    let consent = read(row)?;
                    let row = Record {
                        row,
                        table: "account",
                        id: consent.user.to_string(),
                    };
                    Ok(Listed {
                        consent,
                        username: row.parse("username")?,
                    })
                });
                listed.collect()
            })
        })
        .await
}

/// What was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Agreements.
    pub consents: u64,
    /// Grants, each with its tokens.
    pub grants: usize,
}

/// Takes back whatever a user agreed to for a client, with codes on their way, families and tokens, in one transaction.
pub async fn revoke(
    store: &Store,
    user: Id<User>,
    client_id: &ClientId,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Revoked, Error> {
    let until = family::forget_at(lifetimes, now);
    let (consents, revoked) = store
        .backend()
        .write(
            (user, client_id.clone(), now, until),
            |(user, client_id, now, until), connection| {
                Box::pin(async move {
                    let execute = |sql| {
                        sqlx::query(sql)
                            .bind(user.to_string())
                            .bind(client_id.to_string())
                    };
                    let consents = execute(query::CONSENT_DELETE)
                        .execute(&mut *connection)
                        .await?
                        .rows_affected();
                    // Before the grants: what is made of a code meanwhile is among them.
                    execute(query::CODE_DELETE_BY_CLIENT)
                        .execute(&mut *connection)
                        .await?;
                    let which = Which::Client(*user, client_id.clone());
                    let revoked = family::revoke_within(connection, &which, *now, *until).await?;
                    Ok((consents, revoked))
                })
            },
        )
        .await?;
    let grants = revoked.len();
    store.revocations().add(revoked);
    Ok(Revoked { consents, grants })
}

/// Whether anybody ever agreed to anything for this client; if not, the consent page says so (SEC-18).
pub async fn knows_client(store: &Store, client_id: &ClientId) -> Result<bool, Error> {
    store
        .backend()
        .read(&client_id, |client_id, connection| {
            Box::pin(async move {
                let query = sqlx::query(query::CONSENT_KNOWS_CLIENT).bind(client_id.to_string());
                Ok(query.fetch_optional(connection).await?.is_some())
            })
        })
        .await
}

/// One spelling per resource.
fn resource_key(resource: Option<&Resource>) -> String {
    resource.map_or_else(String::new, |uri| uri.canonical().to_owned())
}

fn read(row: &AnyRow) -> Result<Consent, Error> {
    let row = Record {
        row,
        table: "consent",
        id: String::new(),
    };
    let row = Record {
        id: row.text("client_id")?,
        ..row
    };
    let resource = row.text("resource")?;
    let document_hash = row
        .optional_bytes("document_hash")?
        .map(|bytes| {
            bytes
                .try_into()
                .map(TokenHash::from_bytes)
                .map_err(|_| row.inconsistent("document_hash"))
        })
        .transpose()?;
    Ok(Consent {
        user: row.parse("account_id")?,
        client_id: row.parse("client_id")?,
        redirect_origin: row.text("redirect_origin")?,
        resource: if resource.is_empty() {
            None
        } else {
            Some(row.parse("resource")?)
        },
        scope: row.parse::<ScopeSet>("scope")?,
        document_hash,
        granted_at: row.time("granted_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, sample};
    use crate::{grant, user};

    fn consent(resource: Option<&str>, scope: &str, document: Option<&str>) -> Consent {
        Consent {
            user: Id::from_bytes([1; 16]),
            client_id: "https://c.example/m.json".parse().unwrap(),
            redirect_origin: "http://localhost".to_owned(),
            resource: resource.map(|uri| uri.parse().unwrap()),
            scope: scope.parse().unwrap(),
            document_hash: document.map(TokenHash::of),
            granted_at: Timestamp::from_seconds(1000),
        }
    }

    async fn stored(store: &Store) -> Vec<Consent> {
        list(
            store,
            Id::from_bytes([1; 16]),
            &"https://c.example/m.json".parse().unwrap(),
        )
        .await
        .unwrap()
    }

    // SEC-14
    #[tokio::test]
    async fn an_agreement_comes_back_for_its_user_and_client_only() {
        let store = testing::open().await;
        let (with, without) = (
            consent(Some("https://gw.example/mcp"), "a b", Some("d")),
            consent(None, "a", None),
        );
        save(&store, &[with.clone(), without.clone()])
            .await
            .unwrap();
        let mut found = stored(&store).await;
        found.sort_by_key(|consent| consent.resource.is_none());
        assert_eq!(found, [with.clone(), without]);
        assert!(
            list(&store, Id::from_bytes([2; 16]), &with.client_id)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            list(&store, with.user, &"other".parse().unwrap())
                .await
                .unwrap()
                .is_empty()
        );
    }

    // SEC-19
    #[tokio::test]
    async fn scopes_add_up_under_one_document_and_start_anew_under_another() {
        let store = testing::open().await;
        for (scope, document, expected) in
            [("a b", "d1", "a b"), ("c", "d1", "a b c"), ("c", "d2", "c")]
        {
            save(
                &store,
                &[consent(
                    Some("https://gw.example/mcp"),
                    scope,
                    Some(document),
                )],
            )
            .await
            .unwrap();
            let [only] = stored(&store).await.try_into().unwrap();
            assert_eq!(only.scope, expected.parse().unwrap());
        }
    }

    // AS-30
    #[tokio::test]
    async fn spellings_of_one_resource_are_one_agreement() {
        let store = testing::open().await;
        save(
            &store,
            &[consent(Some("https://gw.example/mcp"), "a", None)],
        )
        .await
        .unwrap();
        save(
            &store,
            &[consent(Some("HTTPS://GW.example:443/mcp/"), "b", None)],
        )
        .await
        .unwrap();
        assert_eq!(stored(&store).await.len(), 1);
    }

    // SEC-18
    #[tokio::test]
    async fn a_client_is_known_from_the_first_agreement_on() {
        let store = testing::open().await;
        let consent = consent(None, "a", None);
        assert!(!knows_client(&store, &consent.client_id).await.unwrap());
        save(&store, std::slice::from_ref(&consent)).await.unwrap();
        assert!(knows_client(&store, &consent.client_id).await.unwrap());
        let lifetimes = Lifetimes::default();
        revoke(
            &store,
            consent.user,
            &consent.client_id,
            &lifetimes,
            consent.granted_at,
        )
        .await
        .unwrap();
        assert!(!knows_client(&store, &consent.client_id).await.unwrap());
    }

    // SEC-46
    #[tokio::test]
    async fn a_consent_that_is_revoked_takes_tokens_and_codes_of_that_client_with_it() {
        let store = testing::open().await;
        let alice = User::new(
            Id::from_bytes([1; 16]),
            "demo".parse().unwrap(),
            "alice".parse().unwrap(),
            sample::NOW,
        );
        user::insert(&store, &alice).await.unwrap();
        let mine = Consent {
            client_id: sample::grant().client_id,
            ..consent(None, "a", None)
        };
        let other = Consent {
            client_id: "other".parse().unwrap(),
            ..mine.clone()
        };
        save(&store, &[mine.clone(), other.clone()]).await.unwrap();
        let granted = model::grant::Grant {
            user: alice.id,
            ..sample::grant()
        };
        for code in ["redeemed", "unused"] {
            grant::insert(&store, TokenHash::of(code), &granted)
                .await
                .unwrap();
        }
        let family = model::refresh::Family {
            user: alice.id,
            client_id: mine.client_id.clone(),
            ..sample::family(1)
        };
        grant::redeem(&store, TokenHash::of("redeemed"), &family, sample::NOW)
            .await
            .unwrap();
        let lifetimes = Lifetimes::default();
        let revoked = revoke(&store, alice.id, &mine.client_id, &lifetimes, sample::NOW)
            .await
            .unwrap();
        let expected = Revoked {
            consents: 1,
            grants: 1,
        };
        assert_eq!(revoked, expected);
        let id = family.id.to_string();
        assert!(store.revocations().is_revoked(&id));
        let unused = grant::load(&store, TokenHash::of("unused")).await.unwrap();
        assert_eq!(unused, None);
        let left = of_realm(&store, &alice.realm, None).await.unwrap();
        let expected = Listed {
            consent: other,
            username: alice.username.clone(),
        };
        assert_eq!(left, [expected]);
        let elsewhere = of_realm(&store, &"other".parse().unwrap(), None).await;
        assert_eq!(elsewhere.unwrap(), []);
    }
}
