//! What targets ask of clients in the middle of a call: elicitation, in every cell, of the right person and of nobody else.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fake_mcp::{Act, Script};

use crate::messages::Messages;
use crate::world::{Actor, Answer, LEGACY, MODERN, World, in_each_era, world, world_with};

const ASK: &str = "my-mcp-server___ask";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A legacy client that fills in forms.
async fn with_forms(actor: Actor<'_>) -> Actor<'_> {
    let id = actor.initialize_with(json!({"elicitation": {}})).await;
    actor.with("mcp-session-id", id)
}

/// Answers what a legacy client is asked.
async fn answer(actor: &Actor<'_>, id: &Value, result: Value) {
    let message = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    let accepted = actor
        .post(&[("mcp-protocol-version", LEGACY)], message)
        .await;
    assert_eq!(accepted.status, 202);
}

fn entered(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

/// What came of the tool: what it heard.
fn heard(message: &Value) -> String {
    let text = message["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("a result expected: {message}"))
        .to_owned()
}

/// A modern call of `ask` by a client that fills in forms, first or again.
async fn ask_modern(actor: &Actor<'_>, again: Value) -> Answer {
    let mut params =
        json!({"name": ASK, "arguments": {"a": 1}, "_meta": {CAPABILITIES: {"elicitation": {}}}});
    for (name, value) in again.as_object().unwrap() {
        params[name] = value.clone();
    }
    actor.modern("tools/call", params).await
}

/// The key and the state of the one question of a result.
fn question(message: &Value) -> (String, Value) {
    let result = &message["result"];
    assert_eq!(result["resultType"], "input_required", "{message}");
    let questions = result["inputRequests"].as_object().unwrap();
    assert_eq!(questions.len(), 1);
    let (key, asked) = questions.iter().next().unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    assert_eq!(asked["params"]["message"], "Your name?");
    (key.clone(), result["requestState"].clone())
}

async fn targets() -> Vec<World> {
    in_each_era(|script| script).await
}

// TL-4, TL-9, UC-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_legacy_client_is_asked_on_the_stream_of_its_call_by_targets_of_both_eras() {
    for world in targets().await {
        let alice = with_forms(world.alice()).await;
        let mut messages = Messages::of(alice.call(LEGACY, "ask", json!({})).await);
        let asked = messages.next().await.unwrap();
        assert_eq!(asked["method"], "elicitation/create", "{asked}");
        assert_eq!(asked["params"]["message"], "Your name?");
        answer(&alice, &asked["id"], entered("Ada")).await;
        let result = messages.next().await.unwrap();
        assert!(heard(&result).contains("Ada"), "{result}");
        assert!(messages.next().await.is_none());
        // A second answer is none.
        answer(&alice, &asked["id"], entered("Bob")).await;
    }
}

// TM-18, TM-19, UC-5
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_modern_client_is_asked_by_a_result_by_targets_of_both_eras() {
    for world in targets().await {
        let first = ask_modern(&world.alice(), json!({})).await.json().await;
        let (key, state) = question(&first);
        let again = json!({"inputResponses": {key: entered("Ada")}, "requestState": state});
        let result = ask_modern(&world.alice(), again).await.json().await;
        assert!(heard(&result).contains("Ada"), "{result}");
        assert_eq!(result["result"]["resultType"], "complete");
    }
}

// UC-12: nothing is declared that this client did not declare on this request or session.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_client_did_not_declare_is_asked_of_nobody() {
    let legacy = world(Script::legacy()).await;
    // Somebody else of the same person can be asked.
    with_forms(legacy.alice()).await;
    for declared in [
        json!({}),
        json!({"sampling": {}, "elicitation": {"url": {}}}),
    ] {
        let id = legacy.alice().initialize_with(declared.clone()).await;
        let alice = legacy.alice().with("mcp-session-id", id);
        let result = alice.call(LEGACY, "ask", json!({})).await.json().await;
        assert!(heard(&result).contains("-32601"), "{declared}: {result}");
    }
    let params = json!({"name": ASK, "_meta": {CAPABILITIES: {"roots": {}}}});
    let answer = legacy.alice().modern("tools/call", params).await;
    assert!(heard(&answer.json().await).contains("-32601"));
    let declared: Vec<Value> = legacy
        .upstream
        .seen_of("initialize")
        .iter()
        .map(|seen| seen.json()["params"]["capabilities"].clone())
        .collect();
    assert!(declared.contains(&json!({"sampling": {}, "elicitation": {"url": {}}})));
    assert!(declared.contains(&json!({"roots": {}})) && declared.contains(&json!({})));
    // A target of the stateless era that asks all the same.
    let modern = world(Script::modern()).await;
    let params = json!({"name": ASK, "_meta": {CAPABILITIES: {"sampling": {}}}});
    let answer = modern.alice().modern("tools/call", params).await;
    assert_eq!(answer.status, 400);
    let error = answer.json().await["error"].clone();
    assert_eq!(error["code"], -32021);
    assert_eq!(
        error["data"]["requiredCapabilities"],
        json!({"elicitation": {}})
    );
    let id = modern.alice().initialize_with(json!({"roots": {}})).await;
    let alice = modern.alice().with("mcp-session-id", id);
    let error = alice.call(LEGACY, "ask", json!({})).await.json().await;
    assert_eq!(error["error"]["code"], -31502, "{error}");
}

// TL-10, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_answers_for_somebody_else_and_each_hears_his_own() {
    for world in targets().await {
        let alice = with_forms(world.alice()).await;
        let mallory = with_forms(world.mallory()).await;
        let other = with_forms(world.alice()).await;
        let mut of_alice = Messages::of(alice.call(LEGACY, "ask", json!({})).await);
        let mut of_mallory = Messages::of(mallory.call(LEGACY, "ask", json!({})).await);
        let (asked, crossed) = (
            of_alice.next().await.unwrap()["id"].clone(),
            of_mallory.next().await.unwrap()["id"].clone(),
        );
        // Another person, another session of the same one, a guess, and who says that there is no answer.
        answer(&mallory, &asked, entered("Mallory")).await;
        answer(&other, &asked, entered("Other")).await;
        answer(&alice, &json!("question-1"), entered("Guess")).await;
        answer(&alice, &crossed, entered("Crossed")).await;
        answer(&mallory, &crossed, entered("M")).await;
        answer(&alice, &asked, entered("Ada")).await;
        let (ada, m) = (
            of_alice.next().await.unwrap(),
            of_mallory.next().await.unwrap(),
        );
        assert!(heard(&ada).contains("Ada"), "{ada}");
        assert!(heard(&m).contains(r#""M""#), "{m}");
    }
}

// TM-18
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_state_counts_for_its_own_request_of_its_own_caller_unchanged_and_in_time() {
    for world in targets().await {
        let first = ask_modern(&world.alice(), json!({})).await.json().await;
        let (key, state) = question(&first);
        let again = |state: &Value| json!({"inputResponses": {&key: entered("Ada")}, "requestState": state});
        let mut changed = state.as_str().unwrap().to_owned();
        let last = changed.pop().unwrap();
        changed.push(if last == 'A' { 'B' } else { 'A' });
        let mut other = again(&state);
        other["arguments"] = json!({"a": 2});
        let mut elsewhere = again(&state);
        elsewhere["name"] = json!("my-mcp-server___echo");
        for refused in [
            ask_modern(&world.mallory(), again(&state)).await,
            ask_modern(&world.alice(), again(&json!(changed))).await,
            ask_modern(&world.alice(), again(&json!("the state"))).await,
            ask_modern(&world.alice(), again(&json!(7))).await,
            ask_modern(&world.alice(), other).await,
            ask_modern(&world.alice(), elsewhere).await,
        ] {
            assert_eq!(refused.refusal().await, (200, -32602));
        }
        let result = ask_modern(&world.alice(), again(&state)).await.json().await;
        assert!(heard(&result).contains("Ada"), "{result}");
        let late = ask_modern(&world.alice(), json!({})).await.json().await;
        let (_, state) = question(&late);
        world.clock.advance(Duration::from_mins(11));
        let refused = ask_modern(&world.alice(), again(&state)).await;
        assert_eq!(refused.refusal().await, (200, -32602));
        world.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_waits_is_taken_up_once_and_asks_again_for_what_is_missing() {
    let world = world(Script::legacy()).await;
    let first = ask_modern(&world.alice(), json!({})).await.json().await;
    let (key, state) = question(&first);
    let missing = json!({"inputResponses": {"other": entered("x")}, "requestState": state});
    let second = ask_modern(&world.alice(), missing.clone())
        .await
        .json()
        .await;
    let (same, again) = question(&second);
    assert_eq!(same, key);
    let gone = ask_modern(&world.alice(), missing).await;
    assert_eq!(gone.refusal().await, (200, -32602));
    let answered = json!({"inputResponses": {key: {"action": "decline"}}, "requestState": again});
    let result = ask_modern(&world.alice(), answered).await.json().await;
    assert!(heard(&result).contains("decline"), "{result}");
    assert_eq!(world.upstream.seen_of("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_does_not_come_back_is_not_waited_for() {
    let patient = |settings: &mut model::gateway::Gateway| {
        settings.targets[0].timeouts.input = Duration::from_millis(50);
    };
    let world = world_with(Script::legacy(), patient).await;
    question(&ask_modern(&world.alice(), json!({})).await.json().await);
    // The call is cancelled at the target.
    let cancelled =
        |fake: &testkit::fake_mcp::FakeMcp| !fake.seen_of("notifications/cancelled").is_empty();
    world
        .upstream
        .until("the end of the call", cancelled)
        .await
        .unwrap();
    let world = world_with(Script::modern(), patient).await;
    let alice = with_forms(world.alice()).await;
    let mut messages = Messages::of(alice.call(LEGACY, "ask", json!({})).await);
    assert_eq!(
        messages.next().await.unwrap()["method"],
        "elicitation/create"
    );
    assert_eq!(messages.next().await.unwrap()["error"]["code"], -31504);
}

// A client that refuses, and one that takes nothing but JSON back.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_gives_no_answer_ends_nothing_but_the_question() {
    for world in targets().await {
        let alice = with_forms(world.alice()).await;
        let mut messages = Messages::of(alice.call(LEGACY, "ask", json!({})).await);
        let asked = messages.next().await.unwrap();
        let refusal =
            json!({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "busy"}});
        let headers = [("mcp-protocol-version", LEGACY)];
        assert_eq!(alice.post(&headers, refusal.to_string()).await.status, 202);
        let said = heard(&messages.next().await.unwrap());
        assert!(said.contains("busy") || said.contains("cancel"), "{said}");
        let plain = alice.with("accept", "application/json");
        let answer = plain.call(LEGACY, "ask", json!({})).await.json().await;
        let code = answer["error"]["code"].as_i64();
        assert!(
            code == Some(-31502) || heard(&answer).contains("-32601"),
            "{answer}"
        );
        let json = world.alice().with("accept", "application/json");
        question(&ask_modern(&json, json!({})).await.json().await);
        world.stop.cancel();
    }
}

// TM-19
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_demand_for_input_that_is_none_is_the_fault_of_the_target() {
    for result in [
        json!({"resultType": "input_required"}),
        json!({"resultType": "input_required", "inputRequests": {"a": {"method": "tools/call"}}}),
        json!({"resultType": "input_required", "inputRequests": [], "requestState": "s"}),
    ] {
        let act = Act::json(format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#));
        let world = world(Script::modern().on("tools/call ask", act)).await;
        let answer = ask_modern(&world.alice(), json!({})).await.json().await;
        assert_eq!(answer["error"]["code"], -31502, "{answer}");
        let alice = with_forms(world.alice()).await;
        let answer = alice.call(LEGACY, "ask", json!({})).await.json().await;
        assert_eq!(answer["error"]["code"], -31502, "{answer}");
    }
}

// A target that has no question, only something to be given again: it is called again, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_only_wants_to_be_asked_again_is() {
    let wait = r#"{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required","requestState":"busy"}}"#;
    let act = Act::unless("\"busy\"", Act::json(wait));
    let world = world(Script::modern().on("tools/call echo", act)).await;
    let alice = with_forms(world.alice()).await;
    let result = alice
        .call(LEGACY, "echo", json!({"a": 1}))
        .await
        .json()
        .await;
    assert_eq!(heard(&result), r#"{"a":1}"#);
    let asked = world.upstream.seen_of("tools/call");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].json()["params"]["requestState"], "busy");
    let params = json!({"name": "my-mcp-server___echo"});
    let answer = world
        .alice()
        .modern("tools/call", params)
        .await
        .json()
        .await;
    assert_eq!(answer["result"]["resultType"], "input_required");
    assert_ne!(answer["result"]["requestState"], "busy");
}

// TL-8
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_asks_is_cancelled_like_any_other() {
    for world in targets().await {
        let alice = with_forms(world.alice()).await;
        let mut messages = Messages::of(alice.call(LEGACY, "ask", json!({})).await);
        let asked = messages.next().await.unwrap();
        let cancel = json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1},
        });
        let headers = [("mcp-protocol-version", LEGACY)];
        alice.post(&headers, cancel.to_string()).await;
        assert!(messages.next().await.is_none());
        drop(messages);
        answer(&alice, &asked["id"], entered("late")).await;
    }
}

