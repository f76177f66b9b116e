//! What users agreed to (SEC-14, SEC-19).

use model::consent::Consent;
use model::id::Id;
use model::secret::TokenHash;
use model::user::User;
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;
use sqlx::any::AnyRow;

use crate::Store;
use crate::error::Error;
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

/// Withdraws whatever a user agreed to for a client.
pub async fn withdraw(store: &Store, user: Id<User>, client_id: &ClientId) -> Result<(), Error> {
    store
        .backend()
        .write(
            (user, client_id.clone()),
            |(user, client_id), connection| {
                Box::pin(async move {
                    let query = sqlx::query(query::CONSENT_DELETE)
                        .bind(user.to_string())
                        .bind(client_id.to_string());
                    query.execute(connection).await?;
                    Ok(())
                })
            },
        )
        .await
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
    use model::clock::Timestamp;

    use super::*;
    use crate::testing;

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
        withdraw(&store, consent.user, &consent.client_id)
            .await
            .unwrap();
        assert!(!knows_client(&store, &consent.client_id).await.unwrap());
    }
}
