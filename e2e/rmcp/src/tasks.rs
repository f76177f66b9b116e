//! Tools that take long, as tasks (SEP-2663).

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, ClientCapabilities, CreateTaskResult, InputRequest};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Value, json};

use crate::everything::{complete, parsed, said};
use crate::tables::form;

pub(crate) const NAMES: [&str; 7] = [
    "greet",
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];

/// Those that are nothing but a task.
const ONLY_TASKS: [&str; 4] = ["failing_job", "confirm_delete", "multi_input", "test_tool_with_task"];

/// Puts a question to the client, and waits for the answer.
async fn ask(context: Option<&TaskContext>, key: &str, question: Value) -> Result<Value, TaskExit> {
    let context = context.ok_or(TaskExit::Cancelled)?;
    let answer = context.request_input(key, parsed::<InputRequest>(question)).await?;
    Ok(serde_json::to_value(answer).unwrap_or_default())
}

/// What a job comes to; without a context there is nobody to ask.
async fn job(name: String, arguments: Value, context: Option<&TaskContext>) -> Result<CallToolResult, TaskExit> {
    let question = |message: &str| form(message, &json!({"value": {"type": "string"}}));
    match name.as_str() {
        "slow_compute" => {
            tokio::time::sleep(Duration::from_secs_f64(arguments["seconds"].as_f64().unwrap_or(1.0))).await;
            Ok(said("computed"))
        }
        "failing_job" => {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(complete(json!({"content": [{"type": "text", "text": "it failed"}], "isError": true})))
        }
        "protocol_error_job" => Err(TaskExit::Error(ErrorData::internal_error("it broke", None))),
        "confirm_delete" => {
            let yes = ask(context, "confirm", form("Delete it?", &json!({"confirm": {"type": "boolean"}}))).await?;
            Ok(said(&format!("confirmed: {}", yes["content"]["confirm"])))
        }
        "multi_input" => {
            let (one, other) = tokio::join!(ask(context, "input-a", question("One?")), ask(context, "input-b", question("Another?")));
            Ok(said(&format!("{} {}", one?["content"]["value"], other?["content"]["value"])))
        }
        _ => {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(said(&format!("Hello, {}!", arguments["who"].as_str().unwrap_or("nobody"))))
        }
    }
}

/// Calls one of the tools here.
pub(crate) async fn call(
    tasks: &TaskManager,
    name: &str,
    arguments: Value,
    knows_tasks: bool,
) -> Result<CallToolResponse, ErrorData> {
    if !knows_tasks && ONLY_TASKS.contains(&name) {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    if name == "greet" {
        return Ok(said(&format!("Hello, {}!", arguments["name"].as_str().unwrap_or("nobody"))).into());
    }
    let name = name.to_owned();
    if !knows_tasks {
        return match job(name, arguments, None).await {
            Ok(result) => Ok(result.into()),
            Err(TaskExit::Error(error)) => Err(error),
            Err(_) => Err(ErrorData::internal_error("cancelled", None)),
        };
    }
    let task = tasks.spawn(TaskOptions::default(), move |context| {
        Box::pin(async move {
            tokio::select! {
                _ = context.cancelled() => Err(TaskExit::Cancelled),
                done = job(name, arguments, Some(&context)) => done,
            }
        })
    });
    Ok(CreateTaskResult::new(task).into())
}
