//! Tasks of the stateless era (SEP-2663): made by a call, asked about under an id that is sealed for whoever made them.

use serde_json::{Value, json};
use testkit::fake_mcp::{Act, Script};

use crate::world::{Actor, Answer, LEGACY, MODERN, World, world};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

async fn with_tasks() -> World {
    let answer =
        |result: Value| Act::json(format!(r#"{{"jsonrpc":"2.0","id":$ID,"result":{result}}}"#));
    let task = |result_type: &str, status: &str| json!({"resultType": result_type, "taskId": "own/1 é", "status": status, "ttlMs": null, "x": 1.5});
    let script = Script::modern()
        .on("tools/call echo", answer(task("task", "working")))
        .on("tasks/get", answer(task("complete", "working")))
        .on("tasks/update", answer(json!({"resultType": "complete"})))
        .on("tasks/cancel", answer(json!({})));
    world(script).await
}

/// A request of a client that knows of tasks.
async fn ask(actor: &Actor<'_>, method: &str, mut params: Value) -> Answer {
    params["_meta"] = json!({CAPABILITIES: {"extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {"c": 1.0}}}});
    let task = params["taskId"].as_str().map(str::to_owned);
    let actor = match task {
        Some(task) => actor.clone().with("mcp-name", task),
        None => actor.clone(),
    };
    actor.modern(method, params).await
}

async fn create(actor: &Actor<'_>) -> Value {
    let params = json!({"name": "my-mcp-server___echo", "arguments": {}});
    ask(actor, "tools/call", params).await.json().await["result"].clone()
}

// TM-5, UC-3, UC-6, UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_is_made_and_asked_about_under_a_sealed_id() {
    let world = with_tasks().await;
    let created = create(&world.alice()).await;
    assert_eq!(
        (&created["resultType"], &created["x"]),
        (&json!("task"), &json!(1.5))
    );
    assert_eq!(created.get("content"), None);
    let id = created["taskId"].clone();
    assert_ne!(id, "own/1 é");
    let declared = world.upstream.seen_of("tools/call")[0].json();
    let declared = &declared["params"]["_meta"][CAPABILITIES];
    assert_eq!(
        *declared,
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {"c": 1.0}}})
    );
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let params = json!({"taskId": id, "inputResponses": {"k": {"action": "accept"}}});
        let result = ask(&world.alice(), method, params).await.json().await["result"].clone();
        assert_eq!(result["resultType"], "complete", "{method}");
        assert_eq!(result.get("taskId"), (method == "tasks/get").then_some(&id));
        let seen = world.upstream.seen_of(method);
        let asked = seen[0].json();
        assert_eq!(asked["params"]["taskId"], "own/1 é");
        assert_eq!(asked["params"]["inputResponses"]["k"]["action"], "accept");
        assert_eq!(asked["params"].get("name"), None);
        assert_eq!(seen[0].header("mcp-name"), Some("=?base64?b3duLzEgw6k=?="));
    }
}

// SEC-66
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nobody_asks_about_a_task_of_somebody_else() {
    let world = with_tasks().await;
    let id = create(&world.alice()).await["taskId"].clone();
    let mut changed = id.as_str().unwrap().to_owned();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'B' } else { 'A' });
    for (actor, id) in [
        (world.mallory(), id.clone()),
        (world.alice(), json!(changed)),
        (world.alice(), json!("own")),
        (world.alice(), json!("my-mcp-server")),
    ] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let refused = ask(&actor, method, json!({"taskId": id})).await;
            assert_eq!(refused.refusal().await, (200, -32602));
        }
    }
    assert!(world.upstream.seen_of("tasks/get").is_empty());
}

// TM-9
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_did_not_say_that_he_knows_of_tasks_gets_none() {
    let world = with_tasks().await;
    let id = create(&world.alice()).await["taskId"].clone();
    let alice = world.alice().with("mcp-name", id.as_str().unwrap());
    let refused = alice.modern("tasks/get", json!({"taskId": id})).await;
    assert_eq!(refused.status, 400);
    let error = refused.json().await["error"].clone();
    assert_eq!(error["code"], -32021);
    let required = &error["data"]["requiredCapabilities"]["extensions"];
    assert_eq!(*required, json!({"io.modelcontextprotocol/tasks": {}}));
    // A target that makes one all the same.
    for era in [MODERN, LEGACY] {
        let answer = world.alice().call(era, "echo", json!({})).await;
        assert_eq!(answer.json().await["error"]["code"], -31502, "{era}");
    }
    let legacy = world
        .alice()
        .legacy("tasks/get", json!({"taskId": id}))
        .await;
    assert_eq!(legacy.refusal().await, (200, -32601));
}
