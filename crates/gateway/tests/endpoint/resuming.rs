//! Answers that are streams go on where they broke off, for the client whose they are and for nobody else (TL-6, TL-7).

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::Method;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, Script};

use crate::world::{Actor, Answer, LEGACY, World, world};

/// An event as it came.
#[derive(Debug, Default, Clone)]
struct Event {
    id: String,
    retry: String,
    data: String,
}

/// The next event; none at the end. Comments are none.
async fn next(pieces: &mut (impl Stream<Item = Bytes> + Unpin)) -> Option<Event> {
    let mut text = String::new();
    let reading = async {
        loop {
            text.push_str(std::str::from_utf8(&pieces.next().await?).unwrap());
            if text.starts_with(':') {
                text.clear();
            }
            if text.ends_with("\n\n") {
                return Some(());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("an event or the end")?;
    let mut event = Event::default();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim_start().to_owned();
        match name {
            "id" => event.id = value,
            "retry" => event.retry = value,
            "data" => event.data = value,
            _ => {}
        }
    }
    Some(event)
}

async fn rest(answer: Answer) -> Vec<Event> {
    let mut pieces = answer.stream();
    let mut all = Vec::new();
    while let Some(event) = next(&mut pieces).await {
        all.push(event);
    }
    all
}

fn message(event: &Event) -> Value {
    // A number that nothing else here can read.
    let text = event.data.replace("1E400", "1");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("a message: {event:?}"))
}

/// A client with a session, that fills in forms.
async fn in_session(actor: Actor<'_>) -> Actor<'_> {
    let id = actor.initialize_with(json!({"elicitation": {}})).await;
    actor.with("mcp-session-id", id)
}

/// Comes back with the id of the last event.
async fn come_back(actor: &Actor<'_>, last: &str) -> Answer {
    let headers = [
        ("mcp-protocol-version", LEGACY),
        ("accept", "text/event-stream"),
        ("last-event-id", last),
    ];
    actor.send(Method::GET, "/mcp", &headers, "").await
}

async fn answer_question(actor: &Actor<'_>, question: &Event) {
    let id = &message(question)["id"];
    let result = json!({"action": "accept", "content": {"name": "Ada"}});
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    let taken = actor.post(&[("mcp-protocol-version", LEGACY)], body).await;
    assert_eq!(taken.status, 202);
}

/// Of both eras, which ask in the middle of a call.
async fn worlds() -> Vec<World> {
    let mut all = Vec::new();
    for script in [Script::legacy(), Script::modern()] {
        all.push(world(script).await);
    }
    all
}

// TL-6
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_is_primed_for_who_expects_that_and_its_events_have_ids() {
    let world = world(Script::legacy().over_sse()).await;
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "my-mcp-server___progress", "_meta": {"progressToken": "t"}},
    });
    for (version, primes) in [("2025-11-25", true), ("2025-06-18", false)] {
        let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let begun = world.alice().legacy("initialize", params).await;
        let id = begun.header("mcp-session-id").to_owned();
        let alice = world.alice().with("mcp-session-id", id);
        let headers = [("mcp-protocol-version", version)];
        let mut events = rest(alice.post(&headers, call.to_string()).await).await;
        if primes {
            let first = events.remove(0);
            assert_eq!((first.data.as_str(), first.retry.as_str()), ("", "1000"));
            assert!(!first.id.is_empty());
        }
        assert_eq!(events.len(), 4, "{version}: {events:?}");
        let ids: std::collections::HashSet<_> = events.iter().map(|event| &event.id).collect();
        assert_eq!(ids.len(), 4, "{events:?}");
        assert!(message(&events[3])["result"].is_object());
    }
    // Who has no session can't come back.
    let events = rest(
        world
            .alice()
            .post(&[("mcp-protocol-version", LEGACY)], call.to_string())
            .await,
    );
    assert!(events.await.iter().all(|event| event.id.is_empty()));
}

// TL-6, TL-7, TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_lost_the_connection_gets_the_rest_and_what_he_may_have_missed() {
    for world in worlds().await {
        let alice = in_session(world.alice()).await;
        let mut pieces = alice.call(LEGACY, "ask", json!({})).await.stream();
        let primed = next(&mut pieces).await.unwrap();
        let asked = next(&mut pieces).await.unwrap();
        drop(pieces);
        // From the beginning: the question once more.
        let mut pieces = come_back(&alice, &primed.id).await.stream();
        let again = next(&mut pieces).await.unwrap();
        assert_eq!((&again.id, &again.data), (&asked.id, &asked.data));
        drop(pieces);
        answer_question(&alice, &asked).await;
        // After the question: the answer.
        let events = rest(come_back(&alice, &asked.id).await).await;
        assert_eq!(events.len(), 1, "{events:?}");
        let answered = message(&events[0]);
        let text = answered["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("Ada"), "{answered}");
        assert_eq!(answered["id"], 1);
    }
}

