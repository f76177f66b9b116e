//! Tasks of the stateless era (SEP-2663): what a target does for longer than a call. The id that a client gets is sealed: it
//! says at which target the task is, of which tool, and whose, so that any node finds it and nobody guesses another's.

use std::sync::Arc;

use http::StatusCode;
use mcp::capability::ClientCapabilities;
use mcp::edit::Change;
use mcp::feature::Feature;
use mcp::method::Method;
use mcp::params::{CallParams, Params};
use mcp::raw::Raw;
use mcp::result::task_response;
use targets::error::{CallError, Violation};
use targets::reply::{Answer, Outcome};

use crate::caller::Caller;
use crate::catalog::entry::Entry;
use crate::client::Client;
use crate::cx::Cx;
use crate::refusal::Refusal;
use crate::seal::Purpose;

/// The first byte of a sealed id, so that its form can change.
const FORM: u8 = 1;

/// A task, as the id says that a client has.
#[derive(Debug)]
pub(crate) struct Task {
    /// The id as the client has it.
    pub(crate) id: Box<str>,
    /// The target's own id.
    own: Box<str>,
    target: Box<str>,
    /// The tool that it is of, as the target calls it.
    tool: Box<str>,
}

impl Task {
    /// The task that a request is about; none if its method is about none.
    ///
    /// # Errors
    /// If the client did not declare that it knows of tasks, or there is no such task of this caller.
    pub(crate) fn of(
        cx: &Cx,
        caller: &Caller,
        method: Method,
        params: &Params<'_>,
    ) -> Result<Option<Self>, Refusal> {
        if method.mirrored_member() != Some("taskId") {
            return Ok(None);
        }
        let declared = params.meta.client_capabilities.map(ClientCapabilities::of);
        if !declared.is_some_and(|declared| declared.has(ClientCapabilities::TASKS)) {
            return Err(Refusal::TasksUndeclared);
        }
        let id = params.raw.and_then(|params| params.get("taskId"));
        let id = id.and_then(Raw::text);
        let id = id.ok_or(Refusal::InvalidParams("`taskId` must be a string"))?;
        let plain = cx.seal.open(Purpose::Task, id.as_bytes());
        let task = plain.and_then(|plain| read(&plain, &caller.fingerprint, &id));
        task.map(Some).ok_or(Refusal::UnknownTask)
    }

    /// Where the task is, as far as that is declared still.
    pub(crate) fn entry(&self, cx: &Cx) -> Result<Arc<Entry>, Refusal> {
        let mut behind = cx.behind.iter().map(|one| &one.target);
        let target = behind.find(|target| **target.name() == *self.target);
        let target = target.ok_or(Refusal::UnknownTask)?;
        let tool: Arc<str> = (&*self.tool).into();
        Ok(Arc::new(Entry {
            name: Arc::clone(&tool),
            listed_as: tool,
            target: target.clone(),
            param_headers: Vec::new(),
            calls: Arc::new(cx.metrics.calls(&cx.name, target.name())),
        }))
    }

    /// What it is asked about as.
    pub(crate) const FEATURE: Feature = Feature::Tools;

    /// The parameters of a request, with the target's own id.
    pub(crate) fn params(&self, params: &CallParams) -> CallParams {
        params.with(&[Change::set_text("taskId", &self.own)])
    }
}

fn read(plain: &[u8], fingerprint: &[u8; 32], id: &str) -> Option<Task> {
    let (form, rest) = plain.split_first()?;
    let (whose, rest) = rest.split_first_chunk::<32>()?;
    if *form != FORM || whose != fingerprint {
        return None;
    }
    let mut parts = std::str::from_utf8(rest).ok()?.split('\0');
    let (target, tool) = (parts.next()?, parts.next()?);
    let own = parts.next()?;
    Some(Task {
        id: id.into(),
        own: own.into(),
        target: target.into(),
        tool: tool.into(),
    })
}

/// The message for a result that says that a task was created, and its HTTP status.
pub(crate) fn created(cx: &Cx, client: &Client, answer: &Answer) -> (Vec<u8>, StatusCode) {
    let origin = &client.origin;
    let knows =
        origin.declared.has(ClientCapabilities::TASKS) && client.method == Method::ToolsCall;
    let sealed = match &answer.outcome {
        Outcome::Result(result) if knows => {
            let own = result.borrow().get("taskId").and_then(Raw::text);
            let sealed = own.and_then(|own| seal(cx, client, &own));
            sealed.map(|id| (result.borrow(), id))
        }
        Outcome::Result(_) | Outcome::Error { .. } => None,
    };
    if let Some((result, task)) = sealed {
        let id = client.id.borrow();
        let message = task_response(id, result, &task, r#""task""#, &cx.server_info);
        return (message, StatusCode::OK);
    }
    let error = CallError::from(Violation::ResultType);
    let refusal = Refusal::of_call(&origin.target, error);
    let message = refusal.message(&client.id, client.era);
    (message, refusal.status(client.era))
}

fn seal(cx: &Cx, client: &Client, own: &str) -> Option<String> {
    let origin = &client.origin;
    // It would be read as something else.
    if own.contains('\0') {
        return None;
    }
    let place = [&*origin.target, &*origin.name, own].join("\0");
    let plain = [&[FORM][..], &origin.fingerprint, place.as_bytes()].concat();
    cx.seal.seal(Purpose::Task, &plain)
}

/// The message for what a target says about a task.
pub(crate) fn told(cx: &Cx, client: &Client, task: &str, result: Raw<'_>) -> Vec<u8> {
    let id = client.id.borrow();
    task_response(id, result, task, r#""complete""#, &cx.server_info)
}
