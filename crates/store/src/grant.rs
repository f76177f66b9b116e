//! Authorization codes: stored as hashes, redeemed once by one `UPDATE` that only the first finds a row for.

use model::clock::Timestamp;
use model::consent::Ask;
use model::grant::{Grant, Stage};
use model::granted::verified_redirect_uri;
use model::id::Id;
use model::refresh::Family;
use model::secret::TokenHash;
use model::text;
use oauth::pkce::CodeChallenge;
use oauth::redirect_uri::RedirectUri;
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use crate::Store;
use crate::error::Error;
use crate::row::{self, Record, Row};
use crate::statement::sql;
use crate::{consent, family, granted, query, session};

/// Stores a grant under the hash of its code.
pub async fn insert(store: &Store, code: TokenHash, grant: &Grant) -> Result<(), Error> {
    store
        .backend()
        .write((code, grant.clone()), |(code, grant), connection| {
            Box::pin(put(connection, *code, grant))
        })
        .await
}

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// It is stored.
    Stored,
    /// The login session has ended meanwhile.
    SessionEnded,
    /// The user's consent to what is asked was taken back meanwhile, or never covered it.
    ConsentRevoked,
}

/// Like [`insert`], if the login session of the grant has not ended since it was looked at, and the user still agrees to
/// what is asked; `None` asks nothing. Both are held until the code is there, so that whoever ends them comes before the
/// code, and is seen, or after it, and ends it.
pub async fn issue(
    store: &Store,
    code: TokenHash,
    grant: &Grant,
    ask: Option<&Ask>,
) -> Result<Issued, Error> {
    store
        .backend()
        .write(
            (code, grant.clone(), ask.cloned()),
            |(code, grant, ask), connection| {
                Box::pin(async move {
                    if let Some(session) = grant.granted.session
                        && !session::hold(connection, session).await?
                    {
                        return Ok(Issued::SessionEnded);
                    }
                    if let Some(ask) = ask {
                        let agreed = consent::hold(
                            connection,
                            grant.granted.user,
                            &grant.granted.terms.client_id,
                        )
                        .await?;
                        if ask.missing(&agreed).is_some() {
                            return Ok(Issued::ConsentRevoked);
                        }
                    }
                    put(connection, *code, grant).await?;
                    Ok(Issued::Stored)
                })
            },
        )
        .await
}

async fn put(connection: &mut AnyConnection, code: TokenHash, grant: &Grant) -> Result<(), Error> {
    let statement = sql(query::CODE_INSERT)
        .bind(code)
        .bind(&grant.granted.terms.realm)
        .bind(&grant.granted.terms.client_id)
        .bind(grant.granted.user)
        .bind(detail(grant))
        .bind(grant.issued_at)
        .bind(grant.expires_at);
    statement.execute(connection).await?;
    Ok(())
}

/// The grant under the hash of a code, redeemed or not.
pub async fn load(store: &Store, code: TokenHash) -> Result<Option<Grant>, Error> {
    store.one(sql(query::CODE_LOAD).bind(code)).await
}

/// What a redemption found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// This was the first: the family is stored.
    First,
    /// The code was redeemed before. Nothing is stored; the first family is to be revoked (SEC-3).
    Replayed {
        /// What came of the first redemption.
        family: Id<Family>,
    },
    /// There is no such code, or it has expired.
    Gone,
}

/// Redeems a code for a family, in one transaction: of all who try, one stores its family.
pub async fn redeem(
    store: &Store,
    code: TokenHash,
    family: &Family,
    now: Timestamp,
) -> Result<Redemption, Error> {
    store
        .backend()
        .write(
            (code, family.clone(), now),
            |(code, family, now), connection| {
                Box::pin(async move {
                    let take = sql(query::CODE_TAKE).bind(*code).bind(*now).bind(family.id);
                    if take.execute(&mut *connection).await? == 1 {
                        family::insert(connection, family).await?;
                        return Ok(Redemption::First);
                    }
                    let load = sql(query::CODE_LOAD).bind(*code);
                    let Some(found) = load.one::<Grant>(connection).await? else {
                        return Ok(Redemption::Gone);
                    };
                    match found.stage {
                        Stage::Redeemed { family, .. } => Ok(Redemption::Replayed { family }),
                        Stage::Issued => Ok(Redemption::Gone),
                    }
                })
            },
        )
        .await
}

/// What the column `detail` says besides what was granted.
#[derive(Serialize, Deserialize)]
struct Besides {
    #[serde(with = "verified_redirect_uri")]
    redirect_uri: RedirectUri,
    #[serde(with = "text::maybe")]
    challenge: Option<CodeChallenge>,
}

fn detail(grant: &Grant) -> String {
    let besides = Besides {
        redirect_uri: grant.redirect_uri.clone(),
        challenge: grant.challenge,
    };
    granted::detail(&grant.granted, row::members(&besides))
}

