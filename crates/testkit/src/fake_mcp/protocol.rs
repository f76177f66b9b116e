//! What a well-behaved server answers, in both eras; a function of the script and the request.

use serde_json::{Value, json};

use super::insensitive;
use super::script::{Answers, Script, Speaks};
use super::seen::Seen;
use super::shared::Shared;
use super::wire::Plain;

const LEGACY_VERSIONS: &[&str] = &["2025-03-26", "2025-06-18", "2025-11-25"];
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// How to go on with a request.
pub(super) enum Reply {
    /// One answer.
    Plain(Plain),
    /// An SSE answer: these messages, then the end.
    Events(Vec<String>, Vec<(&'static str, String)>),
    /// A notification stream; the id of the request that opened it (modern).
    Notifications(Option<Value>),
    /// Ask the client something, then answer.
    Ask(Value, Question),
    /// Say something of a call, wait until the test says so, and say it again before the answer.
    Steps(Steps),
}

/// What the client is asked.
pub(super) struct Question {
    method: &'static str,
    params: Value,
}

impl Question {
    /// The request of this id that asks it.
    pub(super) fn request(&self, id: &Value) -> String {
        let (method, params) = (self.method, &self.params);
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
    }
}

/// What is said of a call, twice, and its answer.
pub(super) struct Steps {
    pub(super) messages: [Vec<String>; 2],
    pub(super) answer: String,
}

pub(super) fn error(status: u16, id: &Value, code: i64, message: &str, data: &Value) -> Plain {
    let mut error = json!({"code": code, "message": message});
    if !data.is_null()
        && let Some(error) = error.as_object_mut()
    {
        error.insert("data".to_owned(), data.clone());
    }
    Plain::json(
        status,
        json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string(),
    )
}

pub(super) fn answer(shared: &Shared, seen: &Seen) -> Reply {
    let script = shared.script.lock().clone();
    match seen.verb.as_str() {
        "POST" => {}
        "GET" if script.speaks != Speaks::Modern && (script.list_changed || script.subscribes) => {
            return match check_session(shared, &script, seen, &Value::Null) {
                Ok(()) => Reply::Notifications(None),
                Err(refusal) => Reply::Plain(refusal),
            };
        }
        "DELETE" if script.speaks != Speaks::Modern && script.sessions => {
            let id = seen.header("mcp-session-id").unwrap_or_default();
            let gone = shared.sessions.lock().remove(id).is_some();
            shared.note(|counts| counts.sessions_ended.push(id.to_owned()));
            return Reply::Plain(Plain::empty(if gone { 200 } else { 404 }));
        }
        _ => return Reply::Plain(Plain::empty(405)),
    }
    let message = if script.ignores_case {
        insensitive::message(&seen.body)
    } else {
        seen.json()
    };
    let id = message.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        // A client's answer to a request of ours, or nonsense.
        let status = if message.get("id").is_some() {
            202
        } else {
            400
        };
        return Reply::Plain(Plain::empty(status));
    };
    let params = message.get("params").cloned().unwrap_or(Value::Null);
    let modern = params
        .pointer("/_meta")
        .and_then(|meta| meta.get(VERSION))
        .is_some();
    let reply = match (modern, script.speaks) {
        (true, Speaks::Legacy) => Err(error(
            400,
            &Value::Null,
            -32600,
            "Bad Request: unsupported protocol version",
            &Value::Null,
        )),
        (true, Speaks::Modern | Speaks::Both) => self::modern(&script, seen, &id, method, &params),
        (false, Speaks::Modern) => Err(error(
            400,
            &id,
            -32602,
            "this server speaks 2026-07-28",
            &json!({"supported": script.modern_versions}),
        )),
        (false, Speaks::Legacy | Speaks::Both) => {
            legacy(shared, &script, seen, &id, method, &params)
        }
    };
    reply.unwrap_or_else(Reply::Plain)
}

fn modern(
    script: &Script,
    seen: &Seen,
    id: &Value,
    method: &str,
    params: &Value,
) -> Result<Reply, Plain> {
    let mismatch = |what: &str| error(400, id, -32020, what, &Value::Null);
    let version = params
        .pointer("/_meta")
        .and_then(|meta| meta.get(VERSION))
        .and_then(Value::as_str);
    if seen.header("mcp-protocol-version") != version {
        return Err(mismatch("MCP-Protocol-Version does not match the body"));
    }
    if !script
        .modern_versions
        .iter()
        .any(|known| Some(known.as_str()) == version)
    {
        let data = json!({"supported": script.modern_versions, "requested": version});
        return Err(error(
            400,
            id,
            -32022,
            "Unsupported protocol version",
            &data,
        ));
    }
    let capabilities = params.pointer("/_meta/io.modelcontextprotocol~1clientCapabilities");
    if !capabilities.is_some_and(Value::is_object) {
        return Err(error(
            400,
            id,
            -32602,
            "clientCapabilities is missing",
            &Value::Null,
        ));
    }
    if seen.header("mcp-method") != Some(method) {
        return Err(mismatch("Mcp-Method does not match the body"));
    }
    let name = match method {
        "tools/call" | "prompts/get" => params.get("name"),
        "resources/read" => params.get("uri"),
        _ => None,
    };
    if name.is_some() && seen.header("mcp-name") != name.and_then(Value::as_str) {
        return Err(mismatch("Mcp-Name does not match the body"));
    }
    if method == "tools/call" {
        check_region(script, seen, params)
            .map_err(|()| mismatch("Mcp-Param-Region is missing or wrong"))?;
    }
    let info = json!({"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1.0.0"}});
    match method {
        "server/discover" => {
            let result = json!({
                "resultType": "complete", "supportedVersions": script.modern_versions,
                "capabilities": script.capabilities(),
                "_meta": info, "ttlMs": 60_000, "cacheScope": "public",
            });
            Ok(ordinary(script, id, &result))
        }
        method if let Some(list) = script.listed_by(method) => {
            let mut page = page(script, list, id, params)?;
            if let Some(page) = page.as_object_mut() {
                page.insert("resultType".to_owned(), json!("complete"));
                page.insert("ttlMs".to_owned(), json!(script.ttl_ms));
                page.insert("cacheScope".to_owned(), json!("public"));
            }
            Ok(ordinary(script, id, &page))
        }
        "tools/call" => call(script, seen, id, params, true),
        "prompts/get" => prompt(script, id, params, true),
        "resources/read" => resource(script, id, params, true),
        "completion/complete" if script.completes => Ok(completion(script, id, params, true)),
        "subscriptions/listen" if script.list_changed || script.subscribes => {
            Ok(Reply::Notifications(Some(id.clone())))
        }
        _ if id.is_null() => Ok(Reply::Plain(Plain::empty(202))),
        _ => Err(error(404, id, -32601, "Method not found", &Value::Null)),
    }
}

