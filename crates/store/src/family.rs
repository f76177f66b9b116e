//! Refresh families: one row each, moved by compare-and-swap, revoked together with their access tokens.

use std::time::Duration;

use model::clock::Timestamp;
use model::id::Id;
use model::realm::Lifetimes;
use model::refresh::{self, Family, Position, Presented, Refusal, Rule, UnverifiedToken};
use model::secret::Secret;
use model::session::Session;
use model::user::User;
use oauth::client_id::ClientId;
use serde_json::Map;
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::granted;
use crate::query;
use crate::revocation::{self, Entry};
use crate::row::{Record, Row};
use crate::statement::sql;

/// What verifiers tolerate of differing clocks, and a little more.
const LEEWAY: Duration = Duration::from_mins(2);

/// The family with this id.
pub async fn load(store: &Store, id: Id<Family>) -> Result<Option<Family>, Error> {
    store.one(sql(query::FAMILY_LOAD).bind(id)).await
}

/// The family of a refresh token, if the token is genuine. Whether it may be used is another question.
pub async fn by_token(store: &Store, token: &str) -> Result<Option<(Family, Presented)>, Error> {
    let Ok(token) = UnverifiedToken::parse(token) else {
        return Ok(None);
    };
    let Some(family) = load(store, token.family()).await? else {
        return Ok(None);
    };
    Ok(token
        .verify(store.refresh_key(), &family)
        .ok()
        .map(|presented| (family, presented)))
}

/// A refresh that passed.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// The family as it stands now.
    pub family: Family,
    /// Which rule let it pass.
    pub rule: Rule,
    /// The successor of the token.
    pub token: Secret<String>,
}

/// What came of a refresh token.
#[derive(Debug)]
pub enum Rotation {
    /// Its successor.
    Done(Box<Refreshed>),
    /// It has none.
    Refused(Refusal),
}

impl Rotation {
    /// The successor.
    ///
    /// # Errors
    /// Why there is none.
    pub fn refreshed(self) -> Result<Refreshed, Refusal> {
        match self {
            Self::Done(refreshed) => Ok(*refreshed),
            Self::Refused(refusal) => Err(refusal),
        }
    }
}

