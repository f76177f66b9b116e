//! Answers that come as streams: progress, requests of the server, cancellation, resumption.

use mcp::feature::Feature;
use std::time::Duration;

use mcp::method::Method;
use serde_json::{Value, json};
use targets::error::{CallError, Stage, Violation};
use targets::reply::{Message, Reply};
use testkit::fake_mcp::{Act, Script};
use tokio_util::sync::CancellationToken;

use crate::world::{answer, drain, result, text, tool_call, world, world_with};

const LOG: &str = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{ "n":1.0 }}}"#;

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn progress_arrives_with_the_clients_own_token() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script).await;
        let mut messages = drain(world.call_with_progress("progress").await).await;
        let Some(Ok(Message::Answer(last))) = messages.pop() else {
            panic!("an answer")
        };
        assert_eq!(text(&last), "done");
        assert_eq!(messages.len(), 3);
        for (step, message) in messages.into_iter().enumerate() {
            let Ok(Message::Notification { method, raw }) = message else {
                panic!("progress")
            };
            assert_eq!(method, Method::Progress);
            let wanted = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":{}, "progressToken":"mine","total":3,"x-odd":1.0}}}}"#,
                step + 1
            );
            assert_eq!(raw, wanted);
        }
        let sent = world.fake.seen_of("tools/call").pop().unwrap().json();
        assert_eq!(sent["params"]["_meta"]["progressToken"], sent["id"]);
    }
}