fn legacy(
    shared: &Shared,
    script: &Script,
    seen: &Seen,
    id: &Value,
    method: &str,
    params: &Value,
) -> Result<Reply, Plain> {
    if method == "initialize" {
        let asked = params
            .get("protocolVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let version = if LEGACY_VERSIONS.contains(&asked) {
            asked
        } else {
            &script.legacy_version
        };
        let result = json!({
            "protocolVersion": version,
            "capabilities": script.capabilities(),
            "serverInfo": {"name": "fake", "version": "1.0.0"},
        });
        let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
        let mut headers = Vec::new();
        if script.sessions {
            let mut made = 0;
            shared.note(|counts| {
                counts.sessions_made += 1;
                made = counts.sessions_made;
            });
            let session = format!("session-{made}");
            shared.sessions.lock().insert(session.clone(), false);
            headers.push(("mcp-session-id", session));
        }
        return Ok(match script.answers {
            Answers::Sse => Reply::Events(vec![body], headers),
            Answers::Json => {
                let mut plain = Plain::json(200, body);
                plain.headers.extend(headers);
                Reply::Plain(plain)
            }
        });
    }
    if method == "notifications/initialized" && script.sessions {
        let session = seen.header("mcp-session-id").unwrap_or_default();
        match shared.sessions.lock().get_mut(session) {
            Some(initialized) => *initialized = true,
            None => return Err(Plain::empty(404)),
        }
        return Ok(Reply::Plain(Plain::empty(202)));
    }
    if method != "ping" {
        check_session(shared, script, seen, id)?;
    }
    match method {
        "ping" => Ok(ordinary(script, id, &json!({}))),
        method if let Some(list) = script.listed_by(method) => {
            Ok(ordinary(script, id, &page(script, list, id, params)?))
        }
        "tools/call" => call(script, seen, id, params, false),
        "prompts/get" => prompt(script, id, params, false),
        "resources/read" => resource(script, id, params, false),
        "completion/complete" if script.completes => Ok(completion(script, id, params, false)),
        "logging/setLevel" if script.logs => Ok(ordinary(script, id, &json!({}))),
        "resources/subscribe" | "resources/unsubscribe" if script.subscribes => {
            let uri = params
                .get("uri")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let mut listed = script.resources.iter().map(|one| one["uri"].as_str());
            if !listed.any(|known| known == Some(uri)) {
                return Err(error(200, id, -32002, "Resource not found", &Value::Null));
            }
            let session = seen.header("mcp-session-id").unwrap_or_default();
            let one = (session.to_owned(), uri.to_owned());
            let mut subscribed = shared.subscribed.lock();
            if method == "resources/subscribe" {
                subscribed.insert(one);
            } else {
                subscribed.remove(&one);
            }
            Ok(ordinary(script, id, &json!({})))
        }
        _ if id.is_null() => Ok(Reply::Plain(Plain::empty(202))),
        _ => Err(error(200, id, -32601, "Method not found", &Value::Null)),
    }
}

