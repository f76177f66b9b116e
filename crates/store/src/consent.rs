//! What users agreed to (SEC-14, SEC-19).

use model::clock::Timestamp;
use model::consent::Consent;
use model::id::Id;
use model::realm::{Lifetimes, RealmName};
use model::session::Session;
use model::user::{User, Username};
use oauth::client_id::ClientId;
use oauth::resource::Resource;
use oauth::scope::ScopeSet;
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::family::{self, Which};
use crate::query;
use crate::row::{Record, Row};
use crate::statement::sql;
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
        let about = |text| {
            sql(text)
                .bind(consent.user)
                .bind(&consent.client_id)
                .bind(&consent.redirect_origin)
                .bind(resource_key(consent.resource.as_ref()))
        };
        let before = about(query::CONSENT_ONE)
            .one::<Consent>(&mut *connection)
            .await?;
        let scope = match before {
            Some(before) if before.document_hash == consent.document_hash => {
                before.scope.union(&consent.scope)
            }
            Some(_) | None => consent.scope.clone(),
        };
        let save = about(query::CONSENT_SAVE)
            .bind(&scope)
            .bind(consent.document_hash)
            .bind(consent.granted_at);
        save.execute(&mut *connection).await?;
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
    let statement = sql(query::CONSENT_HOLD).bind(user).bind(client_id);
    statement.many(connection).await
}

/// What a user agreed to for a client.
pub async fn list(
    store: &Store,
    user: Id<User>,
    client_id: &ClientId,
) -> Result<Vec<Consent>, Error> {
    store
        .many(sql(query::CONSENT_LIST).bind(user).bind(client_id))
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
        .many(sql(query::CONSENT_LIST_REALM).bind(realm).bind(user))
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
                    let about = |text| sql(text).bind(*user).bind(client_id);
                    let consents = about(query::CONSENT_DELETE)
                        .execute(&mut *connection)
                        .await?;
                    // Before the grants: what is made of a code meanwhile is among them.
                    about(query::CODE_DELETE_BY_CLIENT)
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
    let statement = sql(query::CONSENT_KNOWS_CLIENT).bind(client_id);
    store.exists(statement).await
}

/// One spelling per resource.
fn resource_key(resource: Option<&Resource>) -> String {
    resource.map_or_else(String::new, |uri| uri.canonical().to_owned())
}

impl Row for Consent {
    const TABLE: &'static str = "consent";
    const KEY: &'static str = "client_id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let resource = row.text("resource")?;
        Ok(Self {
            user: row.parse("account_id")?,
            client_id: row.parse("client_id")?,
            redirect_origin: row.text("redirect_origin")?,
            resource: if resource.is_empty() {
                None
            } else {
                Some(row.parse("resource")?)
            },
            scope: row.parse::<ScopeSet>("scope")?,
            document_hash: row.optional_hash("document_hash")?,
            granted_at: row.time("granted_at")?,
        })
    }
}

impl Row for Listed {
    const TABLE: &'static str = Consent::TABLE;
    const KEY: &'static str = Consent::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            consent: row.part()?,
            username: row.parse("username")?,
        })
    }
}

#[cfg(test)]
mod tests;
