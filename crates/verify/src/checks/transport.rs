//! MCP with a good token, in both eras.

use serde_json::{Value, json};

use crate::check::{Unanswerable, Verdict};
use crate::checks::said;
use crate::session::{Session, message_of};
use crate::web::{Answer, Answered, plain};

/// The stateless revision that is tried first.
const STATELESS: &str = "2026-07-28";
/// The session revision.
const SESSION: &str = "2025-11-25";

/// A request of the stateless era with its `_meta` and the headers that mirror it.
pub(super) fn stateless_request(
    method: &str,
    params: Value,
) -> (Value, Vec<(&'static str, String)>) {
    let mut params = params;
    let mut headers = vec![
        ("mcp-protocol-version", STATELESS.to_owned()),
        ("mcp-method", method.to_owned()),
    ];
    if let Some(name) = params.get("name").and_then(Value::as_str) {
        headers.push(("mcp-name", name.to_owned()));
    }
    if let Some(map) = params.as_object_mut() {
        map.insert(
            "_meta".to_owned(),
            json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "sekisho-verify", "version": env!("CARGO_PKG_VERSION") }
            }),
        );
    }
    (
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
        headers,
    )
}

/// A request in the era that the gateway speaks.
pub(super) async fn request(
    session: &Session,
    method: &str,
    params: Value,
) -> Result<Answered, Unanswerable> {
    let token = session.bearer()?;
    let stateless = session.stateless == Some(true);
    let (message, mut headers) = stateless_request(method, params.clone());
    let message = if stateless {
        message
    } else {
        headers = vec![("mcp-protocol-version", SESSION.to_owned())];
        if let Some(id) = &session.legacy_id {
            headers.push(("mcp-session-id", id.clone()));
        }
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
    };
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Ok(session
        .mcp(&format!("({method})"), token.as_deref(), &message, &headers)
        .await)
}

/// `server/discover` in the stateless era.
pub(super) async fn stateless(session: &mut Session) -> Result<Verdict, Unanswerable> {
    session.bearer()?;
    session.stateless = Some(true);
    let answer = match request(session, "server/discover", json!({})).await? {
        Ok(answer) => answer,
        Err(error) => {
            session.stateless = Some(false);
            return Ok(Verdict::fail(
                format!("no answer: {error}"),
                "the endpoint answered before; see its log",
            ));
        }
    };
    let message = message_of(&answer);
    let result = message.as_ref().and_then(|message| message.get("result"));
    if let (true, Some(result)) = (answer.status.is_success(), result) {
        return Ok(if result.get("resultType").is_none() {
            Verdict::fail(
                "the result has no `resultType`",
                "every result of the stateless era needs it",
            )
        } else {
            Verdict::ok(format!("speaks {STATELESS}"))
        });
    }
    session.stateless = Some(false);
    Ok(match answer.status.as_u16() {
        401 | 403 => Verdict::fail(
            format!("a good token got {}{}", answer.status, reason(&answer)),
            "compare the token's audience, issuer and scope with what the gateway demands",
        ),
        _ => Verdict::warn(
            format!("does not speak {STATELESS} ({})", answer.status),
            "clients of the newest revision fall back to `initialize`",
        ),
    })
}

/// `initialize` and a session.
pub(super) async fn session(session: &mut Session) -> Result<Verdict, Unanswerable> {
    let token = session.bearer()?;
    let answer = match session
        .mcp("(initialize)", token.as_deref(), &said::initialize(), &[])
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("no answer: {error}"),
                "see the gateway's log",
            ));
        }
    };
    let version = message_of(&answer).and_then(|message| {
        Some(
            message
                .get("result")?
                .get("protocolVersion")?
                .as_str()?
                .to_owned(),
        )
    });
    let Some(version) = version else {
        let seen = format!("`initialize` got {}{}", answer.status, reason(&answer));
        return Ok(if session.stateless == Some(true) {
            Verdict::warn(seen, "most clients still speak the session era")
        } else {
            Verdict::fail(seen, "the endpoint speaks neither era with a good token")
        });
    };
    session.legacy_id = answer.header("mcp-session-id").map(str::to_owned);
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let mut headers = vec![("mcp-protocol-version", version.as_str())];
    let id = session.legacy_id.clone();
    if let Some(id) = &id {
        headers.push(("mcp-session-id", id));
    }
    let accepted = session
        .mcp("(initialized)", token.as_deref(), &initialized, &headers)
        .await;
    Ok(match accepted {
        Ok(answer) if answer.status.as_u16() == 202 => Verdict::ok(format!(
            "speaks {version}, {}",
            if id.is_some() {
                "with a session id"
            } else {
                "without a session id"
            }
        )),
        Ok(answer) => Verdict::warn(
            format!("`notifications/initialized` got {}", answer.status),
            "a notification is answered with 202 and nothing else",
        ),
        Err(error) => Verdict::fail(
            format!("no answer to a notification: {error}"),
            "answer 202",
        ),
    })
}

