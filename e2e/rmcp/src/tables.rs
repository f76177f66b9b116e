//! What there is: tools, prompts and resources, and what those say that only say something.

use serde_json::{Value, json};

/// One pixel.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";
/// No sound at all.
const SOUND: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

/// Tools without arguments.
const PLAIN: [&str; 23] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_tool_with_progress",
    "test_error_handling",
    "test_reconnection",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_capabilities",
];

fn tool(name: &str, schema: &Value) -> Value {
    json!({"name": name, "description": format!("Does what {name} is to do"), "inputSchema": schema})
}

fn object(properties: &Value) -> Value {
    let names: Vec<&String> = properties.as_object().into_iter().flat_map(|all| all.keys()).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

/// With members of JSON Schema 2020-12 that few others have.
fn people() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "address", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
        "if": {"required": ["address"]},
        "then": {"properties": {"address": {"required": ["street"]}}},
        "else": {"required": ["name"]},
        "additionalProperties": false,
    })
}

/// The tool whose argument is mirrored into a header.
pub(crate) fn mirrored() -> Value {
    let value = json!({"type": "string", "x-mcp-header": "Value"});
    tool("test_custom_header", &object(&json!({"value": value})))
}

pub(crate) fn tools() -> Vec<Value> {
    let text = json!({"type": "string"});
    let mut all: Vec<Value> = PLAIN.iter().map(|name| tool(name, &object(&json!({})))).collect();
    all.extend([
        tool("test_input_required_result_multi_round", &object(&json!({}))),
        tool("test_sampling", &object(&json!({"prompt": text}))),
        tool("test_elicitation", &object(&json!({"message": text}))),
        tool("json_schema_2020_12_tool", &people()),
        mirrored(),
    ]);
    all.extend(crate::tasks::NAMES.iter().map(|name| tool(name, &json!({"type": "object"}))));
    all
}

pub(crate) fn prompts() -> Value {
    let argument = |name: &str| json!({"name": name, "required": true});
    let prompt = |name: &str, arguments: &[&str]| {
        let arguments: Vec<Value> = arguments.iter().map(|name| argument(name)).collect();
        json!({"name": name, "description": format!("Says what {name} is to say"), "arguments": arguments})
    };
    json!([
        prompt("test_simple_prompt", &[]),
        prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
        prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
        prompt("test_prompt_with_image", &[]),
        prompt("test_input_required_result_prompt", &[]),
    ])
}

pub(crate) fn resources() -> Value {
    let resource = |uri: &str, mime_type: &str| json!({"uri": uri, "name": uri, "mimeType": mime_type});
    json!([
        resource("test://static-text", "text/plain"),
        resource("test://static-binary", "image/png"),
        resource("test://watched-resource", "text/plain"),
    ])
}

pub(crate) fn templates() -> Value {
    json!([{"uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": "application/json"}])
}

/// The contents of a resource.
pub(crate) fn read(uri: &str) -> Option<Value> {
    let of_template = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    Some(match (uri, of_template) {
        ("test://static-text", _) => json!({"uri": uri, "mimeType": "text/plain", "text": "Static."}),
        ("test://watched-resource", _) => json!({"uri": uri, "mimeType": "text/plain", "text": "Watched."}),
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": IMAGE}),
        (_, Some(id)) => json!({"uri": uri, "mimeType": "application/json", "text": json!({"id": id}).to_string()}),
        _ => return None,
    })
}

pub(crate) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn embedded(uri: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": "text/plain", "text": "Embedded."}})
}

/// What a tool says that asks for nothing; none for other tools.
pub(crate) fn says(name: &str) -> Option<Value> {
    let image = json!({"type": "image", "data": IMAGE, "mimeType": "image/png"});
    let content = match name {
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_image_content" => vec![image],
        "test_audio_content" => vec![json!({"type": "audio", "data": SOUND, "mimeType": "audio/wav"})],
        "test_embedded_resource" => vec![embedded("test://embedded-resource")],
        "test_multiple_content_types" => vec![text("Several:"), image, embedded("test://mixed-content-resource")],
        "json_schema_2020_12_tool" | "test_custom_header" | "test_streaming_elicitation" => vec![text("Nothing more.")],
        "test_error_handling" => {
            return Some(json!({"content": [text("This tool intentionally returns an error for testing")], "isError": true}));
        }
        _ => return None,
    };
    Some(json!({"content": content}))
}

/// The messages of a prompt that asks for nothing; none for other prompts.
pub(crate) fn prompt(name: &str, arguments: &Value) -> Option<Value> {
    let argument = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    let content = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => vec![text(&format!("arg1='{}', arg2='{}'", argument("arg1"), argument("arg2")))],
        "test_prompt_with_embedded_resource" => vec![embedded(&argument("resourceUri")), text("Please look at it.")],
        "test_prompt_with_image" => {
            vec![json!({"type": "image", "data": IMAGE, "mimeType": "image/png"}), text("Please look at it.")]
        }
        _ => return None,
    };
    let messages = content.into_iter().map(|content| json!({"role": "user", "content": content}));
    Some(json!({"messages": messages.collect::<Vec<Value>>()}))
}

/// A form.
pub(crate) fn form(message: &str, properties: &Value) -> Value {
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": object(properties)}})
}

/// A question to a model.
pub(crate) fn sample(question: &str) -> Value {
    let message = json!({"role": "user", "content": text(question)});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 100}})
}

pub(crate) fn roots() -> Value {
    json!({"method": "roots/list"})
}

/// What a tool or a prompt asks for that asks once; none for others.
pub(crate) fn asks(name: &str, arguments: &Value) -> Option<Value> {
    let text = json!({"type": "string"});
    let yes = json!({"ok": {"type": "boolean"}});
    let titled = |from: &str| json!([1, 2, 3].map(|at| json!({"const": format!("{from}{at}"), "title": format!("Number {at}")})));
    Some(match name {
        "test_sampling" => json!({"answer": sample(arguments["prompt"].as_str().unwrap_or_default())}),
        "test_elicitation" => {
            json!({"answer": form(arguments["message"].as_str().unwrap_or_default(), &json!({"response": text}))})
        }
        "test_elicitation_sep1034_defaults" => json!({"answer": form("Please look over these", &json!({
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
            "verified": {"type": "boolean", "default": true},
        }))}),
        "test_elicitation_sep1330_enums" => json!({"answer": form("Please choose", &json!({
            "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
            "titledSingle": {"type": "string", "oneOf": titled("value")},
            "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2"]}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled("value")}},
        }))}),
        "test_missing_capability" => json!({"answer": sample("Say pong")}),
        "test_input_required_result_elicitation" => json!({"user_name": form("Your name?", &json!({"name": text}))}),
        "test_input_required_result_prompt" => json!({"user_context": form("In which context?", &json!({"context": text}))}),
        "test_input_required_result_sampling" => json!({"capital_question": sample("What is the capital of France?")}),
        "test_input_required_result_list_roots" => json!({"client_roots": roots()}),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            json!({"confirm": form("Go on?", &yes)})
        }
        "test_input_required_result_multiple_inputs" | "test_input_required_result_capabilities" => json!({
            "user_name": form("Your name?", &json!({"name": text})),
            "greeting": sample("A greeting, please"),
            "client_roots": roots(),
        }),
        _ => return None,
    })
}
