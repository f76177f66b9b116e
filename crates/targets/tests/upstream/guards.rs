//! Targets that are too slow, or out of order: refused early, and found again soon.

use mcp::feature::Feature;
use std::time::Duration;

use targets::Target;
use targets::error::{CallError, Stage};
use targets::reply::{Message, Reply};
use testkit::fake_mcp::{Act, FakeMcp, Script};

use crate::world::{World, mcp_server, pass, world, world_with};

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_calls_than_a_target_may_have_are_refused_at_once() {
    let world = world_with(
        Script::modern().on("tools/call hang", Act::Hang),
        |settings| settings.limits.calls = 2,
    )
    .await;
    let hanging = async {
        let _ = tokio::join!(world.call("hang", "{}"), world.call("hang", "{}"));
    };
    tokio::select! {
        () = hanging => panic!("it hangs"),
        under_way = world.fake.until("two are under way", |fake| {
            fake.seen_of("tools/call").len() == 2
        }) => under_way.unwrap(),
    }
    // They were dropped, and gave their places back.
    let drip = Act::Drip(Duration::from_millis(5));
    world.fake.change(|script| {
        script.acts.push(("tools/call progress".to_owned(), drip));
    });
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(world.call_with_progress("progress").await.unwrap());
    }
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(matches!(error, CallError::Busy { .. }), "{error:?}");
    assert!(
        world.target.list(Feature::Tools).await.is_ok(),
        "listing needs no place"
    );
    let Some(Reply::Stream(mut stream)) = streams.pop() else {
        panic!("a stream")
    };
    assert!(matches!(
        stream.next().await,
        Some(Ok(Message::Notification { .. }))
    ));
    drop(stream);
    world.call("echo", "{}").await.unwrap();
}

