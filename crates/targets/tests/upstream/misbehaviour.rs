//! Servers that are down, hang, send garbage or too much: each has a defined error, and the next
//! call works.

use mcp::feature::Feature;
use std::time::Duration;

use targets::error::{CallError, Stage};
use testkit::fake_mcp::{Act, Script};

use crate::world::{World, answer, drain, text, world_with};

/// A server that misbehaves when `bad` is called, and a target with little patience.
async fn bad(script: Script, act: Act) -> World {
    world_with(script.on("tools/call bad", act), |settings| {
        settings.timeouts.answer = Duration::from_millis(300);
        settings.timeouts.idle = Duration::from_millis(300);
        settings.limits.message = 1024 * 1024;
    })
    .await
}

/// The error that a misbehaviour leads to, in each era; afterwards the target still works.
async fn errors(act: &Act) -> Vec<CallError> {
    let mut errors = Vec::new();
    for script in [
        Script::modern(),
        Script::legacy(),
        Script::legacy_without_sessions(),
    ] {
        let world = bad(script, act.clone()).await;
        world.call("echo", "{}").await.unwrap();
        let messages = drain(world.call_with_progress("bad").await).await;
        errors.push(messages.into_iter().last().unwrap().expect_err("an error"));
        assert_eq!(
            text(&answer(world.call("echo", r#"{"a":1}"#).await)),
            r#"{"a":1}"#
        );
    }
    errors
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_is_down_is_unreachable() {
    for script in [Script::modern(), Script::legacy()] {
        let mut world = bad(script.clone(), Act::Close).await;
        world.call("echo", "{}").await.unwrap();
        let address = world.fake.address();
        let fake = std::mem::replace(
            &mut world.fake,
            testkit::fake_mcp::FakeMcp::start(Script::modern())
                .await
                .unwrap(),
        );
        fake.stop().await;
        let mut error = world.call("echo", "{}").await.unwrap_err();
        if matches!(error, CallError::NoAnswer(_)) {
            // The kept connection was found closed only when it was used.
            error = world.call("echo", "{}").await.unwrap_err();
        }
        assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
        // When it comes back, it is called again.
        world.fake = testkit::fake_mcp::FakeMcp::start_at(script, address)
            .await
            .unwrap();
        world.call("echo", "{}").await.unwrap();
    }
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_hangs_is_given_up() {
    for error in errors(&Act::Hang).await {
        assert!(
            matches!(error, CallError::TimedOut(Stage::FirstByte)),
            "{error:?}"
        );
    }
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_hangs_after_the_head_of_its_answer_is_given_up() {
    for error in errors(&Act::HangAfterHead).await {
        assert!(
            matches!(error, CallError::TimedOut(Stage::Idle)),
            "{error:?}"
        );
    }
}

// UC-10, TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_took_too_long_is_cancelled_at_the_server() {
    let modern = bad(Script::modern(), Act::Hang).await;
    modern.call("bad", "{}").await.unwrap_err();
    modern
        .fake
        .until("it is closed", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();

    let legacy = bad(Script::legacy(), Act::Hang).await;
    legacy.call("bad", "{}").await.unwrap_err();
    let is_told =
        |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("notifications/cancelled").is_empty();
    legacy.fake.until("it is told", is_told).await.unwrap();
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_hangs_at_the_first_question_is_given_up() {
    for what in ["initialize", "tools/list", "notifications/initialized"] {
        let world = world_with(Script::legacy().on(what, Act::Hang), |settings| {
            settings.timeouts.handshake = Duration::from_millis(200);
        })
        .await;
        let error = world.target.list(Feature::Tools).await.unwrap_err();
        assert!(matches!(error, CallError::TimedOut(_)), "{what}: {error:?}");
    }
}

// UC-10
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_who_wait_for_a_server_that_hangs_are_given_up_together() {
    for (what, speaks) in [
        ("server/discover", Script::modern()),
        ("initialize", Script::legacy()),
    ] {
        let hangs = speaks.on("initialize", Act::Hang).on(what, Act::Hang);
        let world = world_with(hangs, |settings| {
            settings.timeouts.handshake = Duration::from_millis(300);
        })
        .await;
        let calls = (0..20).map(|_| world.call("echo", "{}"));
        for reply in futures_util::future::join_all(calls).await {
            assert!(matches!(reply, Err(CallError::TimedOut(_))));
        }
        assert_eq!(world.fake.seen_of(what).len(), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_server_is_waited_for() {
    let world = bad(Script::modern(), Act::Slow(Duration::from_millis(100))).await;
    world
        .fake
        .change(|script| script.tools.push(testkit::fake_mcp::tool("bad")));
    assert_eq!(
        text(&answer(world.call("bad", r#"{"slow":1}"#).await)),
        r#"{"slow":1}"#
    );
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_is_closed_without_an_answer_is_no_answer_and_nothing_is_repeated() {
    for script in [Script::modern(), Script::legacy()] {
        let world = bad(script, Act::Close).await;
        let error = world.call("bad", "{}").await.unwrap_err();
        assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
        assert_eq!(world.fake.seen_of("tools/call").len(), 1);
    }
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stream_that_is_closed_in_the_middle_is_told_apart() {
    for error in errors(&Act::CloseMidStream).await {
        assert!(matches!(error, CallError::ClosedMidStream), "{error:?}");
    }
}

// UC-7
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_that_ends_early_is_told_apart() {
    for error in errors(&Act::Truncate).await {
        assert!(matches!(error, CallError::ClosedMidStream), "{error:?}");
    }
}

// UC-1
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn garbage_is_a_violation() {
    let html = Act::Answer {
        status: 200,
        content_type: "text/html; charset=utf-8",
        headers: Vec::new(),
        body: "<html>".to_owned(),
    };
    let gzip = Act::Answer {
        status: 200,
        content_type: "application/json",
        headers: vec![("content-encoding", "gzip".to_owned())],
        body: "\u{1}".to_owned(),
    };
    let request = r#"{"jsonrpc":"2.0","id":$ID,"method":"tools/call"}"#;
    let nested = format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{}}}"#,
        "[".repeat(10_000)
    );
    for (act, fact) in [
        (
            Act::json("not JSON"),
            "not a JSON-RPC message (the body is not valid JSON (offset 1))",
        ),
        (
            Act::json(""),
            "not a JSON-RPC message (the body ends in the middle of a JSON value)",
        ),
        (
            Act::json("[]"),
            "not a JSON-RPC message (batches are not served, send one message per request)",
        ),
        (
            Act::json(nested),
            "not a JSON-RPC message (the body is nested deeper than 64 levels)",
        ),
        (Act::json(request), "not a response"),
        (
            Act::json(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
            "a response with another id",
        ),
        (
            Act::Events("data: nonsense\n\n".to_owned()),
            "not a JSON-RPC message (the body is not valid JSON (offset 1))",
        ),
        (
            Act::Events(
                "data: {\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":{}}\n\n".to_owned(),
            ),
            "a response with another id",
        ),
        (html, "neither JSON nor an event stream"),
        (gzip, "a content coding that was not asked for"),
    ] {
        for error in errors(&act).await {
            assert_eq!(
                error.to_string(),
                format!("the target broke the protocol: {fact}")
            );
        }
    }
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_line_of_a_hundred_megabytes_is_too_large_and_the_connection_is_closed() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world_with(
            script.on("tools/call bad", Act::EndlessLine(100 * 1024 * 1024)),
            |_| {},
        )
        .await;
        let error = world.call("bad", "{}").await.unwrap_err();
        assert!(
            matches!(error, CallError::TooLarge { limit: 8_388_608 }),
            "{error:?}"
        );
        world
            .fake
            .until("it is closed", |fake| !fake.abandoned().is_empty())
            .await
            .unwrap();
        world.call("echo", "{}").await.unwrap();
    }
}

// SEC-63
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_body_of_a_hundred_megabytes_is_too_large_and_the_connection_is_closed() {
    let world = bad(Script::modern(), Act::HugeJson(100 * 1024 * 1024)).await;
    let error = world.call("bad", "{}").await.unwrap_err();
    assert!(
        matches!(error, CallError::TooLarge { limit: 1_048_576 }),
        "{error:?}"
    );
    world
        .fake
        .until("it is closed", |fake| !fake.abandoned().is_empty())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn http_errors_are_told_with_their_status() {
    for status in [403, 429, 500, 502, 503] {
        for error in errors(&Act::status(status, "sorry")).await {
            assert!(
                matches!(error, CallError::UpstreamHttp { status: s } if s == status),
                "{error:?}"
            );
        }
    }
}

// UC-14
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_demand_for_authorization_is_told_with_its_challenge() {
    let act = Act::Answer {
        status: 401,
        content_type: "",
        headers: vec![("www-authenticate", "Bearer realm=\"x\"".to_owned())],
        body: String::new(),
    };
    for error in errors(&act).await {
        let CallError::UpstreamUnauthorized { challenge } = error else {
            panic!("{error:?}")
        };
        assert_eq!(challenge.unwrap().0.as_ref(), "Bearer realm=\"x\"");
    }
    let script = Script::modern().on("server/discover", act);
    let world = world_with(script, |_| {}).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(
        matches!(error, CallError::UpstreamUnauthorized { .. }),
        "{error:?}"
    );
}

fn redirect(status: u16, to: &str) -> Act {
    Act::Answer {
        status,
        content_type: "",
        headers: vec![("location", to.to_owned())],
        body: String::new(),
    }
}

// A redirect would carry the call to somewhere that nobody configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redirects_to_elsewhere_are_not_followed_and_the_operator_is_told_where_to() {
    for (status, to) in [
        (307, "http://127.0.0.1:9/mcp"),
        (308, "http://localhost/mcp"),
        (307, "//127.0.0.2/mcp/"),
        (302, "/login"),
        (303, "/mcp/"),
    ] {
        for error in errors(&redirect(status, to)).await {
            assert!(
                matches!(error, CallError::UpstreamRedirect { status: s, .. } if s == status),
                "{error:?}"
            );
            assert!(!error.to_string().contains(to), "{error}");
            let told = oauth::causes::with_causes(&error);
            assert!(told.contains(&format!("it leads to `{to}`")), "{told}");
        }
    }
}

// RFC 9110 §15.4
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_redirect_within_the_origin_is_followed_once_and_remembered() {
    for (status, to) in [
        (307, "/mcp/"),
        (308, "/elsewhere?a=1"),
        (301, "/mcp/"),
        (302, ""),
    ] {
        for script in [Script::modern(), Script::legacy()] {
            let world = world_with(script, |_| {}).await;
            let to = if to.is_empty() {
                format!("http://{}/mcp/", world.fake.address())
            } else {
                to.to_owned()
            };
            let act = Act::at_path("/mcp", redirect(status, &to));
            world.fake.change(|script| {
                for method in ["server/discover", "initialize", "tools/call"] {
                    script.acts.push((method.to_owned(), act.clone()));
                }
            });
            for _ in 0..3 {
                let text = text(&answer(world.call("echo", r#"{"a":1}"#).await));
                assert_eq!(text, r#"{"a":1}"#);
            }
            let at_old = world
                .fake
                .seen()
                .iter()
                .filter(|seen| seen.path == "/mcp")
                .count();
            assert_eq!(at_old, 1, "{status} {to}");
            assert_eq!(world.fake.seen_of("tools/call").len(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn redirects_in_a_circle_end() {
    for error in errors(&redirect(307, "/mcp")).await {
        assert!(
            matches!(error, CallError::UpstreamRedirect { .. }),
            "{error:?}"
        );
    }
}