// TM-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_is_silent_for_long_is_passed_on_before_its_first_message() {
    for script in [Script::modern(), Script::legacy()] {
        let script = script.on("tools/call", Act::HangAfterHead);
        let world = world_with(script, |settings| {
            settings.timeouts.first_message = Duration::from_millis(20);
        })
        .await;
        let reply = world.call("echo", "{}").await;
        assert!(matches!(reply, Ok(Reply::Stream(_))), "{reply:?}");
    }
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_token_there_is_no_progress() {
    let events = concat!(
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$ID,\"progress\":1}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n",
    );
    let world = world(Script::modern().on("tools/call", Act::Events(events.to_owned()))).await;
    assert!(matches!(world.call("echo", "{}").await, Ok(Reply::One(_))));
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn progress_of_somebody_elses_call_is_dropped() {
    let events = concat!(
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"theirs\",\"progress\":1}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":0,\"progress\":1}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n",
    );
    let world = world(Script::modern().on("tools/call", Act::Events(events.to_owned()))).await;
    assert!(matches!(
        world.call_with_progress("echo").await,
        Ok(Reply::One(_))
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn log_messages_pass_byte_for_byte() {
    let events = format!(
        "data: {LOG}\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{{\"content\":[]}}}}\n\n"
    );
    let world = world(Script::legacy().on("tools/call", Act::Events(events))).await;
    let messages = drain(world.call("echo", "{}").await).await;
    let Ok(Message::Notification {
        method: Method::LogMessage,
        raw,
    }) = &messages[0]
    else {
        panic!("{messages:?}")
    };
    assert_eq!(raw, LOG);
}

// UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_of_a_legacy_server_in_mid_call_is_refused_and_the_call_goes_on() {
    let world = world(Script::legacy()).await;
    let said = text(&answer(world.call("ask", "{}").await));
    let said: Value = serde_json::from_str(&said).unwrap();
    let asked = said["id"].clone();
    assert!(asked.as_str().unwrap().starts_with("question-"));
    assert_eq!(said["error"]["code"], json!(-32601));
    let posted = world
        .fake
        .seen()
        .into_iter()
        .find(|seen| seen.json()["id"] == asked);
    assert!(posted.unwrap().header("mcp-session-id").is_some());
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_ping_of_a_legacy_server_in_mid_call_is_answered() {
    let events = concat!(
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n",
    );
    let world = world(Script::legacy().on("tools/call", Act::Events(events.to_owned()))).await;
    world.call("echo", "{}").await.unwrap();
    let pong = |seen: &testkit::fake_mcp::Seen| {
        seen.json() == json!({"jsonrpc": "2.0", "id": "p", "result": {}})
    };
    world
        .fake
        .until("the ping is answered", |fake| fake.seen().iter().any(pong))
        .await
        .unwrap();
}

/// So many pings in mid-call, and then the answer.
fn pings(count: usize) -> Act {
    let pings = "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n".repeat(count);
    Act::Events(pings + "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n")
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_pings_at_once_are_all_answered() {
    let world = world(Script::legacy().on("tools/call", pings(30))).await;
    world.call("echo", "{}").await.unwrap();
    world
        .fake
        .until("the pings are answered", |fake| {
            fake.seen_of("POST").len() == 30
        })
        .await
        .unwrap();
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_asks_for_more_than_it_takes_answers_is_given_up() {
    let long = "p".repeat(100_000);
    let long = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":\"{long}\",\"method\":\"ping\"}}\n\n");
    for act in [pings(1_000), Act::Events(long)] {
        let script = Script::legacy().on("tools/call", act).on("POST", Act::Hang);
        let world = world(script).await;
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(
            matches!(
                error,
                CallError::ProtocolViolation(Violation::TooManyRequests)
            ),
            "{error:?}"
        );
        world
            .fake
            .until("the server is told", |fake| {
                !fake.seen_of("notifications/cancelled").is_empty()
            })
            .await
            .unwrap();
    }
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn answers_that_a_server_does_not_take_hold_few_connections() {
    let script = Script::legacy()
        .on("tools/call", pings(30))
        .on("POST", Act::Hang);
    let world = world(script).await;
    for _ in 0..10 {
        world.call("echo", "{}").await.unwrap();
    }
    world
        .fake
        .until("answers are sent", |fake| fake.seen_of("POST").len() >= 8)
        .await
        .unwrap();
    let connections = world.fake.connections();
    assert!(connections <= 20, "{connections} connections");
}

// TM-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_of_a_modern_server_is_ignored() {
    let events = concat!(
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"q\",\"method\":\"sampling/createMessage\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"content\":[]}}\n\n",
    );
    let world = world(Script::modern().on("tools/call", Act::Events(events.to_owned()))).await;
    assert!(matches!(world.call("echo", "{}").await, Ok(Reply::One(_))));
    assert_eq!(world.fake.methods(), ["server/discover", "tools/call"]);
}

// D9, TM-13
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cancelling_a_modern_call_closes_its_stream() {
    for act in [
        Act::Hang,
        Act::HangAfterHead,
        Act::Drip(Duration::from_millis(10)),
    ] {
        let world = world(Script::modern().on("tools/call echo", act.clone())).await;
        let cancel = CancellationToken::new();
        let call = tool_call(
            "alice",
            "echo",
            r#"{"name":"echo","_meta":{"progressToken":1}}"#,
        );
        let calling = async { drain(world.call_with(call, cancel.clone()).await).await };
        let cancelling = async {
            world
                .fake
                .until("it is called", |fake| {
                    !fake.seen_of("tools/call").is_empty()
                })
                .await
                .unwrap();
            cancel.cancel();
        };
        let (messages, ()) = tokio::join!(calling, cancelling);
        assert!(
            matches!(messages.last(), Some(Err(CallError::Cancelled))),
            "{act:?}: {messages:?}"
        );
        world
            .fake
            .until("the stream is closed", |fake| {
                fake.abandoned() == ["tools/call echo"]
            })
            .await
            .unwrap();
        assert!(world.fake.seen_of("notifications/cancelled").is_empty());
    }
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cancelling_a_legacy_call_says_so() {
    for act in [
        Act::Hang,
        Act::HangAfterHead,
        Act::Drip(Duration::from_millis(10)),
    ] {
        let world = world(Script::legacy().on("tools/call echo", act.clone())).await;
        let cancel = CancellationToken::new();
        let call = tool_call(
            "alice",
            "echo",
            r#"{"name":"echo","_meta":{"progressToken":1}}"#,
        );
        let calling = async { drain(world.call_with(call, cancel.clone()).await).await };
        let cancelling = async {
            world
                .fake
                .until("it is called", |fake| {
                    !fake.seen_of("tools/call").is_empty()
                })
                .await
                .unwrap();
            cancel.cancel();
        };
        let (messages, ()) = tokio::join!(calling, cancelling);
        assert!(
            matches!(messages.last(), Some(Err(CallError::Cancelled))),
            "{act:?}: {messages:?}"
        );
        let is_told =
            |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("notifications/cancelled").is_empty();
        world
            .fake
            .until("the server is told", is_told)
            .await
            .unwrap();
        let told = world.fake.seen_of("notifications/cancelled").pop().unwrap();
        let called = world.fake.seen_of("tools/call").pop().unwrap();
        assert_eq!(told.json()["params"]["requestId"], called.json()["id"]);
        assert_eq!(
            told.header("mcp-session-id"),
            called.header("mcp-session-id")
        );
    }
}

// D9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn dropping_the_stream_cancels_the_call() {
    let drip = Act::Drip(Duration::from_millis(10));
    let modern = world(Script::modern().on("tools/call progress", drip.clone())).await;
    let Ok(Reply::Stream(mut stream)) = modern.call_with_progress("progress").await else {
        panic!("a stream")
    };
    assert!(matches!(
        stream.next().await,
        Some(Ok(Message::Notification { .. }))
    ));
    drop(stream);
    modern
        .fake
        .until("it is closed", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();

    let legacy = world(Script::legacy().on("tools/call progress", drip)).await;
    let reply = legacy.call_with_progress("progress").await;
    drop(reply);
    let is_told =
        |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("notifications/cancelled").is_empty();
    legacy
        .fake
        .until("the server is told", is_told)
        .await
        .unwrap();
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_finished_call_is_not_cancelled() {
    for script in [Script::legacy(), Script::legacy().over_sse()] {
        let world = world(script).await;
        world.call("echo", "{}").await.unwrap();
        drain(world.call_with_progress("progress").await).await;
        // Anything that was spawned has run by the time this is answered.
        world.call("echo", "{}").await.unwrap();
        world.tracker.close();
        world.tracker.wait().await;
        assert!(world.fake.seen_of("notifications/cancelled").is_empty());
    }
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn progress_does_not_prolong_a_call_for_ever() {
    for script in [Script::modern(), Script::legacy()] {
        let script = script.on("tools/call progress", Act::Drip(Duration::from_millis(20)));
        let world = world_with(script, |settings| {
            settings.timeouts.total = Duration::from_millis(400);
            settings.timeouts.idle = Duration::from_millis(200);
        })
        .await;
        let messages = drain(world.call_with_progress("progress").await).await;
        let last = messages.last();
        assert!(
            matches!(last, Some(Err(CallError::TimedOut(Stage::Total)))),
            "{last:?}"
        );
        assert!(messages.len() > 3);
        world
            .fake
            .until("it is closed", |fake| !fake.abandoned().is_empty())
            .await
            .unwrap();
    }
}

// UC-8, TL-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_stream_that_was_ended_early_is_taken_up_again() {
    let first = "id: 7\nretry: 10\ndata:\n\n";
    let second = "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"late\":true}}\n\n";
    let script = Script::legacy()
        .on("tools/call", Act::Events(first.to_owned()))
        .on("GET", Act::Events(second.to_owned()));
    let world = world(script).await;
    // Our ids count up: discover, initialize of ours, initialize of alice's, the call.
    world.fake.change(|script| {
        for (what, act) in &mut script.acts {
            if what == "GET" {
                *act = Act::Events(second.replace("\"id\":2", "\"id\":4"));
            }
        }
    });
    let answer = answer(world.call("echo", "{}").await);
    assert_eq!(result(&answer), r#"{"late":true}"#);
    let get = world.fake.seen_of("GET").pop().unwrap();
    assert_eq!(get.header("last-event-id"), Some("7"));
    assert!(get.header("mcp-session-id").is_some());
}

// UC-8, TL-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_is_taken_up_again_however_often_the_future_is_dropped() {
    let first = format!("id: 7\nretry: 400\ndata: {LOG}\n\n");
    let second = "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"late\":true}}\n\n";
    let late = Box::new(Act::Events(second.to_owned()));
    let script = Script::legacy()
        .on("tools/call", Act::Events(first))
        .on("GET", Act::After(Duration::from_millis(400), late));
    let world = world(script).await;
    let Ok(Reply::Stream(mut stream)) = world.call("echo", "{}").await else {
        panic!("a stream")
    };
    let log = stream.next().await;
    assert!(
        matches!(log, Some(Ok(Message::Notification { .. }))),
        "{log:?}"
    );
    // As the gateway does it, between two comments that keep its client's connection alive.
    let last = loop {
        let patience = Duration::from_millis(20);
        if let Ok(message) = tokio::time::timeout(patience, stream.next()).await {
            break message;
        }
    };
    let Some(Ok(Message::Answer(answer))) = last else {
        panic!("an answer: {last:?}")
    };
    assert_eq!(result(&answer), r#"{"late":true}"#);
    assert_eq!(world.fake.seen_of("GET").len(), 1);
}

// UC-8, TL-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_wants_no_pause_is_not_asked_without_one() {
    let primed = Act::Events("id: 7\nretry: 0\ndata:\n\n".to_owned());
    let script = Script::legacy()
        .on("tools/call", primed.clone())
        .on("GET", primed);
    let world = world_with(script, |settings| {
        settings.timeouts.total = Duration::from_millis(600);
    })
    .await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(
        matches!(error, CallError::TimedOut(Stage::Total)),
        "{error:?}"
    );
    assert!(world.fake.seen_of("GET").len() <= 2);
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_stream_that_breaks_is_a_lost_request() {
    let events = "id: 7\nretry: 10\ndata:\n\n";
    let world = world(Script::modern().on("tools/call", Act::Events(events.to_owned()))).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(matches!(error, CallError::ClosedMidStream), "{error:?}");
    assert_eq!(world.fake.seen_of("tools/call").len(), 1);
    assert!(world.fake.seen_of("GET").is_empty());
}

/// What some servers send between messages, and what is none of this call's.
const NOISE: &str = concat!(
    ": comment\n\n",
    "data: ping\n\n",
    "event: heartbeat\ndata: {}\n\n",
    "data: {}\n\n",
    "data: {\"type\":\"ping\"}\n\n",
    "data: {\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":{}}\n\n",
    "id: 3\ndata:\n\n",
    "data: [1]\n\n",
    "nonsense\n\n",
);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn noise_in_a_stream_is_skipped() {
    let events = |result: &str| {
        // The last event lacks the empty line that ends it.
        let answer = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{result}}}\n");
        Act::Events(format!("{NOISE}{answer}"))
    };
    let handshake = r#"{"protocolVersion":"2025-11-25","capabilities":{}}"#;
    let discovery = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#;
    let tools = r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}"#;
    for script in [
        Script::modern().on("server/discover", events(discovery)),
        Script::legacy_without_sessions().on("initialize", events(handshake)),
    ] {
        let script = script
            .on("tools/list", events(tools))
            .on("tools/call", events(r#"{"content":[]}"#));
        let world = world(script).await;
        assert_eq!(
            world
                .target
                .list(Feature::Tools)
                .await
                .unwrap()
                .entries
                .len(),
            1
        );
        let answer = answer(world.call("echo", "{}").await);
        assert_eq!(result(&answer), r#"{"content":[]}"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn noise_before_an_acknowledgement_does_not_end_the_watching() {
    let acknowledged = r#"data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true}}}"#;
    let changed = r#"data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let noise = NOISE.replace(
        r#"data: {"jsonrpc":"2.0","id":"other","result":{}}"#,
        "data: 1",
    );
    let events = format!("{noise}{acknowledged}\n\n{noise}{changed}\n\n");
    let script = Script::modern().on("subscriptions/listen", Act::Events(events));
    let world = world_with(script, |settings| {
        settings.freshness.max_age = Duration::from_hours(1);
    })
    .await;
    world.run();
    world
        .fake
        .until("it lists again for the change", |fake| {
            fake.seen_of("tools/list").len() >= 2
        })
        .await
        .unwrap();
}

// TL-9, TL-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_batch_in_a_stream_and_ids_as_text_are_understood() {
    let events = concat!(
        "data: [{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":\"$ID\",\"progress\":1}},\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"$ID\",\"result\":{\"content\":[]}}]\n\n",
    );
    for script in [Script::modern(), Script::legacy()] {
        let world = world(script.on("tools/call", Act::Events(events.to_owned()))).await;
        let messages = drain(world.call_with_progress("echo").await).await;
        let [
            Ok(Message::Notification { raw, .. }),
            Ok(Message::Answer(answer)),
        ] = messages.as_slice()
        else {
            panic!("{messages:?}")
        };
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1}}"#;
        assert_eq!(raw, progress);
        assert_eq!(result(answer), r#"{"content":[]}"#);
    }
}

// SEC-82
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_message_arrives_whole_and_in_its_place() {
    let large = "x".repeat(3 * targets::apart::LARGE);
    let log = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{large}"}}}}"#
    );
    let answered = format!(r#"{{"content":[],"large":"{large}"}}"#);
    let events = format!(
        "data: {LOG}\n\ndata: {log}\n\ndata: {{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{answered}}}\n\n"
    );
    let world = world(Script::legacy().on("tools/call", Act::Events(events))).await;
    let messages = drain(world.call("echo", "{}").await).await;
    let [
        Ok(Message::Notification { raw: first, .. }),
        Ok(Message::Notification { raw: second, .. }),
        Ok(Message::Answer(answer)),
    ] = messages.as_slice()
    else {
        panic!("three messages")
    };
    assert!(first == LOG && *second == log && result(answer) == answered);
}
