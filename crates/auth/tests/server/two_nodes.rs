//! Two nodes over one database: whatever one of them does holds for the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use model::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::world::client::{ClientWorld, refresh_form};

// SEC-43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_sign_with_one_key() {
    let (first, second) = ClientWorld::two_nodes().await;
    let (a, b) = tokio::join!(first.server.prepare(), second.server.prepare());
    a.and(b).unwrap();
    let (a, b) = tokio::join!(first.server.prepare_rest(), second.server.prepare_rest());
    a.and(b).unwrap();
    let (a, b) = (published_of(&first).await, published_of(&second).await);
    assert_eq!(a, b);
    assert_eq!(
        first.get("/jwks", &[]).await.json()["keys"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "one of each algorithm"
    );
}

async fn published_of(world: &ClientWorld) -> String {
    world.get("/jwks", &[]).await.body
}

// SEC-3
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_code_is_redeemed_once_on_all_nodes_together() {
    let (first, second) = ClientWorld::two_nodes().await;
    let code = first.code().await;
    let form = code.form("app");
    let answers = join_all((0..50).map(|n| {
        if n % 2 == 0 {
            first.token(&form)
        } else {
            second.token(&form)
        }
    }))
    .await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(won.len(), 1);
}

// SEC-48
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refreshes_on_different_nodes_get_the_same_successor() {
    let (first, second) = ClientWorld::two_nodes().await;
    let mut token = first.tokens().await.text("refresh_token");
    for _ in 0..10 {
        first.advance(600);
        let form = refresh_form("app", &token);
        let answers = join_all((0..8).map(|n| {
            if n % 2 == 0 {
                first.token(&form)
            } else {
                second.token(&form)
            }
        }))
        .await;
        let mut successors: Vec<_> = answers
            .iter()
            .map(|answer| answer.text("refresh_token"))
            .collect();
        successors.dedup();
        assert_eq!(successors.len(), 1);
        token = successors.remove(0);
    }
}

// SEC-46
#[tokio::test]
async fn a_revocation_reaches_the_other_node() {
    let (first, second) = ClientWorld::two_nodes().await;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    store::revocation::tail(
        &second.store,
        Arc::clone(&second.clock) as Arc<dyn Clock>,
        &tasks,
        stop.clone(),
    );
    let tokens = first.tokens().await;
    let access_token = tokens.text("access_token");
    first
        .post(
            "/revoke",
            &[],
            &[
                ("client_id", "app"),
                ("token", &tokens.text("refresh_token")),
            ],
        )
        .await;
    assert!(first.is_revoked(&access_token));
    let known = async {
        while !second.is_revoked(&access_token) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), known)
        .await
        .unwrap();
    let header = format!("Bearer {access_token}");
    assert_eq!(
        second
            .get("/userinfo", &[("authorization", &header)])
            .await
            .status,
        401
    );
    stop.cancel();
}

// SEC-43
#[tokio::test]
async fn a_token_of_one_node_is_good_on_the_other() {
    let (first, second) = ClientWorld::two_nodes().await;
    let header = format!("Bearer {}", first.tokens().await.text("access_token"));
    assert_eq!(
        second
            .get("/userinfo", &[("authorization", &header)])
            .await
            .status,
        200
    );
}
