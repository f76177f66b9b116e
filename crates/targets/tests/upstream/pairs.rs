//! Servers on the transport of 2024-11-05, HTTP+SSE: a stream that names an endpoint for messages (TL-11).

use std::time::Duration;

use mcp::capability::ClientCapabilities;
use mcp::era::Era;
use mcp::feature::Feature;
use mcp::raw::OwnedRaw;
use targets::client::Client;
use targets::error::CallError;
use targets::reply::{Message, Outcome, Reply};
use testkit::fake_mcp::{Act, FakeMcp, Script};
use tokio_util::sync::CancellationToken;

use crate::world::{World, answer, drain, text, tool_call, world, world_with};

/// Such a server, whose sessions are ended.
async fn served(script: Script) -> World {
    let world = world(script).await;
    world.run();
    world
}

// TL-11, UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_of_the_old_transport_is_called_and_each_caller_has_a_stream_of_his_own() {
    let world = served(Script::pair()).await;
    world.until_listed(|tools| tools.len() == 5).await;
    for (caller, said) in [
        ("alice", r#"{"n":1}"#),
        ("bob", r#"{"n":2}"#),
        ("alice", r#"{"n":3}"#),
    ] {
        assert_eq!(
            text(&answer(world.call_as(caller, "echo", said).await)),
            said
        );
    }
    let calls = world.fake.seen_of("tools/call");
    assert_eq!(calls[0].path, calls[2].path);
    assert_ne!(calls[0].path, calls[1].path);
    // The name of the session is ours and means nothing there.
    assert!(
        calls
            .iter()
            .all(|call| call.header("mcp-session-id").is_none())
    );
    // The gateway's, and one for each of them.
    assert_eq!(world.fake.open_streams(), 3);
}

// TL-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn progress_reaches_the_call_that_it_is_about() {
    let world = served(Script::pair().over_sse()).await;
    let replies = [(); 2].map(|()| world.call_with_progress("progress"));
    for reply in futures_util::future::join_all(replies).await {
        let messages = drain(reply).await;
        let told = messages.iter().filter_map(|message| match message {
            Ok(Message::Notification { raw, .. }) => Some(String::from_utf8_lossy(raw)),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 3);
        assert!(
            told.iter()
                .all(|one| one.contains(r#""progressToken":"mine""#))
        );
    }
}

// TL-11
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn changes_are_heard_on_the_stream() {
    let world = served(Script::pair()).await;
    world.until_listed(|tools| tools.len() == 5).await;
    world.fake.change(|script| drop(script.tools.pop()));
    let announced = |_: &FakeMcp| {
        world.fake.announce_tools_changed();
        world.listed().len() == 4
    };
    world.fake.until("a shorter list", announced).await.unwrap();
}

// TL-11, UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_ends_ends_its_calls_and_the_next_call_has_another() {
    let script = Script::pair().on("tools/call progress", Act::status(202, ""));
    let world = served(script).await;
    world.call("echo", "{}").await.unwrap();
    let before = world.fake.seen_of("tools/call")[0].path.clone();
    let waiting = world.call("progress", "{}");
    let dropped = async {
        let sent = |fake: &FakeMcp| fake.seen_of("tools/call").len() == 2;
        world.fake.until("the call", sent).await.unwrap();
        world.fake.drop_streams();
    };
    let (ended, ()) = futures_util::future::join(waiting, dropped).await;
    assert!(
        matches!(ended, Err(CallError::ClosedMidStream)),
        "{ended:?}"
    );
    assert_eq!(text(&answer(world.call("echo", "{}").await)), "{}");
    let after = world.fake.seen_of("tools/call").pop().unwrap().path;
    assert_ne!(before, after);
}

// TL-11, SEC-61
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endpoint_elsewhere_is_none() {
    for endpoint in [
        "http://elsewhere.example/messages",
        "//elsewhere.example/messages",
        "file:///messages",
        "http://127.0.0.1:1/messages",
        "http://[::",
    ] {
        let world = world(Script {
            pair: Some(endpoint.to_owned()),
            ..Script::pair()
        })
        .await;
        let error = world.target.list(Feature::Tools).await.unwrap_err();
        assert!(
            matches!(error, CallError::UpstreamHttp { status: 405 }),
            "{endpoint}: {error}"
        );
        let posts = world.fake.seen();
        assert!(posts.iter().all(|seen| !seen.path.contains("messages")));
    }
}

// TL-11, SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_never_names_its_endpoint_is_left_in_time() {
    let script = Script::pair().on("GET", Act::HangAfterHead);
    let world = world_with(script, |declared| {
        declared.timeouts.handshake = Duration::from_millis(300);
    })
    .await;
    let error = world.target.list(Feature::Tools).await.unwrap_err();
    assert!(
        matches!(error, CallError::UpstreamHttp { status: 405 }),
        "{error}"
    );
    let left = |fake: &FakeMcp| fake.abandoned() == ["GET"];
    world.fake.until("it left", left).await.unwrap();
}

// TL-11, UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_moves_on_to_the_new_transport_is_followed_and_back() {
    let world = served(Script::pair()).await;
    world.call("echo", "{}").await.unwrap();
    for pair in [None, Some("/messages".to_owned()), None] {
        world.fake.change(|script| script.pair = pair);
        world.fake.forget_sessions();
        world.fake.drop_streams();
        let said = r#"{"again":1}"#;
        let mut last = None;
        for _ in 0..50 {
            match world.call("echo", said).await {
                Ok(reply) => {
                    last = Some(text(&answer(Ok(reply))));
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        assert_eq!(last.as_deref(), Some(said));
    }
}

// TL-11, UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_it_asks_is_asked_of_the_caller_in_whose_session_it_does() {
    let world = served(Script::pair()).await;
    let call = tool_call("alice", "ask", r#"{"name":"ask"}"#);
    let client = Client {
        declared: ClientCapabilities::ALL_INPUT,
        ..Client::silent(Era::Session)
    };
    let reply = world.call_for(call, client, CancellationToken::new()).await;
    let Ok(Reply::Stream(mut messages)) = reply else {
        panic!("a stream: {reply:?}")
    };
    let Message::Ask(ask) = messages.next().await.unwrap().unwrap() else {
        panic!("a question")
    };
    let said = OwnedRaw::parse(r#"{"action":"decline"}"#).unwrap();
    ask.answering.answer(Outcome::Result(said));
    let Message::Answer(end) = messages.next().await.unwrap().unwrap() else {
        panic!("an answer")
    };
    assert!(text(&end).contains("decline"), "{}", text(&end));
}

// TL-11, UC-8, SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_stream_of_a_session_that_is_lost_is_left_however_that_is_said() {
    let world = served(Script::pair()).await;
    world.call("echo", "{}").await.unwrap();
    for (status, said) in [
        (400, "unknown session"),
        (404, ""),
        (422, "session expired"),
    ] {
        let act = ("tools/call".to_owned(), Act::status(status, said));
        world.fake.change(|script| script.acts = vec![act]);
        assert!(world.call("echo", "{}").await.is_err());
        world.fake.change(|script| script.acts.clear());
        assert_eq!(text(&answer(world.call("echo", "{}").await)), "{}");
        // The gateway's own, and the caller's.
        let two = |fake: &FakeMcp| fake.open_streams() == 2;
        world.fake.until("two streams", two).await.unwrap();
    }
}
