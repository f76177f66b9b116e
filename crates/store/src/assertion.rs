//! Client assertions are used once, on whichever node (SEC-52).

use model::clock::Timestamp;
use model::secret::TokenHash;
use oauth::client_id::ClientId;

use crate::Store;
use crate::error::Error;
use crate::query;
use crate::statement::sql;

/// Marks the `jti` of a client's assertion as used. `false` if it was used before. It is remembered until
/// `expires_at`, when the assertion is worthless anyway.
pub async fn use_once(
    store: &Store,
    client_id: &ClientId,
    jti: &str,
    expires_at: Timestamp,
) -> Result<bool, Error> {
    let hash = TokenHash::of_all(&[client_id.as_str(), jti]);
    let statement = sql(query::ASSERTION_USE).bind(hash).bind(expires_at);
    Ok(store.execute(statement).await? == 1)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::testing;

    const LATER: Timestamp = Timestamp::from_seconds(2000);

    // SEC-52
    #[tokio::test(flavor = "multi_thread")]
    async fn of_fifty_concurrent_uses_one_succeeds() {
        let store = testing::open().await;
        let client = "client".parse().unwrap();
        let outcomes = join_all((0..50).map(|_| use_once(&store, &client, "jti", LATER))).await;
        assert_eq!(
            outcomes
                .into_iter()
                .filter(|outcome| *outcome.as_ref().unwrap())
                .count(),
            1
        );
    }

    // SEC-52
    #[tokio::test]
    async fn two_clients_may_use_the_same_jti() {
        let store = testing::open().await;
        assert!(
            use_once(&store, &"a".parse().unwrap(), "jti", LATER)
                .await
                .unwrap()
        );
        assert!(
            use_once(&store, &"b".parse().unwrap(), "jti", LATER)
                .await
                .unwrap()
        );
        assert!(
            !use_once(&store, &"a".parse().unwrap(), "jti", LATER)
                .await
                .unwrap()
        );
    }
}