// UC-8: sessions are the caller's own, and end with its session.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_session_at_a_target_belongs_to_one_session_of_a_client() {
    let world = world(Script::legacy()).await;
    let (one, other) = (
        with_forms(world.alice()).await,
        with_forms(world.alice()).await,
    );
    for alice in [&one, &other, &one] {
        alice.call(LEGACY, "echo", json!({})).await;
    }
    let calls = world.upstream.seen_of("tools/call");
    let used: Vec<_> = calls
        .iter()
        .map(|seen| seen.header("mcp-session-id"))
        .collect();
    assert_eq!(used[0], used[2]);
    assert_ne!(used[0], used[1]);
    let ended = one.send(http::Method::DELETE, "/mcp", &[], "").await;
    assert_eq!(ended.status, 204);
    let is_gone =
        |fake: &testkit::fake_mcp::FakeMcp| !fake.sessions().contains(&used[0].unwrap().to_owned());
    world
        .upstream
        .until("the end of the session", is_gone)
        .await
        .unwrap();
    assert!(
        world
            .upstream
            .sessions()
            .contains(&used[1].unwrap().to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_of_both_eras_is_spoken_to_in_the_era_of_the_client() {
    let world = world(Script::dual()).await;
    world.alice().call(MODERN, "echo", json!({})).await;
    let id = world.alice().initialize().await;
    let alice = world.alice().with("mcp-session-id", id);
    alice.call(LEGACY, "echo", json!({})).await;
    alice.call(LEGACY, "echo", json!({})).await;
    let calls = world.upstream.seen_of("tools/call");
    let eras: Vec<bool> = calls
        .iter()
        .map(|seen| seen.header("mcp-session-id").is_some())
        .collect();
    assert_eq!(eras, [false, true, true]);
}

// SEC-79
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_target_that_asks_without_end_is_stopped() {
    let ask = |id: usize| {
        let message = json!({
            "jsonrpc": "2.0", "id": format!("q{id}"), "method": "elicitation/create", "params": {"message": "?"},
        });
        format!("data: {message}\n\n")
    };
    let events: String = (0..100).map(ask).collect();
    let world = world(Script::legacy().on("tools/call echo", Act::Events(events))).await;
    let alice = with_forms(world.alice()).await;
    let mut messages = Messages::of(alice.call(LEGACY, "echo", json!({})).await);
    let mut asked = 0;
    let last = loop {
        let message = messages.next().await.unwrap();
        if message["method"] != "elicitation/create" {
            break message;
        }
        asked += 1;
    };
    assert_eq!(last["error"]["code"], -31502, "{last}");
    assert!(asked <= 32, "{asked}");
    assert!(messages.next().await.is_none());
}

// UC-12: extensions are declared on both sides, each to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_targets_declare_of_extensions_is_declared_to_clients() {
    let extensions = json!({"io.modelcontextprotocol/ui": {"x": 1.5}, "io.modelcontextprotocol/tasks": {}, "odd": 1});
    let discovered = json!({
        "resultType": "complete", "supportedVersions": [MODERN], "ttlMs": 0, "cacheScope": "private",
        "capabilities": {"tools": {}, "extensions": extensions},
    });
    let act = Act::json(format!(
        r#"{{"jsonrpc":"2.0","id":$ID,"result":{discovered}}}"#
    ));
    let world = world(Script::modern().on("server/discover", act)).await;
    world.alice().modern("tools/list", json!({})).await;
    let declared = async |era: &str, method: &str| {
        let answer = world
            .ask(era, method, json!({"protocolVersion": LEGACY}))
            .await;
        answer["result"]["capabilities"]["extensions"].clone()
    };
    let ui = json!({"x": 1.5});
    assert_eq!(
        declared(MODERN, "server/discover").await,
        json!({"io.modelcontextprotocol/ui": ui, "io.modelcontextprotocol/tasks": {}})
    );
    assert_eq!(
        declared(LEGACY, "initialize").await,
        json!({"io.modelcontextprotocol/ui": ui})
    );
}
