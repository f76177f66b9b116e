//! The server: what each method answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rmcp::model::*;
use rmcp::service::{RequestContext, SubscriptionContext, SubscriptionSink};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::tables::{self, text};
use crate::tasks;

type Context = RequestContext<RoleServer>;

#[derive(Clone)]
pub(crate) struct Everything {
    subscriptions: Arc<Mutex<Vec<(u64, SubscriptionSink)>>>,
    serial: Arc<AtomicU64>,
    /// How often the lists changed: that stands in them, since who keeps a list tells others of it only if it is another one.
    tool_changes: Arc<AtomicU64>,
    prompt_changes: Arc<AtomicU64>,
    states: RequestStateCodec,
    tasks: TaskManager,
}

impl Default for Everything {
    fn default() -> Self {
        Self {
            subscriptions: Arc::default(),
            serial: Arc::default(),
            tool_changes: Arc::default(),
            prompt_changes: Arc::default(),
            // Nothing depends on it here but that tampering shows.
            states: RequestStateCodec::new_unchecked(b"a key of the tests, of thirty-two bytes and more"),
            tasks: TaskManager::new(),
        }
    }
}

/// What a client gave for what it was asked.
enum Given {
    All(InputResponses),
    /// The result that asks for it.
    Not(InputRequiredResult),
}

/// What was written here as JSON.
pub(crate) fn parsed<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("it was written as the SDK reads it")
}

/// A result that is all: the SDK adds that to those which it makes itself only.
pub(crate) fn complete<T: DeserializeOwned>(mut result: Value) -> T {
    result["resultType"] = json!("complete");
    parsed(result)
}

/// A result of one text.
pub(crate) fn said(what: &str) -> CallToolResult {
    complete(json!({"content": [text(what)]}))
}

/// A list that may be kept.
fn kept<T: DeserializeOwned>(word: &str, all: Value) -> T {
    complete(json!({word: all, "ttlMs": 60_000, "cacheScope": "public"}))
}

/// A list whose first entry tells how often it changed.
fn counted(mut list: Value, changes: &AtomicU64) -> Value {
    list[0]["description"] = json!(format!("The first of the list after change {}", changes.load(Ordering::Relaxed)));
    list
}

/// Whether the client speaks the stateless era: it declares what it can be asked with each request.
fn is_stateless(context: &Context) -> bool {
    context.meta.client_capabilities().is_some()
}

/// What the client declared, in either era.
fn declared_by(context: &Context) -> ClientCapabilities {
    let declared = context.meta.client_capabilities();
    declared.or_else(|| context.peer.peer_info().map(|info| info.capabilities.clone())).unwrap_or_default()
}

/// Asks a client of the session era for each, all at once, if it can be asked.
async fn push(context: &Context, questions: Value) -> Result<InputResponses, ErrorData> {
    let declared = declared_by(context);
    let can_be_asked = |question: &Value| match question["method"].as_str() {
        Some("elicitation/create") => declared.elicitation.is_some(),
        Some("sampling/createMessage") => declared.sampling.is_some(),
        _ => declared.roots.is_some(),
    };
    if !questions.as_object().into_iter().flat_map(|all| all.values()).all(can_be_asked) {
        return Err(ErrorData::invalid_request("the client can't be asked for this", None));
    }
    let asking = questions.as_object().cloned().unwrap_or_default().into_iter().map(|(key, question)| {
        let peer = context.peer.clone();
        tokio::spawn(async move {
            let answer = match parsed::<InputRequest>(question) {
                InputRequest::Elicitation(ask) => peer.create_elicitation(ask.params).await.map(|said| json!(said)),
                InputRequest::CreateMessage(ask) => peer.create_message(ask.params).await.map(|said| json!(said)),
                _ => peer.list_roots().await.map(|said| json!(said)),
            };
            answer.map(|answer| (key, answer))
        })
    });
    let mut answers = InputResponses::new();
    for asked in asking.collect::<Vec<_>>() {
        let answered = asked.await.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let (key, answer) = answered.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        answers.insert(key, answer);
    }
    Ok(answers)
}

