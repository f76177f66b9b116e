//! Sessions with legacy servers: whose they are, how they begin, how they end.

use std::time::Duration;

use mcp::capability::ClientCapabilities;
use mcp::era::Era;
use mcp::feature::Feature;
use policy::call::Principal;
use targets::attention::Hearing;
use targets::client::Client;
use targets::error::{CallError, Violation};
use targets::reply::Messages;
use targets::reply::{Message, Reply};
use testkit::fake_mcp::{Act, FakeMcp, Script};
use tokio_util::sync::CancellationToken;

use crate::world::{answer, text, tool_call, world, world_with};

fn session_of(fake: &FakeMcp, position: usize) -> String {
    fake.seen_of("tools/call")[position]
        .header("mcp-session-id")
        .unwrap()
        .to_owned()
}

// UC-8, BP-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_never_share_a_session() {
    let world = world(Script::legacy()).await;
    for principal in ["alice", "bob", "alice"] {
        world.call_as(principal, "echo", "{}").await.unwrap();
    }
    let [alice, bob, alice_again] = [0, 1, 2].map(|at| session_of(&world.fake, at));
    assert_eq!(alice, alice_again);
    assert_ne!(alice, bob);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_gateways_own_session_is_not_a_callers() {
    let world = world(Script::legacy()).await;
    world.target.list(Feature::Tools).await.unwrap();
    world.call("echo", "{}").await.unwrap();
    let own = world.fake.seen_of("tools/list")[0]
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    assert_ne!(own, session_of(&world.fake, 0));
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_the_server_forgot_is_made_again_once() {
    let world = world(Script::legacy()).await;
    world.call("echo", "{}").await.unwrap();
    world.fake.forget_sessions();
    world.fake.forget_seen();
    assert_eq!(
        text(&answer(world.call("echo", r#"{"again":1}"#).await)),
        r#"{"again":1}"#
    );
    let wanted = [
        "tools/call",
        "initialize",
        "notifications/initialized",
        "tools/call",
    ];
    assert_eq!(world.fake.methods(), wanted);
    assert_ne!(session_of(&world.fake, 0), session_of(&world.fake, 1));
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_never_knows_its_sessions_is_given_up() {
    let script = Script::legacy().on("tools/call", Act::status(404, ""));
    let world = world(script).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target broke the protocol: a session that it does not know itself"
    );
    assert_eq!(world.fake.seen_of("tools/call").len(), 2);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_without_session_ids_is_initialized_once_for_all() {
    let world = world(Script::legacy_without_sessions()).await;
    for principal in ["alice", "bob", "carol"] {
        world.call_as(principal, "echo", "{}").await.unwrap();
    }
    assert_eq!(world.fake.seen_of("initialize").len(), 1);
    for seen in world.fake.seen() {
        assert_eq!(seen.header("mcp-session-id"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_first_calls_of_one_caller_make_one_session() {
    let world = world(Script::legacy()).await;
    let calls = (0..20).map(|_| world.call("echo", "{}"));
    for reply in futures_util::future::join_all(calls).await {
        reply.unwrap();
    }
    // One is ours, from finding out the era, one is alice's.
    assert_eq!(world.fake.sessions().len(), 2);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_sessions_are_ended_at_the_end() {
    let world = world(Script::legacy()).await;
    let stop = world.run();
    for principal in ["alice", "bob"] {
        world.call_as(principal, "echo", "{}").await.unwrap();
    }
    stop.cancel();
    world
        .fake
        .until("no session is left", |fake| fake.sessions().is_empty())
        .await
        .unwrap();
    for seen in world.fake.seen_of("DELETE") {
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    }
    world.tracker.close();
    world.tracker.wait().await;
}

/// The call behind this stream is still served.
async fn assert_goes_on(stream: &mut dyn Messages) {
    for _ in 0..20 {
        let message = stream.next().await;
        assert!(
            matches!(message, Some(Ok(Message::Notification { .. }))),
            "{message:?}"
        );
    }
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_with_a_call_under_way_is_ended_after_the_call() {
    let drip = Act::Drip(Duration::from_millis(10));
    let world = world(Script::legacy().on("tools/call progress", drip)).await;
    let stop = world.run();
    world.call_as("bob", "echo", "{}").await.unwrap();
    let Ok(Reply::Stream(mut stream)) = world.call_with_progress("progress").await else {
        panic!("a stream")
    };
    let alice = session_of(&world.fake, 1);

    stop.cancel();
    world
        .fake
        .until("the unused sessions are ended", |fake| {
            fake.sessions() == [alice.as_str()]
        })
        .await
        .unwrap();
    assert_goes_on(&mut *stream).await;
    assert_eq!(world.fake.sessions(), [alice]);
    drop(stream);
    world.tracker.close();
    world.tracker.wait().await;
    assert!(world.fake.sessions().is_empty());
    let methods = world.fake.methods();
    let last = methods.last_chunk::<2>().unwrap();
    assert_eq!(last, &["notifications/cancelled", "DELETE"]);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_under_way_is_answered_although_the_target_is_given_up() {
    let slow = Act::Slow(Duration::from_millis(300));
    let world = world(Script::legacy().on("tools/call echo", slow)).await;
    let stop = world.run();
    let giving_up = async {
        world
            .fake
            .until("it is called", |fake| {
                !fake.seen_of("tools/call").is_empty()
            })
            .await
            .unwrap();
        stop.cancel();
    };
    let (reply, ()) = tokio::join!(world.call("echo", r#"{"a":1}"#), giving_up);
    assert_eq!(text(&answer(reply)), r#"{"a":1}"#);
    world.tracker.close();
    world.tracker.wait().await;
    assert!(world.fake.sessions().is_empty());
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_nobody_reads_does_not_keep_its_session_for_ever() {
    let drip = Act::Drip(Duration::from_millis(10));
    let world = world_with(
        Script::legacy().on("tools/call progress", drip),
        |settings| {
            settings.timeouts.total = Duration::from_millis(400);
        },
    )
    .await;
    let stop = world.run();
    let unread = world.call_with_progress("progress").await.unwrap();
    stop.cancel();
    world
        .fake
        .until("no session is left", |fake| fake.sessions().is_empty())
        .await
        .unwrap();
    drop(unread);
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_makes_room_is_ended_after_the_call_in_it() {
    let drip = Act::Drip(Duration::from_millis(10));
    let world = world_with(
        Script::legacy().on("tools/call progress", drip),
        |settings| settings.limits.sessions = 1,
    )
    .await;
    let Ok(Reply::Stream(mut stream)) = world.call_with_progress("progress").await else {
        panic!("a stream")
    };
    let alice = session_of(&world.fake, 0);
    world.call_as("bob", "echo", "{}").await.unwrap();
    assert_goes_on(&mut *stream).await;
    drop(stream);
    world
        .fake
        .until("the session is ended", |fake| {
            !fake.sessions().contains(&alice)
        })
        .await
        .unwrap();
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_nobody_uses_is_ended() {
    let world = world_with(Script::legacy(), |settings| {
        settings.timeouts.session_idle = Duration::from_millis(200);
    })
    .await;
    world.run();
    world.call("echo", "{}").await.unwrap();
    let session = session_of(&world.fake, 0);
    world
        .fake
        .until("the session is ended", |fake| {
            !fake.sessions().contains(&session)
        })
        .await
        .unwrap();
    assert!(world.call("echo", "{}").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_oldest_session_makes_room_when_there_are_too_many() {
    let world = world_with(Script::legacy(), |settings| settings.limits.sessions = 2).await;
    for principal in ["alice", "bob", "carol", "dave"] {
        world.call_as(principal, "echo", "{}").await.unwrap();
    }
    world
        .fake
        .until("two sessions are left", |fake| fake.sessions().len() == 2)
        .await
        .unwrap();
}

// TL-3
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_odd_session_id_is_said_back_as_it_came_and_an_empty_one_is_none() {
    for (id, said) in [("with space", Some("with space")), ("", None)] {
        let act = Act::Answer {
            status: 200,
            content_type: "application/json",
            headers: vec![("mcp-session-id", id.to_owned())],
            body: r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}"#
                .to_owned(),
        };
        let script = Script::legacy_without_sessions().on("initialize", act);
        let world = world(script).await;
        world.call("echo", "{}").await.unwrap();
        let call = world.fake.seen_of("tools/call").pop().unwrap();
        assert_eq!(call.header("mcp-session-id"), said);
    }
}

fn error(code: i64, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"{message}"}}}}"#)
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_forgotten_session_is_made_again_however_the_server_says_so() {
    let foreign = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: No valid session ID provided"}}"#;
    for act in [
        Act::status(400, foreign),
        Act::status(
            400,
            error(-32000, "Bad Request: No valid session ID provided"),
        ),
        Act::status(404, error(-32001, "Session not found")),
        Act::status(400, "Invalid session ID"),
        Act::status(401, "Unauthorized: Session not found"),
        Act::status(410, ""),
        Act::status(400, ""),
        Act::json(error(-32001, "Session not found")),
        Act::Events(format!("data: {}\n\n", error(-32000, "no valid session"))),
    ] {
        let world = world(Script::legacy()).await;
        world.call("echo", "{}").await.unwrap();
        let lost = world.fake.seen_of("tools/call")[0]
            .header("mcp-session-id")
            .unwrap()
            .to_owned();
        world.fake.change(|script| {
            let act = Act::with_header("mcp-session-id", lost, act.clone());
            script.acts.push(("tools/call".to_owned(), act));
        });
        world.fake.forget_seen();
        for _ in 0..2 {
            let text = text(&answer(world.call("echo", r#"{"again":1}"#).await));
            assert_eq!(text, r#"{"again":1}"#, "{act:?}");
        }
        assert_eq!(world.fake.seen_of("tools/call").len(), 3, "{act:?}");
    }
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_lost_session_of_our_own_does_not_cost_the_list() {
    for act in [
        Act::status(400, error(-32000, "Bad Request: Missing session ID")),
        Act::json(error(-32001, "Session not found")),
    ] {
        let world = world_with(Script::legacy(), |settings| {
            settings.freshness.max_age = Duration::ZERO;
        })
        .await;
        world.target.list(Feature::Tools).await.unwrap();
        let lost = world.fake.sessions().pop().unwrap();
        world.fake.change(|script| {
            let act = Act::with_header("mcp-session-id", lost, act.clone());
            script.acts.push(("tools/list".to_owned(), act));
        });
        world.target.list(Feature::Tools).await.unwrap();
        assert!(
            world.target.listing(Feature::Tools).failure.is_none(),
            "{act:?}"
        );
    }
}

// UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_refuses_every_session_is_given_up() {
    let refusal = error(-32600, "Bad Request: No valid session ID provided");
    let world = world(Script::legacy().on("tools/call", Act::status(400, refusal))).await;
    let failure = world.call("echo", "{}").await.unwrap_err();
    assert!(
        matches!(failure, CallError::ProtocolViolation(Violation::Session)),
        "{failure:?}"
    );
    assert_eq!(world.fake.seen_of("tools/call").len(), 2);
}

// RFC 9112 §9.6: it should say so, and some do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_closes_each_connection_unsaid_does_not_fail_first_calls() {
    for mut script in [
        Script::legacy(),
        Script::legacy().over_sse(),
        Script::legacy_without_sessions(),
    ] {
        script.closes_unsaid = true;
        let world = world(script).await;
        world.target.list(Feature::Tools).await.unwrap();
        for principal in ["alice", "bob", "alice", "carol"] {
            world.call_as(principal, "echo", "{}").await.unwrap();
        }
        assert_eq!(world.fake.seen_of("tools/call").len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_mends_its_ways_has_its_connections_used_again() {
    let mut script = Script::legacy();
    script.closes_unsaid = true;
    let world = world(script).await;
    world.call("echo", "{}").await.unwrap();
    world.fake.change(|script| script.closes_unsaid = false);
    // What may be sent twice finds out.
    world.target.list(Feature::Tools).await.unwrap();
    world.call_as("bob", "echo", "{}").await.unwrap();
    let before = world.fake.connections();
    for _ in 0..10 {
        world.call("echo", "{}").await.unwrap();
    }
    assert!(world.fake.connections() <= before + 1);
}

/// A client that can be asked for everything.
fn askable() -> Client {
    Client {
        session: Some([7; 16]),
        declared: ClientCapabilities::ALL_INPUT,
        ..Client::silent(Era::Session)
    }
}

// TL-1, TL-6, UC-12: a question outside of any call belongs to the only one, or else to the client's own stream; and then the
// answers to all of its calls begin, because some clients answer a question only when they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_answers_to_calls_begin_with_a_question_wherever_it_is_asked() {
    let script = Script::legacy().on("tools/call echo", Act::HangAfterHead);
    let world = world_with(script, |declared| {
        declared.timeouts.first_message = Duration::from_hours(1);
    })
    .await;
    world.run();
    let (hearing, mut heard) = Hearing::new();
    let alice = Principal::new("alice");
    world
        .target
        .attend(&alice, [7; 16], askable().declared, hearing);
    let question = serde_json::json!({"jsonrpc": "2.0", "id": "q", "method": "roots/list"});
    for together in [1, 2] {
        world.fake.forget_seen();
        let calls = (0..together).map(|_| {
            let call = tool_call("alice", "echo", r#"{"name":"echo"}"#);
            world.call_for(call, askable(), CancellationToken::new())
        });
        let asking = async {
            let sent = |fake: &FakeMcp| fake.seen_of("tools/call").len() == together;
            world.fake.until("the calls", sent).await.unwrap();
            // What was sent is not yet heard.
            tokio::time::sleep(Duration::from_millis(200)).await;
            world.fake.say(&session_of(&world.fake, 0), &question);
        };
        let calls = futures_util::future::join_all(calls);
        let both = futures_util::future::join(calls, asking);
        let (replies, ()) = tokio::time::timeout(Duration::from_secs(20), both)
            .await
            .expect("the answers begin");
        for reply in replies {
            let Ok(Reply::Stream(mut messages)) = reply else {
                panic!("a stream: {reply:?}")
            };
            if together == 1 {
                let first = messages.next().await;
                assert!(matches!(first, Some(Ok(Message::Ask(_)))), "{first:?}");
            }
        }
        let asked = heard.try_recv();
        assert_eq!(matches!(asked, Ok(Message::Ask(_))), together == 2);
    }
}