/// Refreshes by the rules of [`model::refresh`], in one transaction. Concurrent refreshes with one token get one
/// successor. A token that was used before revokes the family, which is done when this returns.
///
/// Check everything else about the request before: what this refuses need not be harmless.
pub async fn rotate(
    store: &Store,
    presented: &Presented,
    client_id: &ClientId,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Rotation, Error> {
    let until = forget_at(lifetimes, now);
    let state = (*presented, client_id.clone(), *lifetimes, now, until);
    let (outcome, revoked) = store
        .backend()
        .write(
            state,
            |(presented, client_id, lifetimes, now, until), connection| {
                Box::pin(async move {
                    loop {
                        let Some(family) = select(connection, presented.family()).await? else {
                            return Ok((Err(Refusal::Revoked), None));
                        };
                        match refresh::decide(&family, presented, client_id, lifetimes, *now) {
                            Ok(step) => {
                                let from = family.position;
                                let family = refresh::advance(family, &step, lifetimes, *now);
                                // Somebody else moved it since it was read: what it is now decides.
                                if step.rule != Rule::Repeat
                                    && !swap(connection, &family, from).await?
                                {
                                    continue;
                                }
                                return Ok((Ok((family, step)), None));
                            }
                            Err(Refusal::Reused) => {
                                let entry = revoke_one(connection, family.id, *now, *until).await?;
                                return Ok((Err(Refusal::Reused), entry));
                            }
                            Err(refusal) => return Ok((Err(refusal), None)),
                        }
                    }
                })
            },
        )
        .await?;
    store.revocations().add(revoked);
    Ok(match outcome {
        Ok((family, step)) => Rotation::Done(Box::new(Refreshed {
            token: family.token(store.refresh_key(), step.to),
            family,
            rule: step.rule,
        })),
        Err(refusal) => Rotation::Refused(refusal),
    })
}

/// Revokes a family with all its tokens. `false` if it was revoked before or does not exist; its access tokens are
/// revoked in either case.
pub async fn revoke(
    store: &Store,
    id: Id<Family>,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<bool, Error> {
    if store.revocations().has_family(&id.to_string()) {
        return Ok(false);
    }
    let state = (id, now, forget_at(lifetimes, now));
    let (revoked, entry) = store
        .backend()
        .write(state, |(id, now, until), connection| {
            Box::pin(async move {
                let revoked = revoke_one(connection, *id, *now, *until).await?;
                let entry = match revoked.clone() {
                    Some(entry) => entry,
                    None => revocation::append(connection, id.to_string(), *until).await?,
                };
                Ok((revoked.is_some(), entry))
            })
        })
        .await?;
    store.revocations().add([entry]);
    Ok(revoked)
}

/// Which families to revoke.
pub(crate) enum Which {
    Session(Id<Session>),
    Client(Id<User>, ClientId),
    OfClient(ClientId),
    User(Id<User>),
}

/// Revokes families as part of a transaction. What it gives is to be added to the memory once that is committed.
pub(crate) async fn revoke_within(
    connection: &mut AnyConnection,
    which: &Which,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Entry>, Error> {
    let statement = match which {
        Which::Session(id) => sql(query::FAMILY_REVOKE_SESSION).bind(*id),
        Which::User(id) => sql(query::FAMILY_REVOKE_USER).bind(*id),
        Which::Client(user, client_id) => {
            sql(query::FAMILY_REVOKE_CLIENT).bind(*user).bind(client_id)
        }
        Which::OfClient(client_id) => sql(query::FAMILY_REVOKE_OF_CLIENT).bind(client_id),
    };
    let revoked = statement.bind(now).many(&mut *connection).await?;
    let mut entries = Vec::new();
    for RevokedFamily(id) in revoked {
        entries.push(revocation::append(connection, id.to_string(), until).await?);
    }
    Ok(entries)
}

/// The column `id`.
struct RevokedFamily(Id<Family>);

impl Row for RevokedFamily {
    const TABLE: &'static str = Family::TABLE;
    const KEY: &'static str = Family::KEY;

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        row.parse("id").map(Self)
    }
}

/// Stores a new family, as part of the transaction that made it.
pub(crate) async fn insert(connection: &mut AnyConnection, family: &Family) -> Result<(), Error> {
    let (generation, branch) = parts(Some(family.position));
    let (previous_generation, previous_branch) = parts(family.previous);
    let statement = sql(query::FAMILY_INSERT)
        .bind(family.id)
        .bind(&family.granted.terms.realm)
        .bind(&family.granted.terms.client_id)
        .bind(family.granted.user)
        .bind(family.granted.session.map(|id| id.to_string()))
        .bind(granted::detail(&family.granted, Map::new()))
        .bind(generation)
        .bind(branch)
        .bind(previous_generation)
        .bind(previous_branch)
        .bind(family.rotated_at)
        .bind(family.created_at)
        .bind(family.idle_expires_at)
        .bind(family.absolute_expires_at)
        .bind(family.revoked_at)
        .bind(family.secret.expose().to_vec());
    statement.execute(connection).await?;
    Ok(())
}

async fn select(connection: &mut AnyConnection, id: Id<Family>) -> Result<Option<Family>, Error> {
    sql(query::FAMILY_LOAD).bind(id).one(connection).await
}

/// Compare-and-swap: moves the family if it still stands where it was read.
async fn swap(
    connection: &mut AnyConnection,
    family: &Family,
    from: Position,
) -> Result<bool, Error> {
    let (generation, branch) = parts(Some(family.position));
    let (previous_generation, previous_branch) = parts(family.previous);
    let statement = sql(query::FAMILY_ADVANCE)
        .bind(family.id)
        .bind(from.generation)
        .bind(from.branch)
        .bind(generation)
        .bind(branch)
        .bind(previous_generation)
        .bind(previous_branch)
        .bind(family.rotated_at)
        .bind(family.idle_expires_at);
    Ok(statement.execute(connection).await? == 1)
}

async fn revoke_one(
    connection: &mut AnyConnection,
    id: Id<Family>,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Entry>, Error> {
    let statement = sql(query::FAMILY_REVOKE).bind(id).bind(now);
    if statement.execute(&mut *connection).await? == 0 {
        return Ok(None);
    }
    revocation::append(connection, id.to_string(), until)
        .await
        .map(Some)
}

/// When the last access token that may exist now has expired everywhere, should the configured lifetime have been longer
/// when it was issued.
pub(crate) fn forget_at(lifetimes: &Lifetimes, now: Timestamp) -> Timestamp {
    now + Lifetimes::LONGEST_ACCESS_TOKEN.max(lifetimes.access_token) + LEEWAY
}

fn parts(position: Option<Position>) -> (Option<u32>, Option<u32>) {
    (
        position.map(|position| position.generation),
        position.map(|position| position.branch),
    )
}

impl Row for Family {
    const TABLE: &'static str = "family";
    const KEY: &'static str = "id";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let (granted, _) = granted::read(row)?;
        let previous = match (
            row.optional_integer("previous_generation")?,
            row.optional_integer("previous_branch")?,
        ) {
            (None, None) => None,
            (Some(_), Some(_)) => Some(Position {
                generation: row.count("previous_generation")?,
                branch: row.count("previous_branch")?,
            }),
            _ => return Err(row.inconsistent("previous_generation")),
        };
        Ok(Self {
            id: row.parse("id")?,
            granted,
            position: Position {
                generation: row.count("generation")?,
                branch: row.count("branch")?,
            },
            previous,
            rotated_at: row.time("rotated_at")?,
            created_at: row.time("created_at")?,
            idle_expires_at: row.time("idle_expires_at")?,
            absolute_expires_at: row.time("absolute_expires_at")?,
            revoked_at: row.optional_time("revoked_at")?,
            secret: Secret::new(row.array("secret")?),
        })
    }
}

#[cfg(test)]
mod tests;
