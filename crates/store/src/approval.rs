//! Hosts of client metadata documents that an administrator decides about, once each (SEC-34).

use model::clock::Timestamp;
use model::realm::RealmName;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::row::{Record, Row};
use crate::statement::sql;

/// How many hosts of a realm may wait for a decision. Strangers ask for them; there must be an end (SEC-33).
pub const MOST_PENDING: u32 = 1000;

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Pending,
    /// Its clients may come.
    Approved,
    /// Its clients may not come.
    Denied,
}

impl Verdict {
    /// The word in the database and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// A host that was asked for or decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The host, in lower case.
    pub host: String,
    /// What was decided.
    pub verdict: Verdict,
    /// When it was first asked for.
    pub requested_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

/// The verdict about a host; one that was never asked for is noted as pending, unless [`MOST_PENDING`] are already.
pub async fn ask(
    store: &Store,
    realm: &RealmName,
    host: &str,
    now: Timestamp,
) -> Result<Verdict, Error> {
    if let Some(verdict) = load(store, realm, host).await? {
        return Ok(verdict);
    }
    let statement = sql(query::APPROVAL_REQUEST).bind(realm).bind(host);
    store
        .execute(statement.bind(now).bind(MOST_PENDING))
        .await?;
    Ok(load(store, realm, host).await?.unwrap_or(Verdict::Pending))
}

/// Decides about a host, whether it was asked for or not.
pub async fn decide(
    store: &Store,
    realm: &RealmName,
    host: &str,
    verdict: Verdict,
    now: Timestamp,
) -> Result<(), Error> {
    let statement = sql(query::APPROVAL_DECIDE).bind(realm).bind(host);
    store
        .execute(statement.bind(verdict.as_str()).bind(now))
        .await?;
    Ok(())
}

/// All hosts of a realm, the last that was asked for first.
pub async fn list(store: &Store, realm: &RealmName) -> Result<Vec<Approval>, Error> {
    store.many(sql(query::APPROVAL_LIST).bind(realm)).await
}

/// The verdict about a host; nothing is noted for one that was never asked for.
pub async fn load(store: &Store, realm: &RealmName, host: &str) -> Result<Option<Verdict>, Error> {
    let statement = sql(query::APPROVAL_LOAD).bind(realm).bind(host);
    let found: Option<Approval> = store.one(statement).await?;
    Ok(found.map(|approval| approval.verdict))
}

impl Row for Approval {
    const TABLE: &'static str = "host_approval";
    const KEY: &'static str = "host";

    fn read(row: &Record<'_>) -> Result<Self, Error> {
        Ok(Self {
            host: row.text("host")?,
            verdict: match row.text("verdict")?.as_str() {
                "pending" => Verdict::Pending,
                "approved" => Verdict::Approved,
                "denied" => Verdict::Denied,
                _ => return Err(row.inconsistent("verdict")),
            },
            requested_at: row.time("requested_at")?,
            decided_at: row.optional_time("decided_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NOW: Timestamp = Timestamp::from_seconds(1000);

    // SEC-34
    #[tokio::test]
    async fn a_host_is_pending_until_it_is_decided() {
        let store = testing::open().await;
        let realm: RealmName = "demo".parse().unwrap();
        assert_eq!(
            ask(&store, &realm, "claude.ai", NOW).await.unwrap(),
            Verdict::Pending
        );
        decide(&store, &realm, "claude.ai", Verdict::Approved, NOW)
            .await
            .unwrap();
        assert_eq!(
            ask(&store, &realm, "claude.ai", NOW).await.unwrap(),
            Verdict::Approved
        );
        decide(&store, &realm, "evil.example", Verdict::Denied, NOW)
            .await
            .unwrap();
        assert_eq!(
            ask(&store, &realm, "evil.example", NOW).await.unwrap(),
            Verdict::Denied
        );
        assert_eq!(
            ask(&store, &"other".parse().unwrap(), "claude.ai", NOW)
                .await
                .unwrap(),
            Verdict::Pending
        );
        let hosts: Vec<_> = list(&store, &realm)
            .await
            .unwrap()
            .into_iter()
            .map(|approval| (approval.host, approval.verdict))
            .collect();
        assert_eq!(
            hosts,
            [
                ("claude.ai".to_owned(), Verdict::Approved),
                ("evil.example".to_owned(), Verdict::Denied)
            ]
        );
    }

    // SEC-33, SEC-34
    #[tokio::test]
    async fn strangers_cannot_fill_the_list_without_end() {
        let store = testing::open().await;
        let realm: RealmName = "demo".parse().unwrap();
        let asks = (0..MOST_PENDING + 20).map(|number| {
            let (store, realm) = (&store, &realm);
            async move { ask(store, realm, &format!("h{number}.example"), NOW).await }
        });
        // One after the other: nodes that ask at the same moment may exceed the bound by their number.
        for ask in asks {
            assert_eq!(ask.await.unwrap(), Verdict::Pending);
        }
        assert_eq!(list(&store, &realm).await.unwrap().len(), 1000);
    }
}