// TL-6: one whose end we have not noticed yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_seems_open_gives_way_to_who_comes_back() {
    let world = world(Script::legacy()).await;
    let alice = in_session(world.alice()).await;
    let mut before = alice.call(LEGACY, "ask", json!({})).await.stream();
    let primed = next(&mut before).await.unwrap();
    let asked = next(&mut before).await.unwrap();
    let mut after = come_back(&alice, &asked.id).await.stream();
    assert!(next(&mut before).await.is_none());
    answer_question(&alice, &asked).await;
    assert!(message(&next(&mut after).await.unwrap())["result"].is_object());
    assert!(next(&mut after).await.is_none());
    drop(after);
    // What was read to its end is gone.
    let gone = async {
        while world.memory.open().resumable > 0 {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(10), gone).await;
    assert!(gone.is_ok());
    let mut fresh = come_back(&alice, &primed.id).await.stream();
    world.upstream.announce_tools_changed();
    world.upstream.change(|script| drop(script.tools.pop()));
    let event = next(&mut fresh).await.unwrap();
    assert_eq!(
        message(&event)["method"],
        "notifications/tools/list_changed"
    );
}

// TL-10, SEC-66: guessed, somebody else's, or from another session of one's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_else_gets_anything_of_a_stream() {
    let world = world(Script::legacy()).await;
    let alice = in_session(world.alice()).await;
    let mut pieces = alice.call(LEGACY, "ask", json!({})).await.stream();
    let primed = next(&mut pieces).await.unwrap();
    let asked = next(&mut pieces).await.unwrap();
    let (mallory, other) = (
        in_session(world.mallory()).await,
        in_session(world.alice()).await,
    );
    let (id, _) = primed.id.rsplit_once('.').unwrap();
    let forged = [
        id.to_owned(),
        format!("{id}.18446744073709551616"),
        format!("{id}.-1"),
        ".0".to_owned(),
        "\u{e9}.0".to_owned(),
    ];
    for (actor, last) in [(&mallory, &primed.id), (&other, &primed.id)]
        .into_iter()
        .chain(forged.iter().map(|last| (&alice, last)))
    {
        let mut stranger = come_back(actor, last).await.stream();
        let heard = tokio::time::timeout(Duration::from_millis(50), next(&mut stranger)).await;
        assert!(heard.is_err(), "{last}: {heard:?}");
    }
    answer_question(&alice, &asked).await;
    assert!(message(&next(&mut pieces).await.unwrap())["result"].is_object());
}

// TL-3, SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn of_a_session_that_ended_nothing_is_taken_up() {
    let world = world(Script::legacy()).await;
    let alice = in_session(world.alice()).await;
    let mut pieces = alice.call(LEGACY, "ask", json!({})).await.stream();
    let asked = [next(&mut pieces).await, next(&mut pieces).await];
    let ended = alice.send(Method::DELETE, "/mcp", &[], "").await;
    assert!(ended.status.is_success());
    let back = come_back(&alice, &asked[1].as_ref().unwrap().id).await;
    assert_eq!(back.status, 404);
}

// SEC-79: nobody reads, and the target talks on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_nobody_reads_is_kept_within_bounds() {
    let line = "x".repeat(60_000);
    let told = (0..20).map(|at| {
        let message = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": format!("{at} {line}")}});
        format!("data: {message}\n\n")
    });
    let end = "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n";
    let events: String = told.chain([end.to_owned()]).collect();
    let script = Script::legacy().on("tools/call echo", Act::Events(events));
    let world = world(script).await;
    let alice = in_session(world.alice()).await;
    let mut pieces = alice.call(LEGACY, "echo", json!({})).await.stream();
    let primed = next(&mut pieces).await.unwrap();
    drop(pieces);
    world
        .upstream
        .until("all was said", |_| world.memory.open().calls == 0)
        .await
        .unwrap();
    let events = rest(come_back(&alice, &primed.id).await).await;
    let (last, told) = events.split_last().unwrap();
    assert!(message(last)["result"].is_object());
    assert!((1..=5).contains(&told.len()), "{}", told.len());
    let newest = message(told.last().unwrap());
    assert!(
        newest["params"]["data"]
            .as_str()
            .unwrap()
            .starts_with("19 ")
    );
}
