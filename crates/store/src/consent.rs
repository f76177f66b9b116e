//! What users agreed to (SEC-14, SEC-19).

use model::clock::Timestamp;
use model::consent::Consent;
use model::id::Id;
use model::realm::{Lifetimes, RealmName};
use model::secret::TokenHash;
use model::session::Session;
use model::user::{User, Username};
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::Record;
use crate::{registration, session};

/// What agreements need, beside the user who makes them.
#[derive(Clone, Debug)]
pub struct Basis {
    /// The login session in which they are made.
    pub session: Id<Session>,
    /// The client, if it registered itself. It counts as used from then on.
    pub registered: Option<ClientId>,
}

/// What became of agreements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    /// They are stored.
    Stored,
    /// The session has ended meanwhile.
    SessionEnded,
    /// The registration of the client is gone meanwhile.
    Unregistered,
}

/// Stores agreements, all or none, if what they need is still there. It is held until they are stored, so that whoever ends
/// it comes before them, and is seen, or after them, and takes them along. Scopes agreed to earlier, under the same state of
/// the client's document, stay agreed to.
pub async fn agree(
    store: &Store,
    consents: &[Consent],
    basis: &Basis,
    now: Timestamp,
) -> Result<Agreed, Error> {
    store
        .backend()
        .write(
            (consents.to_vec(), basis.clone(), now),
            |(consents, basis, now), connection| {
                Box::pin(async move {
                    if !session::hold(connection, basis.session).await? {
                        return Ok(Agreed::SessionEnded);
                    }
                    if let Some(client_id) = &basis.registered
                        && !registration::hold(connection, client_id, *now).await?
                    {
                        return Ok(Agreed::Unregistered);
                    }
                    put(connection, consents).await?;
                    Ok(Agreed::Stored)
                })
            },
        )
        .await
}

/// Stores agreements that need nothing.
#[cfg(test)]
pub(crate) async fn save(store: &Store, consents: &[Consent]) -> Result<(), Error> {
    store
        .backend()
        .write(consents.to_vec(), |consents, connection| {
            Box::pin(put(connection, consents))
        })
        .await
}

async fn put(connection: &mut AnyConnection, consents: &[Consent]) -> Result<(), Error> {
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
}

/// Holds what a user agreed to for a client, as part of a transaction that depends on it, so that whoever takes it back comes
/// before that, and is seen, or after it, and ends what came of it.
pub(crate) async fn hold(
    connection: &mut AnyConnection,
    user: Id<User>,
    client_id: &ClientId,
) -> Result<Vec<Consent>, Error> {
    let query = sqlx::query(query::CONSENT_HOLD)
        .bind(user.to_string())
        .bind(client_id.to_string());
    query
        .fetch_all(connection)
        .await?
        .iter()
        .map(read)
        .collect()
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
mod tests;
