//! Arguments of prompts and of resource templates are completed by the target that has them, whichever era either side speaks.

use serde_json::{Value, json};
use testkit::fake_mcp::Script;

use crate::world::{LEGACY, MODERN, World, world};

fn completing(completes: bool, script: Script) -> Script {
    let mut script = script
        .with_prompts(vec![
            json!({"name": "review", "arguments": [{"name": "code"}]}),
        ])
        .with_resources(
            Vec::new(),
            vec![json!({"uriTemplate": "db://{table}/{id}", "name": "rows"})],
        );
    script.completes = completes;
    script
}

async fn complete(world: &World, era: &str, reference: &Value) -> Value {
    let params = json!({"ref": reference, "argument": {"name": "x", "value": "ab"}});
    world.ask(era, "completion/complete", params).await
}

// TM-5, TM-16
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn arguments_are_completed_where_they_belong_in_every_cell() {
    for script in [Script::modern(), Script::legacy()] {
        let world = world(completing(true, script)).await;
        for era in [MODERN, LEGACY] {
            for (reference, completed) in [
                (
                    json!({"type": "ref/prompt", "name": "my-mcp-server___review", "title": "R"}),
                    "reviewab",
                ),
                (
                    json!({"type": "ref/resource", "uri": "db://{table}/{id}"}),
                    "db://{table}/{id}ab",
                ),
                (
                    json!({"type": "ref/resource", "uri": "db://users/7"}),
                    "db://users/7ab",
                ),
            ] {
                let answer = complete(&world, era, &reference).await;
                let result = &answer["result"];
                assert_eq!(
                    result["completion"]["values"],
                    json!([completed]),
                    "{answer}"
                );
                assert_eq!(result["resultType"].is_string(), era == MODERN, "{answer}");
                assert!(result.get("content").is_none(), "{answer}");
            }
        }
        let asked = world.upstream.seen_of("completion/complete");
        assert_eq!(asked.len(), 6);
        assert_eq!(asked[0].json()["params"]["ref"]["title"], "R");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_can_be_completed_nowhere_is_refused_or_has_no_values() {
    let world = world(completing(false, Script::dual())).await;
    world.gateway.settle().await;
    let known = json!({"type": "ref/prompt", "name": "my-mcp-server___review"});
    for era in [MODERN, LEGACY] {
        let answer = complete(&world, era, &known).await;
        assert_eq!(
            answer["result"]["completion"]["values"],
            json!([]),
            "{answer}"
        );
        assert_eq!(answer["result"]["resultType"].is_string(), era == MODERN);
        for wrong in [
            json!({"type": "ref/prompt", "name": "review"}),
            json!({"type": "ref/prompt", "uri": "db://{table}/{id}"}),
            json!({"type": "ref/tool", "name": "my-mcp-server___echo"}),
            json!({"type": "ref/resource", "uri": "odd:x"}),
            json!({"name": "my-mcp-server___review"}),
            json!({"type": "ref/prompt", "name": "my-mcp-server___review", "Name": "x"}),
            json!("x"),
            Value::Null,
        ] {
            let answer = complete(&world, era, &wrong).await;
            assert_eq!(answer["error"]["code"], -32602, "{wrong}: {answer}");
        }
    }
    assert!(world.upstream.seen_of("completion/complete").is_empty());
}

// UC-12
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn completions_are_declared_where_a_target_makes_some() {
    for completes in [true, false] {
        let world = world(completing(completes, Script::dual())).await;
        world.gateway.settle().await;
        let discovered = world.alice().modern("server/discover", json!({})).await;
        let discovered = discovered.json().await;
        let declared = &discovered["result"]["capabilities"]["completions"];
        assert_eq!(declared.is_object(), completes, "{discovered}");
    }
}