fn check_session(shared: &Shared, script: &Script, seen: &Seen, id: &Value) -> Result<(), Plain> {
    if !script.sessions {
        return Ok(());
    }
    let Some(session) = seen.header("mcp-session-id") else {
        return Err(error(
            400,
            id,
            -32600,
            "Bad Request: Missing session ID",
            &Value::Null,
        ));
    };
    match shared.sessions.lock().get(session) {
        None => Err(error(404, id, -32600, "Session not found", &Value::Null)),
        Some(false) => Err(error(400, id, -32600, "not initialized", &Value::Null)),
        Some(true) => Ok(()),
    }
}

fn check_region(script: &Script, seen: &Seen, params: &Value) -> Result<(), ()> {
    let name = params.get("name").and_then(Value::as_str);
    let annotated = script.tools.iter().any(|tool| {
        tool.get("name").and_then(Value::as_str) == name
            && tool
                .pointer("/inputSchema/properties/region/x-mcp-header")
                .is_some()
    });
    let region = params.pointer("/arguments/region").and_then(Value::as_str);
    let header = seen.header("mcp-param-region");
    if annotated && header != region {
        Err(())
    } else {
        Ok(())
    }
}

/// One page of `tools/list` or the like; the cursor is the position in words.
fn page(
    script: &Script,
    (word, all): (&str, &[Value]),
    id: &Value,
    params: &Value,
) -> Result<Value, Plain> {
    let start = match params.get("cursor").and_then(Value::as_str) {
        None => 0,
        Some(cursor) => match cursor.strip_prefix("from-").and_then(|at| at.parse().ok()) {
            Some(start) => start,
            None => return Err(error(200, id, -32602, "no such cursor", &Value::Null)),
        },
    };
    let entries: Vec<&Value> = all.iter().skip(start).take(script.page_size).collect();
    let mut page = serde_json::Map::new();
    page.insert(word.to_owned(), json!(entries));
    let next = start + script.page_size;
    if next < all.len() {
        page.insert("nextCursor".to_owned(), json!(format!("from-{next}")));
    }
    Ok(page.into())
}

/// A text that says where it was read, if that is listed, or begins as a template does.
fn resource(script: &Script, id: &Value, params: &Value, modern: bool) -> Result<Reply, Plain> {
    let uri = params
        .get("uri")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut listed = script.resources.iter().map(|one| one["uri"].as_str());
    let mut templates = script.resource_templates.iter();
    let fits = |template: &Value| {
        let start = template["uriTemplate"]
            .as_str()
            .and_then(|text| text.split('{').next());
        start.is_some_and(|start| uri.starts_with(start))
    };
    if !listed.any(|known| known == Some(uri)) && !templates.any(fits) {
        let code = if modern { -32602 } else { -32002 };
        return Err(error(
            200,
            id,
            code,
            "Resource not found",
            &json!({"uri": uri}),
        ));
    }
    let mut result = json!({"contents": [{"uri": uri, "text": "read"}], "x-odd": 1.0});
    if modern && let Some(result) = result.as_object_mut() {
        result.insert("resultType".to_owned(), json!("complete"));
        result.insert("ttlMs".to_owned(), json!(7000));
        result.insert("cacheScope".to_owned(), json!("public"));
    }
    Ok(ordinary(script, id, &result))
}

/// One value: what it was asked about, and how that begins.
fn completion(script: &Script, id: &Value, params: &Value, modern: bool) -> Reply {
    let about = params["ref"]
        .get("name")
        .or_else(|| params["ref"].get("uri"));
    let value = [about, params.pointer("/argument/value")]
        .map(|text| text.and_then(Value::as_str).unwrap_or_default())
        .concat();
    let mut result = json!({"completion": {"values": [value], "total": 1, "hasMore": false}});
    if modern && let Some(result) = result.as_object_mut() {
        result.insert("resultType".to_owned(), json!("complete"));
    }
    ordinary(script, id, &result)
}

/// A message that says with which arguments it was asked for.
fn prompt(script: &Script, id: &Value, params: &Value, modern: bool) -> Result<Reply, Plain> {
    let name = params.get("name").and_then(Value::as_str);
    let mut names = script.prompts.iter().map(|prompt| prompt["name"].as_str());
    if !names.any(|known| known == name) {
        return Err(error(200, id, -32602, "Unknown prompt", &Value::Null));
    }
    let text = params
        .get("arguments")
        .map_or(String::new(), Value::to_string);
    let mut result = json!({
        "messages": [{"role": "user", "content": {"type": "text", "text": text}}], "x-odd": 1.0,
    });
    if modern && let Some(result) = result.as_object_mut() {
        result.insert("resultType".to_owned(), json!("complete"));
    }
    Ok(ordinary(script, id, &result))
}

