//! What targets of the session era say outside of any call reaches the client in whose session they say it, on the standalone
//! stream of its own session.

use http::Method;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, FakeMcp, Script};

use crate::messages::Messages;
use crate::world::{Actor, LEGACY, World, world};

/// A client that can fill in forms and has its stream open, and its session at the target.
async fn with_stream<'a>(world: &'a World, actor: Actor<'a>) -> (Actor<'a>, Messages, String) {
    let id = actor.initialize_with(json!({"elicitation": {}})).await;
    let actor = actor.with("mcp-session-id", id);
    let stream = actor.clone().with("accept", "text/event-stream");
    let headers = [("mcp-protocol-version", LEGACY)];
    let stream = Messages::of(stream.send(Method::GET, "/mcp", &headers, "").await);
    let calls = world.upstream.seen_of("tools/call").len();
    actor.call(LEGACY, "echo", json!({})).await;
    let called = world.upstream.seen_of("tools/call")[calls].clone();
    let session = called.header("mcp-session-id").unwrap().to_owned();
    let listens = |fake: &FakeMcp| {
        let streams = fake.seen_of("GET");
        let mut streams = streams.iter();
        streams.any(|seen| seen.header("mcp-session-id") == Some(&session))
    };
    world.upstream.until("its stream", listens).await.unwrap();
    let open = |fake: &FakeMcp| fake.open_streams() >= 2;
    world.upstream.until("open streams", open).await.unwrap();
    (actor, stream, session)
}

/// The next message that is not about lists.
async fn next(messages: &mut Messages) -> Option<Value> {
    loop {
        let message = messages.next().await?;
        let method = message["method"].as_str().unwrap_or_default();
        if !method.ends_with("list_changed") {
            return Some(message);
        }
    }
}

fn log(level: &str, data: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": data}})
}

// TL-7, UC-8, SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_client_hears_what_is_said_in_its_own_session() {
    let world = world(Script::legacy()).await;
    let (alice, mut to_alice, of_alice) = with_stream(&world, world.alice()).await;
    let (mallory, mut to_mallory, of_mallory) = with_stream(&world, world.mallory()).await;
    assert_ne!(of_alice, of_mallory);
    world.upstream.say(&of_alice, &log("info", "for alice"));
    world.upstream.say(&of_mallory, &log("info", "for mallory"));
    assert_eq!(
        next(&mut to_alice).await.unwrap()["params"]["data"],
        "for alice"
    );
    assert_eq!(
        next(&mut to_mallory).await.unwrap()["params"]["data"],
        "for mallory"
    );
    for actor in [alice, mallory] {
        actor.send(Method::DELETE, "/mcp", &[], "").await;
    }
    assert!(next(&mut to_alice).await.is_none());
}

// TL-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_is_asked_there_and_answers_to_who_asked() {
    let world = world(Script::legacy()).await;
    let (alice, mut to_alice, session) = with_stream(&world, world.alice()).await;
    let ask = |method: &str| json!({"jsonrpc": "2.0", "id": method, "method": method, "params": {"message": "Well?"}});
    // Nobody declared that it has roots.
    world.upstream.say(&session, &ask("roots/list"));
    world.upstream.say(&session, &ask("elicitation/create"));
    let asked = next(&mut to_alice).await.unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    assert_ne!(asked["id"], "elicitation/create");
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "decline"}});
    let headers = [("mcp-protocol-version", LEGACY)];
    alice.post(&headers, answer.to_string()).await;
    for (id, answered) in [("roots/list", "-32601"), ("elicitation/create", "decline")] {
        let is_told = |fake: &FakeMcp| {
            let seen = fake.seen();
            let mut answers = seen.iter().filter(|seen| seen.json()["id"] == id);
            answers.any(|seen| {
                seen.body.contains(answered) && seen.header("mcp-session-id") == Some(&session)
            })
        };
        world.upstream.until(id, is_told).await.unwrap();
    }
    alice.send(Method::DELETE, "/mcp", &[], "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn log_messages_are_of_the_level_that_the_session_chose() {
    let world = world(Script::legacy()).await;
    let (alice, mut to_alice, session) = with_stream(&world, world.alice()).await;
    let refused = alice
        .legacy("logging/setLevel", json!({"level": "loud"}))
        .await;
    assert_eq!(refused.refusal().await, (200, -32602));
    let set = alice
        .legacy("logging/setLevel", json!({"level": "warning"}))
        .await;
    assert_eq!(set.json().await["result"], json!({}));
    world.upstream.say(&session, &log("info", "left out"));
    world.upstream.say(&session, &log("error", "said"));
    assert_eq!(next(&mut to_alice).await.unwrap()["params"]["data"], "said");
    alice.send(Method::DELETE, "/mcp", &[], "").await;
}