/// A world whose target is at an address where nobody is.
async fn down() -> (World, std::net::SocketAddr) {
    let elsewhere = FakeMcp::start(Script::modern()).await.unwrap();
    let address = elsewhere.address();
    elsewhere.stop().await;
    let mut world = world(Script::modern()).await;
    let url = format!("http://{address}/mcp").parse().unwrap();
    let mut settings = mcp_server(url);
    settings.circuit_breaker.failures = 3;
    settings.circuit_breaker.pause = Duration::from_hours(1);
    let target = Target::new(settings, &world.pool, world.tracker.clone()).unwrap();
    world.target = target;
    (world, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_can_not_be_reached_is_given_up_and_found_again() {
    let (mut world, address) = down().await;
    for _ in 0..3 {
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
    }
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(matches!(error, CallError::GivenUp { .. }), "{error:?}");
    world.run();
    world.fake = FakeMcp::start_at(Script::modern(), address).await.unwrap();
    // Long before the pause is over: listing sees that it is back.
    world.until_listed(|names| names.len() == 5).await;
    world.call("echo", "{}").await.unwrap();
}

#[tokio::test]
async fn a_target_that_serves_nothing_is_left_alone_until_one_call_finds_it_back() {
    let script = Script::modern().on("tools/call", Act::status(503, ""));
    let world = world_with(script, |settings| {
        settings.circuit_breaker.failures = 3;
        settings.circuit_breaker.pause = Duration::from_mins(1);
    })
    .await;
    for _ in 0..3 {
        world.call("echo", "{}").await.unwrap_err();
    }
    // It can be listed, which proves nothing about calls.
    world.target.list(Feature::Tools).await.unwrap();
    for _ in 0..5 {
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(matches!(error, CallError::GivenUp { .. }), "{error:?}");
    }
    assert_eq!(world.fake.seen_of("tools/call").len(), 3);
    world.fake.change(|script| script.acts.clear());
    pass(Duration::from_mins(1)).await;
    for _ in 0..5 {
        world.call("echo", "{}").await.unwrap();
    }
    world.end().await;
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_makes_a_target_fail_keeps_nobody_else_from_it() {
    let bad = Act::unless("fine", Act::status(502, ""));
    let world = world_with(Script::modern().on("tools/call", bad), |settings| {
        settings.circuit_breaker.failures = 3;
        settings.circuit_breaker.pause = Duration::from_hours(1);
    })
    .await;
    for _ in 0..3 {
        world.call("echo", r#"{"text":"bad"}"#).await.unwrap_err();
    }
    let error = world.call("echo", r#"{"text":"bad"}"#).await.unwrap_err();
    assert!(matches!(error, CallError::GivenUp { .. }), "{error:?}");
    let bob = world.call_as("bob", "echo", r#"{"text":"fine"}"#).await;
    bob.unwrap();
}

// SEC-79, UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_comes_to_no_end_hides_no_failures_around_it() {
    for act in [Act::HangAfterHead, Act::CloseMidStream, Act::Truncate] {
        let script = Script::modern()
            .on("tools/call slow", act.clone())
            .on("tools/call echo", Act::status(503, ""));
        let world = world_with(script, |settings| {
            settings.timeouts.first_message = Duration::from_millis(10);
            settings.circuit_breaker.failures = 2;
            settings.circuit_breaker.pause = Duration::from_hours(1);
        })
        .await;
        world.call("echo", "{}").await.unwrap_err();
        for _ in 0..5 {
            match world.call("slow", "{}").await {
                Ok(Reply::Stream(_)) | Err(CallError::ClosedMidStream) => {}
                other => panic!("{act:?}: {other:?}"),
            }
        }
        world.call("echo", "{}").await.unwrap_err();
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(
            matches!(error, CallError::GivenUp { .. }),
            "{act:?}: {error:?}"
        );
    }
}

// SEC-79, UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_whose_first_message_comes_late_is_a_success_then() {
    let late = r#"data: {"jsonrpc":"2.0","result":{"late":true}}"#;
    let script = Script::legacy()
        .on(
            "tools/call slow",
            Act::Events("id: 7\ndata:\n\n".to_owned()),
        )
        .on("GET", Act::Events(format!("{late}\n\n")))
        .on("tools/call echo", Act::status(503, ""));
    let world = world_with(script, |settings| {
        settings.timeouts.first_message = Duration::from_millis(10);
        settings.circuit_breaker.failures = 2;
    })
    .await;
    world.call("echo", "{}").await.unwrap_err();
    let Ok(Reply::Stream(mut stream)) = world.call("slow", "{}").await else {
        panic!("a stream")
    };
    let last = stream.next().await;
    assert!(matches!(last, Some(Ok(Message::Answer(_)))), "{last:?}");
    for _ in 0..2 {
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(
            matches!(error, CallError::UpstreamHttp { status: 503 }),
            "{error:?}"
        );
    }
}

// SEC-90
#[tokio::test]
async fn a_target_that_was_down_for_long_is_listed_within_two_seconds_of_its_return() {
    let (mut world, address) = down().await;
    world.run();
    let asked = |world: &World| world.target.listing(Feature::Tools).at;
    for _ in 0..20 {
        let before = asked(&world);
        let again = async {
            while asked(&world) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), again)
            .await
            .unwrap();
        pass(Duration::from_secs(2)).await;
    }
    world.fake = FakeMcp::start_at(Script::modern(), address).await.unwrap();
    pass(Duration::from_secs(2)).await;
    world.until_listed(|names| names.len() == 5).await;
    world.end().await;
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connecting_has_a_time_of_its_own() {
    // It accepts, and never says hello in TLS.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = world(Script::modern()).await;
    let url = format!("https://{address}/mcp").parse().unwrap();
    let mut settings = mcp_server(url);
    settings.timeouts.connect = Duration::from_millis(50);
    let target = Target::new(settings, &world.pool, world.tracker.clone()).unwrap();
    let error = target.list(Feature::Tools).await.unwrap_err();
    assert!(
        matches!(error, CallError::TimedOut(Stage::Connect)),
        "{error:?}"
    );
}
