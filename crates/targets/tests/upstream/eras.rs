//! Finding out what a server speaks, and finding out again.

use mcp::feature::Feature;
use std::time::Duration;

use mcp::era::Era;
use targets::error::CallError;
use targets::reply::Outcome;
use testkit::fake_mcp::{Act, Script, Speaks};

use crate::world::{World, answer, world, world_with};

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_server_is_asked_once_and_never_initialized() {
    let world = world(Script::modern()).await;
    let first = answer(world.call("echo", "{}").await);
    world.call("echo", "{}").await.unwrap();
    assert_eq!(first.era, Era::Stateless);
    assert_eq!(
        world.fake.methods(),
        ["server/discover", "tools/call", "tools/call"]
    );
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_of_both_eras_is_spoken_to_in_the_modern_one() {
    let world = world(Script::dual()).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Stateless);
}

// UC-2, UC-8, TL-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_server_is_initialized_after_it_refused_the_modern_question() {
    let world = world(Script::legacy_without_sessions()).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
    let wanted = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/call",
    ];
    assert_eq!(world.fake.methods(), wanted);
    let initialize = world.fake.seen_of("initialize").pop().unwrap();
    assert_eq!(initialize.header("mcp-protocol-version"), None);
    assert_eq!(
        initialize.json()["params"]["capabilities"]["roots"],
        serde_json::json!({}),
        "some servers list only what their client can be asked for"
    );
    let call = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-11-25"));
    assert_eq!(call.header("mcp-method"), None);
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn whatever_an_old_server_answers_to_the_modern_question_it_is_initialized() {
    let error = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32601,"message":"no"}}"#;
    let page = Act::Answer {
        status: 200,
        content_type: "text/html",
        headers: Vec::new(),
        body: "<html>".to_owned(),
    };
    let answers = [
        Act::status(400, ""),
        Act::status(
            400,
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}"#,
        ),
        Act::status(404, error),
        Act::status(404, ""),
        Act::status(405, ""),
        Act::status(406, ""),
        Act::status(500, "oops"),
        Act::json(error),
        Act::json(r#"{"jsonrpc":"2.0","id":$ID,"result":{}}"#),
        Act::json("what?"),
        page,
    ];
    for act in answers {
        let world = world(Script::legacy().on("server/discover", act.clone())).await;
        assert_eq!(
            answer(world.call("echo", "{}").await).era,
            Era::Session,
            "{act:?}"
        );
    }
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_names_older_versions_is_initialized() {
    let refusal = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32022,"message":"no","data":{"supported":["2025-06-18"]}}}"#;
    let script = Script::legacy().on("server/discover", Act::status(400, refusal));
    let world = world(script).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_error_does_not_lead_to_initialize() {
    for code in [-32020, -32021] {
        let refusal =
            format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"no"}}}}"#);
        let script = Script::dual().on("server/discover", Act::status(400, refusal));
        let world = world(script).await;
        assert_eq!(
            answer(world.call("echo", "{}").await).era,
            Era::Stateless,
            "{code}"
        );
        assert!(world.fake.seen_of("initialize").is_empty());
    }
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_with_no_common_version_is_said_to_have_none() {
    let mut script = Script::modern();
    script.modern_versions = vec!["2099-01-01".to_owned()];
    let world = world(script).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    let CallError::NoCommonVersion { supported } = error else {
        panic!("{error:?}")
    };
    assert_eq!(supported, ["2099-01-01".into()]);
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_older_version_in_the_answer_to_initialize_is_spoken_from_then_on() {
    let result = r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}"#;
    let script = Script::legacy_without_sessions().on("initialize", Act::json(result));
    let world = world(script).await;
    world.call("echo", "{}").await.unwrap();
    let call = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(call.header("mcp-protocol-version"), Some("2025-06-18"));
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_always_says_the_oldest_version_is_served_all_the_same() {
    let result =
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"2024-11-05","capabilities":{}}}"#;
    let script = Script::legacy_without_sessions().on("initialize", Act::json(result));
    let world = world(script).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
    assert_eq!(
        world
            .target
            .list(Feature::Tools)
            .await
            .unwrap()
            .entries
            .len(),
        5
    );
    let call = world.fake.seen_of("tools/call").pop().unwrap();
    assert_eq!(call.header("mcp-protocol-version"), Some("2024-11-05"));
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_version_that_nobody_knows_is_none_in_common() {
    let result =
        r#"{"jsonrpc":"2.0","id":$ID,"result":{"protocolVersion":"1999-01-01","capabilities":{}}}"#;
    let world = world(Script::legacy().on("initialize", Act::json(result))).await;
    let error = world.call("echo", "{}").await.unwrap_err();
    assert!(
        matches!(error, CallError::NoCommonVersion { .. }),
        "{error:?}"
    );
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_leaves_the_modern_question_unanswered_is_initialized() {
    let forbidden = Act::status(403, "no");
    let breaks_off = Act::Truncate;
    for act in [
        Act::Hang,
        Act::Close,
        forbidden,
        breaks_off,
        Act::HangAfterHead,
    ] {
        let script = Script::legacy().on("server/discover", act.clone());
        let world = world_with(script, |settings| {
            settings.timeouts.handshake = Duration::from_millis(600);
        })
        .await;
        let reply = answer(world.call("echo", "{}").await);
        assert_eq!(reply.era, Era::Session, "{act:?}");
    }
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_refuses_a_version_and_names_another_gets_that_one_at_once() {
    for code in [-32022, -32602, -32000] {
        let refusal = format!(
            r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":{code},"message":"Unsupported protocol version","data":{{"supported":["1999-01-01","2025-06-18"],"requested":"2025-11-25"}}}}}}"#
        );
        for status in [200, 400] {
            let script = Script::legacy_without_sessions();
            let act = Act::unless("2025-06-18", Act::status(status, refusal.clone()));
            let world = world(script.on("initialize", act)).await;
            let reply = answer(world.call("echo", "{}").await);
            assert_eq!(reply.era, Era::Session, "{code} {status}");
            let asked: Vec<String> = world
                .fake
                .seen_of("initialize")
                .iter()
                .map(|seen| seen.json()["params"]["protocolVersion"].to_string())
                .collect();
            assert_eq!(asked, ["\"2025-11-25\"", "\"2025-06-18\""]);
        }
    }
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_refused_for_its_version_is_repeated_at_once_with_the_one_that_is_named() {
    let world = world(Script::dual()).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Stateless);
    // Nothing may be asked for the era meanwhile: it was asked for just now.
    let refusal = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}}"#;
    world.fake.change(|script| {
        script.speaks = Speaks::Legacy;
        let act = Act::unless_header("mcp-session-id", Act::status(400, refusal));
        script.acts.push(("tools/call".to_owned(), act));
    });
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
    assert_eq!(world.fake.seen_of("server/discover").len(), 1);
    assert_eq!(world.fake.seen_of("tools/call").len(), 3);
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_overloaded_server_is_not_taken_for_an_old_one() {
    for status in [429, 503] {
        let script = Script::modern().on("server/discover", Act::status(status, ""));
        let world = world(script).await;
        let error = world.call("echo", "{}").await.unwrap_err();
        assert!(
            matches!(error, CallError::UpstreamHttp { status: s } if s == status),
            "{error:?}"
        );
        assert!(world.fake.seen_of("initialize").is_empty());
        // It recovers, and is asked again.
        world.fake.change(|script| script.acts.clear());
        assert_eq!(answer(world.call("echo", "{}").await).era, Era::Stateless);
    }
}

/// A world whose target asks for the era as often as it likes.
async fn doubting(script: Script) -> World {
    world_with(script, |settings| {
        settings.freshness.between_probes = Duration::ZERO;
    })
    .await
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_was_upgraded_is_spoken_to_in_its_new_era() {
    for script in [Script::legacy(), Script::legacy_without_sessions()] {
        let world = doubting(script).await;
        assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
        world.fake.forget_sessions();
        world.fake.change(|script| script.speaks = Speaks::Modern);
        assert_eq!(answer(world.call("echo", "{}").await).era, Era::Stateless);
    }
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_that_was_rolled_back_is_spoken_to_in_its_old_era() {
    let world = doubting(Script::modern()).await;
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Stateless);
    world.fake.change(|script| script.speaks = Speaks::Legacy);
    assert_eq!(answer(world.call("echo", "{}").await).era, Era::Session);
    world.fake.change(|script| script.speaks = Speaks::Modern);
    assert_eq!(
        world.target.list(Feature::Tools).await.unwrap().era,
        Era::Stateless
    );
}

// UC-2
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_bad_call_does_not_make_us_ask_for_the_era_each_time() {
    let refusal = r#"{"jsonrpc":"2.0","id":$ID,"error":{"code":-32602,"message":"bad"}}"#;
    let script = Script::legacy_without_sessions().on("tools/call", Act::status(400, refusal));
    let world = world(script).await;
    for _ in 0..10 {
        assert!(matches!(
            answer(world.call("echo", "{}").await).outcome,
            Outcome::Error { .. }
        ));
    }
    assert_eq!(world.fake.seen_of("tools/call").len(), 10);
    assert!(world.fake.seen_of("server/discover").len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_first_calls_at_once_ask_once() {
    let world = world(Script::modern()).await;
    let calls = (0..20).map(|_| world.call("echo", "{}"));
    for reply in futures_util::future::join_all(calls).await {
        reply.unwrap();
    }
    assert_eq!(world.fake.seen_of("server/discover").len(), 1);
}

// A server can make one session for each request it has not even looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_that_the_modern_question_left_behind_is_ended() {
    let act = Act::Answer {
        status: 400,
        content_type: "application/json",
        headers: vec![("mcp-session-id", "stray".to_owned())],
        body: String::new(),
    };
    let world = world(Script::legacy().on("server/discover", act)).await;
    world.call("echo", "{}").await.unwrap();
    world
        .fake
        .until("the stray session is ended", |fake| {
            fake.seen_of("DELETE")
                .iter()
                .any(|it| it.header("mcp-session-id") == Some("stray"))
        })
        .await
        .unwrap();
}