// The stream breaks, the session is lost: what is said in the next one is heard as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_listens_hears_of_the_next_session_as_well() {
    let world = world(Script::legacy()).await;
    let (alice, mut to_alice, _) = with_stream(&world, world.alice()).await;
    world.upstream.forget_sessions();
    world.upstream.drop_streams();
    let calls = world.upstream.seen_of("tools/call").len();
    alice.call(LEGACY, "echo", json!({})).await;
    let seen = world.upstream.seen_of("tools/call");
    let session = seen.last().unwrap().header("mcp-session-id").unwrap();
    assert!(seen.len() > calls);
    let listens = |fake: &FakeMcp| {
        let streams = fake.seen_of("GET");
        let mut streams = streams.iter();
        streams.any(|seen| seen.header("mcp-session-id") == Some(session))
            && fake.open_streams() >= 1
    };
    world.upstream.until("its stream", listens).await.unwrap();
    // The stream is open a moment after it was seen.
    let mut heard = None;
    for _ in 0..100 {
        world.upstream.say(session, &log("info", "again"));
        let waiting =
            tokio::time::timeout(std::time::Duration::from_millis(50), next(&mut to_alice));
        heard = waiting.await.ok().flatten();
        if heard.is_some() {
            break;
        }
    }
    assert_eq!(heard.unwrap()["params"]["data"], "again");
    alice.send(Method::DELETE, "/mcp", &[], "").await;
}

// Some servers ask outside of a call for what they need in the middle of it: a client without a stream of its own is asked by
// its call then.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_without_a_stream_is_asked_by_its_call() {
    let script = Script::legacy().on("tools/call echo", Act::HangAfterHead);
    let world = world(script).await;
    let capabilities = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}});
    let params = json!({"name": "my-mcp-server___echo", "arguments": {}, "_meta": capabilities});
    let alice = world.alice();
    let calling = alice.modern("tools/call", params.clone());
    let asking = async {
        let called = |fake: &FakeMcp| !fake.seen_of("tools/call").is_empty();
        world.upstream.until("the call", called).await.unwrap();
        let seen = world.upstream.seen_of("tools/call");
        let session = seen[0].header("mcp-session-id").unwrap().to_owned();
        let ask = json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "Well?"}});
        world.upstream.say(&session, &ask);
    };
    let (answer, ()) = tokio::join!(calling, asking);
    let asked = answer.json().await["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let key = asked["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let mut again = params;
    again["inputResponses"] = json!({key: {"action": "decline"}});
    again["requestState"] = asked["requestState"].clone();
    let going_on = alice.modern("tools/call", again).await;
    let is_told = |fake: &FakeMcp| {
        let seen = fake.seen();
        seen.iter()
            .any(|seen| seen.json()["id"] == "q" && seen.body.contains("decline"))
    };
    world.upstream.until("the answer", is_told).await.unwrap();
    drop(going_on);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_on_the_standalone_stream_is_the_answer_of_its_call() {
    let accepted = Act::Answer {
        status: 202,
        content_type: "",
        headers: Vec::new(),
        body: String::new(),
    };
    let world = world(Script::legacy().on("tools/call query", accepted)).await;
    let (alice, _stream, session) = with_stream(&world, world.alice()).await;
    let calling = alice.call(LEGACY, "query", json!({}));
    let answering = async {
        let called = |fake: &FakeMcp| fake.seen_of("tools/call").len() == 2;
        world.upstream.until("the call", called).await.unwrap();
        let id = world.upstream.seen_of("tools/call")[1].json()["id"].clone();
        let result = json!({"content": [{"type": "text", "text": "late"}]});
        for id in [json!(987_654), id] {
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
            world.upstream.say(&session, &answer);
        }
    };
    let (answer, ()) = tokio::join!(calling, answering);
    let answer = answer.json().await;
    assert_eq!(answer["result"]["content"][0]["text"], "late", "{answer}");
    alice.send(Method::DELETE, "/mcp", &[], "").await;
}