impl Row for Grant {
    const TABLE: &'static str = "code_grant";
    const KEY: &'static str = "code_hash";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        let (granted, detail) = granted::read(row)?;
        let besides = Besides::deserialize(&detail).map_err(|_| row.inconsistent("detail"))?;
        let stage = match (
            row.optional_time("redeemed_at")?,
            row.optional_text("family_id")?,
        ) {
            (None, None) => Stage::Issued,
            (Some(at), Some(family)) => Stage::Redeemed {
                at,
                family: family.parse().map_err(|_| row.inconsistent("family_id"))?,
            },
            _ => return Err(row.inconsistent("redeemed_at")),
        };
        Ok(Self {
            granted,
            redirect_uri: besides.redirect_uri,
            challenge: besides.challenge,
            issued_at: row.time("issued_at")?,
            expires_at: row.time("expires_at")?,
            stage,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use futures_util::future::join_all;

    use model::realm::Lifetimes;
    use model::user::User;

    use super::*;
    use crate::standing::{self, Change};
    use crate::testing::{self, sample};
    use crate::user;

    #[tokio::test]
    async fn a_grant_comes_back_as_it_was() {
        let store = testing::open().await;
        let code = TokenHash::of("code");
        let full = sample::grant();
        insert(&store, code, &full).await.unwrap();
        assert_eq!(load(&store, code).await.unwrap(), Some(full.clone()));
        let mut sparse = Grant {
            challenge: None,
            ..full
        };
        sparse.granted.session = None;
        sparse.granted.terms.nonce = None;
        sparse.granted.terms.resources = Vec::new();
        insert(&store, TokenHash::of("other"), &sparse)
            .await
            .unwrap();
        assert_eq!(
            load(&store, TokenHash::of("other")).await.unwrap(),
            Some(sparse)
        );
        assert_eq!(load(&store, TokenHash::of("unknown")).await.unwrap(), None);
    }

    // SEC-55
    #[tokio::test]
    async fn codes_of_a_user_that_nobody_redeemed_are_forgotten() {
        let store = testing::open().await;
        let grant = sample::grant();
        let mut other = grant.clone();
        other.granted.user = Id::from_bytes([9; 16]);
        let [used, unused, foreign] = ["used", "unused", "foreign"].map(TokenHash::of);
        for (code, grant) in [(used, &grant), (unused, &grant), (foreign, &other)] {
            insert(&store, code, grant).await.unwrap();
        }
        redeem(&store, used, &sample::family(1), sample::NOW)
            .await
            .unwrap();
        let user = User::new(
            grant.granted.user,
            grant.granted.terms.realm.clone(),
            "alice".parse().unwrap(),
            sample::NOW,
        );
        user::insert(&store, &user).await.unwrap();
        let lifetimes = Lifetimes::default();
        standing::change(&store, user.id, Change::Disabled, &lifetimes, sample::NOW)
            .await
            .unwrap();
        assert_eq!(
            redeem(&store, unused, &sample::family(2), sample::NOW)
                .await
                .unwrap(),
            Redemption::Gone
        );
        // A replay of the other is still recognized (SEC-3).
        assert!(load(&store, used).await.unwrap().is_some());
        assert!(load(&store, foreign).await.unwrap().is_some());
    }

    // SEC-3
    #[tokio::test]
    async fn the_second_redemption_is_told_the_family_of_the_first() {
        let store = testing::open().await;
        let code = TokenHash::of("code");
        insert(&store, code, &sample::grant()).await.unwrap();
        let (first, second) = (sample::family(1), sample::family(2));
        assert_eq!(
            redeem(&store, code, &first, sample::NOW).await.unwrap(),
            Redemption::First
        );
        let replay = redeem(&store, code, &second, sample::NOW).await.unwrap();
        assert_eq!(replay, Redemption::Replayed { family: first.id });
        assert_eq!(family::load(&store, second.id).await.unwrap(), None);
        let stage = load(&store, code).await.unwrap().unwrap().stage;
        assert_eq!(
            stage,
            Stage::Redeemed {
                at: sample::NOW,
                family: first.id
            }
        );
    }

    // SEC-3
    #[tokio::test]
    async fn an_expired_or_unknown_code_yields_nothing() {
        let store = testing::open().await;
        let code = TokenHash::of("code");
        insert(&store, code, &sample::grant()).await.unwrap();
        let late = sample::NOW + Duration::from_mins(1);
        assert_eq!(
            redeem(&store, code, &sample::family(1), late)
                .await
                .unwrap(),
            Redemption::Gone
        );
        assert_eq!(
            redeem(&store, TokenHash::of("x"), &sample::family(1), sample::NOW)
                .await
                .unwrap(),
            Redemption::Gone
        );
        assert_eq!(
            family::load(&store, sample::family(1).id).await.unwrap(),
            None
        );
    }

    // SEC-3
    #[tokio::test(flavor = "multi_thread")]
    async fn of_fifty_concurrent_redemptions_one_wins() {
        let store = testing::open().await;
        let code = TokenHash::of("code");
        insert(&store, code, &sample::grant()).await.unwrap();
        let families: Vec<_> = (0..50).map(sample::family).collect();
        let outcomes = join_all(
            families
                .iter()
                .map(|family| redeem(&store, code, family, sample::NOW)),
        )
        .await;
        let winners: Vec<_> = families
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| matches!(outcome, Ok(Redemption::First)))
            .map(|(family, _)| family.id)
            .collect();
        assert_eq!(winners.len(), 1);
        let told: HashSet<_> = outcomes
            .iter()
            .filter_map(|outcome| match outcome.as_ref().unwrap() {
                Redemption::Replayed { family } => Some(*family),
                Redemption::First | Redemption::Gone => None,
            })
            .collect();
        assert_eq!(told, winners.into_iter().collect());
        let stored = join_all(
            families
                .iter()
                .map(|family| family::load(&store, family.id)),
        )
        .await;
        assert_eq!(
            stored
                .iter()
                .filter(|found| found.as_ref().unwrap().is_some())
                .count(),
            1
        );
    }
}