impl Everything {
    fn state(&self, value: &Value) -> Result<String, ErrorData> {
        self.states.seal_json(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    fn opened(&self, state: Option<&str>) -> Result<Option<Value>, ErrorData> {
        let open = |state| self.states.open_json(state);
        state.map(open).transpose().map_err(|_| ErrorData::invalid_params("not a state of this server", None))
    }

    /// What is given for these questions, in either era; or the result that asks for it.
    async fn given(
        &self,
        (name, questions): (&str, Value),
        given: Option<InputResponses>,
        state: Option<&str>,
        context: &Context,
    ) -> Result<Given, ErrorData> {
        if !is_stateless(context) {
            return push(context, questions).await.map(Given::All);
        }
        let has_state = matches!(
            name,
            "test_input_required_result_request_state"
                | "test_input_required_result_tampered_state"
                | "test_input_required_result_multiple_inputs"
        );
        let opened = self.opened(state)?;
        let keys = questions.as_object().into_iter().flat_map(|all| all.keys());
        let is_given = |key: &String| given.as_ref().is_some_and(|given| given.get(key).is_some_and(Value::is_object));
        let all = keys.clone().all(is_given) && (!has_state || opened.is_some());
        match given {
            Some(given) if all => Ok(Given::All(given)),
            _ => {
                let mut result = json!({"resultType": "input_required", "inputRequests": questions});
                if has_state {
                    result["requestState"] = json!(self.state(&json!({}))?);
                }
                Ok(Given::Not(parsed(result)))
            }
        }
    }

    /// Two rounds; how far it is stands in the state.
    async fn rounds(&self, request: CallToolRequestParams, context: &Context) -> Result<CallToolResponse, ErrorData> {
        let question = |message: &str, key: &str| tables::form(message, &json!({key: {"type": "string"}}));
        if !is_stateless(context) {
            push(context, json!({"step1": question("Your name?", "name")})).await?;
            push(context, json!({"step2": question("Your colour?", "color")})).await?;
            return Ok(said("both rounds").into());
        }
        let round = self.opened(request.request_state.as_deref())?.and_then(|state| state["round"].as_u64());
        let ask = |key: &str, question: Value, round: u64| -> Result<CallToolResponse, ErrorData> {
            let state = self.state(&json!({"round": round}))?;
            let asked = json!({"resultType": "input_required", "inputRequests": {key: question}, "requestState": state});
            Ok(parsed::<InputRequiredResult>(asked).into())
        };
        match round {
            None => ask("step1", question("Your name?", "name"), 1),
            Some(1) => ask("step2", question("Your colour?", "color"), 2),
            Some(_) => Ok(said("both rounds").into()),
        }
    }

    /// Asks only for what the client declared.
    fn as_declared(context: &Context, questions: &mut Value) {
        let declared = declared_by(context);
        if let Some(questions) = questions.as_object_mut() {
            questions.retain(|key, _| match key.as_str() {
                "user_name" => declared.elicitation.is_some(),
                "greeting" => declared.sampling.is_some(),
                _ => declared.roots.is_some(),
            });
        }
    }

    async fn announce(&self, tools: bool) {
        let changes = if tools { &self.tool_changes } else { &self.prompt_changes };
        changes.fetch_add(1, Ordering::Relaxed);
        let open = self.subscriptions.lock().await.clone();
        for (_, subscription) in open {
            // Whoever left hears nothing.
            let _ = if tools { subscription.notify_tool_list_changed().await } else { subscription.notify_prompt_list_changed().await };
        }
    }

    async fn log(context: &Context, level: LoggingLevel, what: &str) {
        let message = LoggingMessageNotificationParam::new(level, json!(what)).with_logger("everything");
        let _ = context.peer.notify_logging_message(message).await;
    }

    async fn progress(context: &Context) {
        for done in [0.0, 50.0, 100.0] {
            if let Some(token) = context.meta.get_progress_token() {
                let progress = ProgressNotificationParam::new(token, done).with_total(100.0);
                let _ = context.peer.notify_progress(progress).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn call(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.to_string();
        let arguments = json!(request.arguments.clone().unwrap_or_default());
        if let Some(says) = tables::says(&name) {
            return Ok(complete::<CallToolResult>(says).into());
        }
        match name.as_str() {
            "test_tool_with_logging" => {
                for step in ["started", "under way", "done"] {
                    Self::log(&context, LoggingLevel::Info, step).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return Ok(said("There were three messages.").into());
            }
            "test_logging_tool" => {
                if let Some(level) = context.meta.log_level() {
                    Self::log(&context, level, "It ran").await;
                }
                return Ok(said("Logged.").into());
            }
            "test_tool_with_progress" => {
                Self::progress(&context).await;
                return Ok(said("All of it.").into());
            }
            "test_reconnection" => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                return Ok(said("Here again.").into());
            }
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                self.announce(name == "test_trigger_tool_change").await;
                return Ok(said("Told.").into());
            }
            "test_input_required_result_multi_round" => return self.rounds(request, &context).await,
            "test_missing_capability" if is_stateless(&context) => {
                let declared = context.meta.client_capabilities().unwrap_or_default();
                if declared.sampling.is_none() {
                    let needed = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
            }
            "test_tool_with_task" => return self.then_task(request, context).await,
            task if tasks::NAMES.contains(&task) => {
                let knows = context.client_capabilities().is_some_and(|declared| declared.supports_tasks());
                return tasks::call(&self.tasks, task, arguments, knows).await;
            }
            _ => {}
        }
        let Some(mut questions) = tables::asks(&name, &arguments) else {
            return Err(ErrorData::invalid_params(format!("unknown tool: {name}"), None));
        };
        if name == "test_input_required_result_capabilities" {
            Self::as_declared(&context, &mut questions);
        }
        let state = request.request_state.as_deref();
        match self.given((&name, questions), request.input_responses, state, &context).await? {
            Given::All(given) => Ok(said(&format!("state-ok: {}", json!(given))).into()),
            Given::Not(required) => Ok(required.into()),
        }
    }

    /// Asks first, and makes a task of it then.
    async fn then_task(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let knows = context.client_capabilities().is_some_and(|declared| declared.supports_tasks());
        let name = request.input_responses.as_ref().and_then(|given| given.get("user_name")).cloned();
        match (knows, name) {
            (true, None) => {
                let question = tables::form("Your name?", &json!({"name": {"type": "string"}}));
                let asked = json!({"resultType": "input_required", "inputRequests": {"user_name": question}});
                Ok(parsed::<InputRequiredResult>(asked).into())
            }
            (_, name) => {
                let who = json!({"who": name.unwrap_or_default()["content"]["name"]});
                tasks::call(&self.tasks, "test_tool_with_task", who, knows).await
            }
        }
    }
}

impl ServerHandler for Everything {
    fn get_tool(&self, name: &str) -> Option<Tool> {
        (name == "test_custom_header").then(|| parsed(tables::mirrored()))
    }

    fn get_info(&self) -> ServerInfo {
        let capabilities = ServerCapabilities::builder()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_resources_list_changed()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_logging()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerInfo::new(capabilities).with_server_info(Implementation::new("everything", "0.0.0"))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        self.subscriptions.lock().await.push((serial, context.sink().clone()));
        context.cancelled().await;
        self.subscriptions.lock().await.retain(|(one, _)| *one != serial);
        Ok(())
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(kept("tools", counted(tables::tools().into(), &self.tool_changes)))
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        self.call(request, context).await
    }

    async fn get_task(&self, request: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn list_prompts(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListPromptsResult, ErrorData> {
        Ok(kept("prompts", counted(tables::prompts(), &self.prompt_changes)))
    }

    async fn get_prompt(&self, request: GetPromptRequestParams, context: Context) -> Result<GetPromptResponse, ErrorData> {
        let arguments = json!(request.arguments.unwrap_or_default());
        if let Some(messages) = tables::prompt(&request.name, &arguments) {
            return Ok(complete::<GetPromptResult>(messages).into());
        }
        let Some(questions) = tables::asks(&request.name, &arguments) else {
            return Err(ErrorData::invalid_params("unknown prompt", None));
        };
        let state = request.request_state.as_deref();
        match self.given((&request.name, questions), request.input_responses, state, &context).await? {
            Given::All(given) => {
                let message = json!({"role": "user", "content": text(&json!(given).to_string())});
                Ok(complete::<GetPromptResult>(json!({"messages": [message]})).into())
            }
            Given::Not(required) => Ok(required.into()),
        }
    }

    async fn list_resources(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListResourcesResult, ErrorData> {
        Ok(kept("resources", tables::resources()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(kept("resourceTemplates", tables::templates()))
    }

    async fn read_resource(&self, request: ReadResourceRequestParams, _: Context) -> Result<ReadResourceResponse, ErrorData> {
        match tables::read(&request.uri) {
            Some(contents) => Ok(kept::<ReadResourceResult>("contents", json!([contents])).into()),
            None => Err(ErrorData::resource_not_found("no such resource", Some(json!({"uri": request.uri})))),
        }
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        Ok(complete(json!({"completion": {"values": ["one"], "total": 1, "hasMore": false}})))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }
}