fn ordinary(script: &Script, id: &Value, result: &Value) -> Reply {
    raw(
        script,
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
    )
}

fn raw(script: &Script, body: String) -> Reply {
    match script.answers {
        Answers::Json => Reply::Plain(Plain::json(200, body)),
        Answers::Sse => Reply::Events(vec![body], Vec::new()),
    }
}

/// The text of a result with one text, and with things that only a byte-exact relay preserves.
pub(super) fn text_result(id: &Value, text: &str, modern: bool) -> String {
    let complete = if modern {
        r#""resultType":"complete","#
    } else {
        ""
    };
    let text = Value::from(text);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{{complete}"content":[{{"type":"text","text":{text}}}],"x-odd":{{"big":12345678901234567890123,"e":1E400, "sp" : 1.0}},"isError":false}}}}"#
    )
}

fn call(
    script: &Script,
    seen: &Seen,
    id: &Value,
    params: &Value,
    modern: bool,
) -> Result<Reply, Plain> {
    let name = params
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !script
        .tools
        .iter()
        .any(|tool| tool.get("name").and_then(Value::as_str) == Some(name))
    {
        return Err(error(
            200,
            id,
            -32602,
            &format!("Unknown tool: {name}"),
            &Value::Null,
        ));
    }
    match name {
        "progress" => {
            let mut messages = Vec::new();
            if let Some(token) = params.pointer("/_meta/progressToken") {
                for step in 1..=3 {
                    messages.push(progress(token, step));
                }
            }
            messages.push(text_result(id, "done", modern));
            Ok(Reply::Events(messages, Vec::new()))
        }
        "headers" => {
            let headers: Vec<String> = seen
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            Ok(raw(script, text_result(id, &headers.join("\n"), modern)))
        }
        "steps" => Ok(Reply::Steps(steps(id, params, modern))),
        "ask" | "sample" if !modern => Ok(Reply::Ask(id.clone(), question(name, params))),
        "ask" | "sample" => {
            let state = "\"the state\" \u{e9}";
            let answer = params.pointer("/inputResponses/name");
            let given = params.get("requestState").and_then(Value::as_str);
            if given.is_some_and(|given| given != state) {
                return Err(error(200, id, -32602, "not my state", &Value::Null));
            }
            let Question { method, params } = question(name, params);
            let question = json!({"method": method, "params": params});
            Ok(match (answer, given) {
                (Some(answer), Some(_)) => {
                    raw(script, text_result(id, &answer.to_string(), modern))
                }
                _ => ordinary(
                    script,
                    id,
                    &json!({
                        "resultType": "input_required", "inputRequests": {"name": question}, "requestState": state,
                    }),
                ),
            })
        }
        _ => {
            let arguments = params.get("arguments").unwrap_or(&Value::Null).to_string();
            Ok(raw(script, text_result(id, &arguments, modern)))
        }
    }
}

/// What the tools `ask` and `sample` ask: the argument `question`, if there is one.
fn question(tool: &str, params: &Value) -> Question {
    let text = params.pointer("/arguments/question");
    let text = text.and_then(Value::as_str).unwrap_or("Your name?");
    match tool {
        "sample" => {
            let content = json!({"type": "text", "text": text});
            Question {
                method: "sampling/createMessage",
                params: json!({"messages": [{"role": "user", "content": content}], "maxTokens": 10}),
            }
        }
        _ => Question {
            method: "elicitation/create",
            params: json!({"message": text, "requestedSchema": {"type": "object"}}),
        },
    }
}

/// Progress, if a token came, and a log message, both with the argument `text`, which is the answer as well.
fn steps(id: &Value, params: &Value, modern: bool) -> Steps {
    let text = params.pointer("/arguments/text");
    let text = text.and_then(Value::as_str).unwrap_or_default();
    let messages = [1, 2].map(|step| {
        let token = params.pointer("/_meta/progressToken");
        let progress = token.map(|token| {
            let params = json!({"progressToken": token, "progress": step, "message": text});
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        });
        let params = json!({"level": "info", "data": text});
        let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params});
        let both = progress.into_iter().chain([log]);
        both.map(|message| message.to_string()).collect()
    });
    Steps {
        messages,
        answer: text_result(id, text, modern),
    }
}

pub(super) fn progress(token: &Value, step: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":{step}, "progressToken":{token},"total":3,"x-odd":1.0}}}}"#
    )
}
