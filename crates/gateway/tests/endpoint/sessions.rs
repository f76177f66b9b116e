//! Sessions of legacy clients.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Method;
use serde_json::json;
use testkit::fake_mcp::Script;

use crate::world::{LEGACY, MODERN, World, world, world_with};

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_lives_from_initialize_to_delete() {
    let world = world(Script::dual()).await;
    let id = world.alice().initialize().await;
    assert!(!id.is_empty());
    let alice = world.alice().with("mcp-session-id", id);
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    let answer = alice.post(&[("mcp-protocol-version", LEGACY)], note).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.text().await, "");
    assert_eq!(alice.legacy("tools/list", json!({})).await.status, 200);
    assert_eq!(
        alice.send(Method::DELETE, "/mcp", &[], "").await.status,
        204
    );
    assert_eq!(alice.legacy("tools/list", json!({})).await.status, 404);
    assert_eq!(
        alice.send(Method::DELETE, "/mcp", &[], "").await.status,
        404
    );
}

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_unknown_session_is_not_found() {
    let world = world(Script::dual()).await;
    let alice = world.alice().with("mcp-session-id", "nonsense");
    let answer = alice.legacy("tools/list", json!({})).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json().await["id"], 1);
    assert_eq!(alice.send(Method::GET, "/mcp", &[], "").await.status, 404);
}

// TL-10, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_session_of_somebody_else_is_not_found() {
    let world = world(Script::dual()).await;
    let id = world.alice().initialize().await;
    let mallory = world.mallory().with("mcp-session-id", id.clone());
    assert_eq!(mallory.legacy("tools/list", json!({})).await.status, 404);
    assert_eq!(
        mallory.send(Method::DELETE, "/mcp", &[], "").await.status,
        404
    );
    let alice = world.alice().with("mcp-session-id", id);
    assert_eq!(alice.legacy("tools/list", json!({})).await.status, 200);
}

// TL-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_survives_a_refreshed_token_and_its_own_expiry_ends_it() {
    let world = world(Script::dual()).await;
    let id = world.alice().initialize().await;
    world.clock.advance(Duration::from_hours(1));
    let later = world.alice().with("mcp-session-id", id.clone());
    assert_eq!(later.legacy("tools/list", json!({})).await.status, 200);
    world.clock.advance(Duration::from_hours(24));
    let too_late = world.alice().with("mcp-session-id", id);
    assert_eq!(too_late.legacy("tools/list", json!({})).await.status, 404);
}

// §3.8-5: some clients drop the id
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_drops_its_session_id_is_served() {
    let world = world(Script::dual()).await;
    assert_eq!(
        world.alice().legacy("tools/list", json!({})).await.status,
        200
    );
    assert_eq!(
        world.alice().call(LEGACY, "echo", json!({})).await.status,
        200
    );
}

// TL-1, TM-14
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn get_is_a_stream_for_sessions_and_nothing_for_others() {
    let world = world(Script::dual()).await;
    assert_eq!(
        world
            .alice()
            .send(Method::GET, "/mcp", &[], "")
            .await
            .status,
        405
    );
    let modern = world.alice().with("mcp-protocol-version", MODERN);
    assert_eq!(modern.send(Method::GET, "/mcp", &[], "").await.status, 405);
    assert_eq!(
        modern.send(Method::DELETE, "/mcp", &[], "").await.status,
        405
    );
    let id = world.alice().initialize().await;
    let alice = world
        .alice()
        .with("mcp-session-id", id)
        .with("accept", "text/event-stream");
    let answer = alice.send(Method::GET, "/mcp", &[], "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/event-stream")
    );
}

/// Waits until a stream ends.
async fn end_of(mut events: impl futures_util::Stream<Item = bytes::Bytes> + Unpin) {
    let end = async { while events.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), end)
        .await
        .unwrap();
}

// TL-1, TL-3, TL-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_stream_of_a_session_ends_with_it_and_gives_way_to_another() {
    let world = world_with(Script::dual(), |settings| {
        settings.limits.keep_alive = Duration::from_millis(20);
    })
    .await;
    let id = world.alice().initialize().await;
    let alice = world
        .alice()
        .with("mcp-session-id", id.clone())
        .with("accept", "text/event-stream");
    let open = async || alice.send(Method::GET, "/mcp", &[], "").await.stream();
    let (first, mut second) = (open().await, open().await);
    end_of(first).await;
    assert_eq!(second.next().await.unwrap(), mcp::sse::KEEP_ALIVE);
    let delete = alice.send(Method::DELETE, "/mcp", &[], "").await;
    assert_eq!(delete.status, 204);
    end_of(second).await;

    let id = world.alice().initialize().await;
    let in_two_days = world.claims_with("exp", json!(1_800_000_000 + 2 * 86_400));
    let alice = world
        .holder(world.idp.token(&in_two_days).unwrap())
        .with("mcp-session-id", id)
        .with("accept", "text/event-stream");
    let third = alice.send(Method::GET, "/mcp", &[], "").await.stream();
    world.clock.advance(Duration::from_hours(25));
    end_of(third).await;
}

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_ended_stays_ended_after_a_reload_and_others_go_on() {
    let mut world = world(Script::dual()).await;
    let [ended, open] = [
        world.alice().initialize().await,
        world.alice().initialize().await,
    ];
    let of = |id: &String| world.alice().with("mcp-session-id", id.clone());
    let delete = of(&ended).send(Method::DELETE, "/mcp", &[], "").await;
    assert_eq!(delete.status, 204);
    world.reload();
    let of = |id: &String| world.alice().with("mcp-session-id", id.clone());
    assert_eq!(of(&ended).legacy("ping", json!({})).await.status, 404);
    assert_eq!(of(&open).legacy("ping", json!({})).await.status, 200);
}

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_ended_stays_ended_at_other_nodes_and_after_a_restart() {
    let mut world = world_with(Script::dual(), |settings| {
        settings.limits.keep_alive = Duration::from_millis(20);
    })
    .await;
    let [ended, open] = [
        world.alice().initialize().await,
        world.alice().initialize().await,
    ];
    let send = async |world: &World, id: &String, method: Method| {
        let alice = world.alice().with("mcp-session-id", id.clone());
        let alice = alice.with("accept", "text/event-stream");
        alice.send(method, "/mcp", &[], "").await
    };
    let ping = async |world: &World, id: &String| {
        let alice = world.alice().with("mcp-session-id", id.clone());
        alice.legacy("ping", json!({})).await.status.as_u16()
    };
    // A stream of the session that is open at the other node.
    let stream = send(&world, &ended, Method::GET).await.stream();
    let here = world.gateway.clone();
    world.gateway = world.another_node();
    let delete = send(&world, &ended, Method::DELETE).await;
    assert_eq!(delete.status, 204);
    end_of(stream).await;
    world.gateway = here;
    assert_eq!(ping(&world, &ended).await, 404);
    assert_eq!(ping(&world, &open).await, 200);
    world.gateway = world.another_node();
    assert_eq!(ping(&world, &ended).await, 404);
    assert_eq!(ping(&world, &open).await, 200);
}

// TL-4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn responses_of_legacy_clients_are_taken_note_of() {
    let world = world(Script::dual()).await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string();
    assert_eq!(
        world
            .alice()
            .post(&[("mcp-protocol-version", LEGACY)], body.clone())
            .await
            .status,
        202
    );
    let answer = world
        .alice()
        .post(&[("mcp-protocol-version", MODERN)], body)
        .await;
    assert_eq!(answer.refusal().await, (400, -32600));
}