/// The tools that this caller may see.
pub(super) async fn tools_list(session: &Session) -> Result<Verdict, Unanswerable> {
    let names = match tool_names(session).await? {
        Tools::Listed(names) => names,
        Tools::Unlisted(why) => {
            return Ok(Verdict::fail(
                why,
                "`tools/list` must answer with a list, even an empty one",
            ));
        }
    };
    Ok(if names.is_empty() {
        Verdict::warn("no tools", "is a target configured, and does it answer?")
    } else {
        Verdict::ok(names.join(", "))
    })
}

/// What came of asking for the tools.
enum Tools {
    /// Their names.
    Listed(Vec<String>),
    /// Why there is no list.
    Unlisted(String),
}

async fn tool_names(session: &Session) -> Result<Tools, Unanswerable> {
    Ok(match request(session, "tools/list", json!({})).await? {
        Err(error) => Tools::Unlisted(format!("no answer: {error}")),
        Ok(answer) => message_of(&answer)
            .and_then(|message| {
                Some(
                    message
                        .get("result")?
                        .get("tools")?
                        .as_array()?
                        .iter()
                        .filter_map(|tool| tool.get("name").and_then(Value::as_str))
                        .map(str::to_owned)
                        .collect(),
                )
            })
            .map_or_else(
                || {
                    Tools::Unlisted(format!(
                        "`tools/list` got {}{}",
                        answer.status,
                        reason(&answer)
                    ))
                },
                Tools::Listed,
            ),
    })
}

/// A call, if there is a tool that is known to be harmless.
pub(super) async fn tools_call(session: &Session) -> Result<Verdict, Unanswerable> {
    let names = match tool_names(session).await? {
        Tools::Listed(names) => names,
        Tools::Unlisted(_) => Vec::new(),
    };
    let harmless = names.iter().find(|name| name.ends_with("add_numbers"));
    let Some(name) = harmless else {
        return Ok(Verdict::inapplicable(
            "no tool is called: none is known to be harmless (`add_numbers` would be)",
        ));
    };
    let answer = match request(
        session,
        "tools/call",
        json!({ "name": name, "arguments": { "a": 2, "b": 3 } }),
    )
    .await?
    {
        Ok(answer) => answer,
        Err(error) => {
            return Ok(Verdict::fail(
                format!("no answer: {error}"),
                "see the gateway's log",
            ));
        }
    };
    let text = message_of(&answer).and_then(|message| {
        let content = message
            .get("result")?
            .get("content")?
            .as_array()?
            .first()?
            .clone();
        Some(content.get("text")?.as_str()?.to_owned())
    });
    Ok(match text {
        Some(text) if text.trim() == "5" => Verdict::ok(format!("{name}(2, 3) is 5")),
        Some(text) => Verdict::fail(
            format!("{name}(2, 3) is `{text}`"),
            "the arguments or the answer were changed on the way",
        ),
        None => Verdict::fail(
            format!("`tools/call` got {}{}", answer.status, reason(&answer)),
            "see the gateway's log",
        ),
    })
}

/// What an error answer says about itself: its challenge, its JSON-RPC error, or its words.
pub(super) fn reason(answer: &Answer) -> String {
    let challenge = said::challenges(answer)
        .unwrap_or_default()
        .into_iter()
        .find_map(|challenge| {
            let error = challenge.get("error")?.to_owned();
            Some(match challenge.get("error_description") {
                Some(description) => format!("{error}, {description}"),
                None => error,
            })
        });
    let message = || {
        let message = message_of(answer)?;
        Some(message.get("error")?.get("message")?.as_str()?.to_owned())
    };
    let said = challenge.or_else(message).or_else(|| answer.words());
    said.map(|text| format!(": {}", plain(&text)))
        .unwrap_or_default()
}
