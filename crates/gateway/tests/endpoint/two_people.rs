//! Two people at once: what is asked, said and told of each reaches him alone, and what one knows of the other's is of no use to him.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod under_way;

use http::Method;
use serde_json::{Value, json};
use testkit::fake_mcp::{Act, Script, tool};

use crate::messages::Messages;
use crate::world::{Actor, LEGACY, MODERN, World, in_each_era, world};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The progress token of both.
const TOKEN: &str = "the same of both";
const OF_ALICE: &str = "file:///of-alice";
const OF_MALLORY: &str = "file:///of-mallory";

/// A target that asks, says and tells.
fn script(script: Script) -> Script {
    let resource = |uri| json!({"uri": uri, "name": uri});
    let mut script = script.with_resources(vec![resource(OF_ALICE), resource(OF_MALLORY)], vec![]);
    script.tools.extend([tool("sample"), tool("steps")]);
    script.subscribes = true;
    script.logs = true;
    script
}

async fn targets() -> Vec<World> {
    in_each_era(script).await
}

/// Somebody with a session, who can be asked.
struct Person<'a> {
    actor: Actor<'a>,
    session: String,
}

impl<'a> Person<'a> {
    async fn begin(actor: Actor<'a>) -> Self {
        let declared = json!({"elicitation": {}, "sampling": {}});
        let session = actor.initialize_with(declared).await;
        let actor = actor.with("mcp-session-id", session.clone());
        Self { actor, session }
    }

    /// His session's own stream.
    async fn listen(&self) -> Messages {
        let stream = self.actor.clone().with("accept", "text/event-stream");
        let headers = [("mcp-protocol-version", LEGACY)];
        Messages::of(stream.send(Method::GET, "/mcp", &headers, "").await)
    }

    async fn end(&self) {
        self.actor.send(Method::DELETE, "/mcp", &[], "").await;
    }
}

/// Sends what is no request in an era: the status.
async fn say(actor: &Actor<'_>, era: &str, message: &Value) -> u16 {
    let headers = [("mcp-protocol-version", era)];
    let answer = actor.post(&headers, message.to_string()).await;
    answer.status.as_u16()
}

fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

fn response(id: &Value, result: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

fn cancelled(id: &Value) -> Value {
    notification("notifications/cancelled", &json!({"requestId": id}))
}

fn progress() -> Value {
    let params = json!({"progressToken": TOKEN, "progress": 99, "message": "forged"});
    notification("notifications/progress", &params)
}

/// Mallory does in a session of Alice whatever can be done in one, with the id of what Alice is being asked.
async fn forge_in(world: &World, session: &str, asked: &Value) {
    let mallory = world.mallory().with("mcp-session-id", session);
    let forged = json!({"action": "accept", "content": {"name": "forged"}});
    for message in [
        response(asked, &forged),
        json!({"jsonrpc": "2.0", "id": asked, "error": {"code": -1, "message": "forged"}}),
        cancelled(asked),
        cancelled(&json!(1)),
        progress(),
        notification("notifications/initialized", &json!({})),
    ] {
        let status = say(&mallory, LEGACY, &message).await;
        assert_eq!(status, 404, "{message}");
    }
    let uri = json!({"uri": OF_ALICE});
    for (method, params) in [
        ("resources/subscribe", uri.clone()),
        ("resources/unsubscribe", uri),
        ("logging/setLevel", json!({"level": "emergency"})),
        ("tools/list", json!({})),
        ("ping", json!({})),
    ] {
        let refused = mallory.legacy(method, params).await;
        assert_eq!(refused.status, 404, "{method}");
    }
    let refused = mallory.call(LEGACY, "echo", json!({})).await;
    assert_eq!(refused.status, 404);
    let mallory = mallory.with("accept", "text/event-stream");
    for method in [Method::GET, Method::DELETE] {
        let headers = [("mcp-protocol-version", LEGACY)];
        let refused = mallory.send(method.clone(), "/mcp", &headers, "").await;
        assert_eq!(refused.status, 404, "{method}");
    }
}

/// The text that came of a call.
fn heard(message: &Value) -> &str {
    let text = message["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("a result expected: {message}"))
}

/// The next message about a resource; lists may change meanwhile.
async fn next_update(messages: &mut Messages) -> Value {
    loop {
        let message = messages.next().await.unwrap();
        if message["method"] == "notifications/resources/updated" {
            return message["params"].clone();
        }
    }
}

// TL-7, TL-10, SEC-66: what one subscribed to with a session is neither ended nor heard with that of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_hears_of_his_own_resources_whoever_knows_his_session() {
    for world in targets().await {
        let alice = Person::begin(world.alice()).await;
        let mallory = Person::begin(world.mallory()).await;
        let (mut of_alice, mut of_mallory) = (alice.listen().await, mallory.listen().await);
        for (person, uri) in [(&alice, OF_ALICE), (&mallory, OF_MALLORY)] {
            let params = json!({"uri": uri});
            let answer = person.actor.legacy("resources/subscribe", params).await;
            assert_eq!(answer.json().await["result"], json!({}));
        }
        forge_in(&world, &alice.session, &json!(1)).await;
        let uri = json!({"uri": OF_ALICE});
        for mallory in [&mallory.actor, &world.mallory()] {
            mallory.legacy("resources/unsubscribe", uri.clone()).await;
        }
        for _ in 0..2 {
            world.upstream.announce_updated(OF_ALICE);
            assert_eq!(next_update(&mut of_alice).await["uri"], OF_ALICE);
            world.upstream.announce_updated(OF_MALLORY);
            assert_eq!(next_update(&mut of_mallory).await["uri"], OF_MALLORY);
        }
        // He goes, and she stays.
        mallory.end().await;
        world.upstream.announce_updated(OF_ALICE);
        assert_eq!(next_update(&mut of_alice).await["uri"], OF_ALICE);
        alice.end().await;
        for mut messages in [of_alice, of_mallory] {
            while messages.next().await.is_some() {}
        }
    }
}

// TM-15, SEC-66: the same of clients of the stateless era, which have one id for their subscriptions.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_hears_of_his_own_resources_whoever_has_the_same_id() {
    for world in targets().await {
        let (alice, mallory) = (world.alice(), world.mallory());
        let listen = async |actor: &Actor<'_>, uri: &str| {
            let params = json!({"notifications": {"resourceSubscriptions": [uri]}});
            let answer = actor.modern("subscriptions/listen", params).await;
            let mut messages = Messages::of(answer);
            let agreed = messages.next().await.unwrap();
            let agreed = &agreed["params"]["notifications"];
            assert_eq!(*agreed, json!({"resourceSubscriptions": [uri]}));
            messages
        };
        let mut of_alice = listen(&alice, OF_ALICE).await;
        let mut of_mallory = listen(&mallory, OF_MALLORY).await;
        for era in [MODERN, LEGACY] {
            assert_eq!(say(&mallory, era, &cancelled(&json!(1))).await, 202);
        }
        let id = "io.modelcontextprotocol/subscriptionId";
        for _ in 0..2 {
            for (messages, uri) in [(&mut of_alice, OF_ALICE), (&mut of_mallory, OF_MALLORY)] {
                world.upstream.announce_updated(uri);
                let update = next_update(messages).await;
                assert_eq!(
                    (&update["uri"], &update["_meta"][id]),
                    (&json!(uri), &json!(1))
                );
            }
        }
        drop(of_mallory);
        world.upstream.announce_updated(OF_ALICE);
        assert_eq!(next_update(&mut of_alice).await["uri"], OF_ALICE);
    }
}

// SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_asks_about_his_own_task_and_nobody_about_the_other_s() {
    let answer = |result: Value| {
        let answer = json!({"jsonrpc": "2.0", "id": "$ID", "result": result}).to_string();
        Act::json(answer.replace("\"$ID\"", "$ID"))
    };
    let task = |kind: &str| json!({"resultType": kind, "taskId": "task-$ID", "status": "working", "ttlMs": null});
    let script = Script::modern()
        .on("tools/call echo", answer(task("task")))
        .on("tasks/get", answer(task("complete")))
        .on("tasks/update", answer(json!({"resultType": "complete"})))
        .on("tasks/cancel", answer(json!({"resultType": "complete"})));
    let world = world(script).await;
    let knows = json!({CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    let create = async |actor: &Actor<'_>| {
        let params = json!({"name": "my-mcp-server___echo", "arguments": {}, "_meta": knows});
        let created = actor.modern("tools/call", params).await.json().await;
        created["result"]["taskId"].as_str().unwrap().to_owned()
    };
    let ask = async |actor: &Actor<'_>, method: &str, task: &str| {
        let params = json!({"taskId": task, "inputResponses": {}, "_meta": knows});
        let actor = actor.clone().with("mcp-name", task);
        actor.modern(method, params).await
    };
    let (alice, mallory) = (world.alice(), world.mallory());
    let (hers, his) = (create(&alice).await, create(&mallory).await);
    assert_ne!(hers, his);
    let own: Vec<String> = world
        .upstream
        .seen_of("tools/call")
        .iter()
        .map(|seen| format!("task-{}", seen.json()["id"]))
        .collect();
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        // Each tries the other's id, as it is and as the target has it.
        for (actor, task) in [
            (&mallory, hers.as_str()),
            (&mallory, own[0].as_str()),
            (&alice, his.as_str()),
        ] {
            let refused = ask(actor, method, task).await;
            assert_eq!(refused.refusal().await, (200, -32602), "{method}");
        }
        let legacy = mallory.legacy(method, json!({"taskId": hers})).await;
        assert_eq!(legacy.refusal().await, (200, -32601), "{method}");
        assert!(world.upstream.seen_of(method).is_empty(), "{method}");
        for (actor, task) in [(&mallory, &his), (&alice, &hers)] {
            let answer = ask(actor, method, task).await.json().await;
            assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
            if method == "tasks/get" {
                assert_eq!(answer["result"]["taskId"], *task, "{answer}");
            }
        }
        let seen = world.upstream.seen_of(method);
        let asked: Vec<String> = seen
            .iter()
            .map(|seen| seen.json()["params"]["taskId"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(asked, [own[1].clone(), own[0].clone()], "{method}");
    }
}
