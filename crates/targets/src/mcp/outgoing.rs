//! Builds what is sent: bodies from the client's parameters and our own metadata.

use ::mcp::capability::ClientCapabilities;
use ::mcp::edit::Change;
use ::mcp::era::{Era, ProtocolVersion};
use ::mcp::input;
use ::mcp::jsonrpc;
use ::mcp::meta::{self, LogLevel};
use ::mcp::method::Method;
use ::mcp::raw::{Kind, OwnedRaw};
use policy::call::Call;

use crate::client::Client;
use crate::outward::Asker;

/// Who we are, as a JSON object.
pub(super) const CLIENT_INFO: &str = concat!(
    r#"{"name":"sekisho","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// The quoted form of a version.
const fn quoted(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V2024_11_05 => r#""2024-11-05""#,
        ProtocolVersion::V2025_03_26 => r#""2025-03-26""#,
        ProtocolVersion::V2025_06_18 => r#""2025-06-18""#,
        ProtocolVersion::V2025_11_25 => r#""2025-11-25""#,
        ProtocolVersion::V2026_07_28 => r#""2026-07-28""#,
    }
}

/// The body of a call for a server that speaks `version`. The request's id also serves as the
/// progress token: both must be unique for the server (TL-9).
pub(super) fn call(call: &Call, client: &Client, version: ProtocolVersion, id: u64) -> Vec<u8> {
    let id = &id.to_string();
    let extensions = client.extensions.as_ref().map(OwnedRaw::borrow);
    let capabilities = match extensions {
        Some(extensions) => client.declared.with_extensions(Some(extensions.as_str())),
        None => client.declared.to_json(),
    };
    let level = client
        .log_level
        .or_else(|| (client.era == Era::Session).then_some(LogLevel::INFO));
    let progress_token = match call.params.progress_token() {
        Some(_) => Change::set(meta::PROGRESS_TOKEN, id),
        None => Change::remove(meta::PROGRESS_TOKEN),
    };
    let named = Change::set_text(call.feature.asked_by(), &call.name);
    let reference = [named];
    // What belongs to a request that is sent again means nothing in the session era.
    let is_left_out = version.era() == Era::Session && call.params.is_repeated();
    let write = |own_meta| {
        let name = match call.method {
            Method::Complete => Change::within("ref", &reference),
            // Which one stands in what is sent.
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel => Change::remove("name"),
            _ => named,
        };
        let method = call.method.as_str();
        let params = call.params.raw();
        if call.params.has_arguments() && !is_left_out {
            return jsonrpc::request_with(id, method, params, &[name, own_meta]);
        }
        if is_left_out {
            let [responses, state] = [input::INPUT_RESPONSES, input::REQUEST_STATE];
            let nothing = Change::only("arguments", Kind::Object);
            let changes = [
                name,
                own_meta,
                nothing,
                Change::remove(responses),
                Change::remove(state),
            ];
            return jsonrpc::request_with(id, method, params, &changes);
        }
        // A `null` that a client sent for nothing is not sent on.
        let nothing = Change::remove("arguments");
        jsonrpc::request_with(id, method, params, &[name, own_meta, nothing])
    };
    match version.era() {
        // What belongs to our hop is said by us, with what the client declared (UC-12) and the least level of the log messages
        // that it wants. Who speaks the session era and did not say gets those of a server's own choice there, and these here.
        Era::Stateless => write(Change::within(
            "_meta",
            &[
                match level {
                    Some(level) => Change::set_text(meta::LOG_LEVEL, level.as_str()),
                    None => Change::remove(meta::LOG_LEVEL),
                },
                Change::set(meta::PROTOCOL_VERSION, quoted(version)),
                Change::set(meta::CLIENT_INFO, CLIENT_INFO),
                Change::set(meta::CLIENT_CAPABILITIES, &capabilities),
                Change::remove(meta::SUBSCRIPTION_ID),
                Change::remove(meta::SERVER_INFO),
                progress_token,
            ],
        )),
        Era::Session => {
            let own_meta = meta::without_hop_keys_and(progress_token);
            write(Change::within_if_any("_meta", &own_meta))
        }
    }
}

/// A request of our own. `members` are further members of `params`, as JSON text without braces.
pub(super) fn request(id: u64, method: Method, version: ProtocolVersion, members: &str) -> Vec<u8> {
    request_of(&Asker::Gateway, id, method, version, members)
}

/// The same, on somebody's behalf.
pub(super) fn request_of(
    asker: &Asker,
    id: u64,
    method: Method,
    version: ProtocolVersion,
    members: &str,
) -> Vec<u8> {
    let comma = if members.is_empty() { "" } else { "," };
    let params = if version.era() == Era::Stateless {
        let capabilities = asker.declared().to_json();
        format!(
            r#"{{{members}{comma}"_meta":{{"{}":{},"{}":{CLIENT_INFO},"{}":{capabilities}}}}}"#,
            meta::PROTOCOL_VERSION,
            quoted(version),
            meta::CLIENT_INFO,
            meta::CLIENT_CAPABILITIES,
        )
    } else {
        format!("{{{members}}}")
    };
    jsonrpc::request(&id.to_string(), method.as_str(), Some(&params))
}

/// `initialize`, for somebody who can be asked what is declared.
pub(super) fn initialize(
    id: u64,
    version: ProtocolVersion,
    declared: ClientCapabilities,
) -> Vec<u8> {
    let members = format!(
        r#""protocolVersion":{},"capabilities":{},"clientInfo":{CLIENT_INFO}"#,
        quoted(version),
        declared.to_json(),
    );
    request(id, Method::Initialize, version, &members)
}

/// `logging/setLevel`.
pub(super) fn set_level(id: u64, version: ProtocolVersion, level: LogLevel) -> Vec<u8> {
    let members = format!(r#""level":"{}""#, level.as_str());
    request(id, Method::SetLevel, version, &members)
}

/// `notifications/cancelled` of a request.
pub(super) fn cancelled(id: u64) -> Vec<u8> {
    let params = format!(r#"{{"requestId":{id},"reason":"cancelled by the gateway"}}"#);
    jsonrpc::notification(Method::Cancelled.as_str(), Some(&params))
}

#[cfg(test)]
mod tests {
    use ::mcp::params::{CallParams, Params};
    use ::mcp::raw::Raw;
    use bytes::Bytes;
    use policy::call::Principal;

    use super::*;

    fn body(params: &str, version: ProtocolVersion) -> String {
        let message = Bytes::copy_from_slice(params.as_bytes());
        let text = std::str::from_utf8(&message).expect("UTF-8");
        let params = Params::of(Raw::parse(text).ok()).expect("no member twice");
        let call_level = params.meta.valid_log_level();
        let call = Call {
            principal: Principal::new("alice"),
            target: "t".into(),
            feature: ::mcp::feature::Feature::Tools,
            method: ::mcp::method::Method::ToolsCall,
            name: "add".into(),
            params: CallParams::of(&message, &params).expect("parameters"),
        };
        let client = Client {
            era: Era::Stateless,
            session: None,
            declared: ClientCapabilities::SAMPLING,
            extensions: None,
            log_level: call_level,
        };
        String::from_utf8(super::call(&call, &client, version, 7)).expect("UTF-8")
    }

    #[test]
    fn a_call_keeps_what_it_does_not_own() {
        let params = r#"{ "name":"t___add", "arguments" : {"a":1.0,"b":1e400}, "unknown":[ ] }"#;
        insta::assert_snapshot!(
            body(params, ProtocolVersion::V2025_11_25),
            @r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{ "name":"add", "arguments" : {"a":1.0,"b":1e400}, "unknown":[ ] }}"#
        );
    }

    // UC-12, TL-9
    #[test]
    fn a_modern_call_says_who_we_are_and_not_who_the_client_is() {
        let params = r#"{"name":"x","_meta":{"progressToken":"p","traceparent":"00-1","io.modelcontextprotocol/protocolVersion":"2099-01-01","io.modelcontextprotocol/clientInfo":{"name":"client"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{},"elicitation":{}},"io.modelcontextprotocol/logLevel":"debug"}}"#;
        let body = body(params, ProtocolVersion::V2026_07_28).replace(CLIENT_INFO, "OURS");
        insta::assert_snapshot!(body, @r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","_meta":{"progressToken":7,"traceparent":"00-1","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":OURS,"io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/logLevel":"debug"}}}"#);
    }

    // TL-9
    #[test]
    fn a_legacy_call_carries_no_modern_metadata_and_our_progress_token() {
        let params = r#"{"name":"x","_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        insta::assert_snapshot!(
            body(params, ProtocolVersion::V2025_06_18),
            @r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","_meta":{"progressToken":7}}}"#
        );
        let only_ours =
            r#"{"name":"x","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        insta::assert_snapshot!(
            body(only_ours, ProtocolVersion::V2025_06_18),
            @r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}"#
        );
    }

    #[test]
    fn what_a_client_sends_for_nothing_is_not_sent_on() {
        for version in [ProtocolVersion::V2025_11_25, ProtocolVersion::V2026_07_28] {
            for meta in [
                "null",
                "[]",
                "7",
                r#"{"io.modelcontextprotocol/logLevel":1}"#,
            ] {
                let params = format!(r#"{{"name":"x","arguments":null,"_meta":{meta}}}"#);
                let body = body(&params, version);
                assert!(!body.contains("arguments"), "{body}");
                assert!(!body.contains("logLevel"), "{body}");
                assert!(!body.contains(r#""_meta":null"#), "{body}");
            }
        }
    }

    #[test]
    fn a_progress_token_that_is_none_is_not_sent() {
        for version in [ProtocolVersion::V2025_11_25, ProtocolVersion::V2026_07_28] {
            let body = body(r#"{"name":"x","_meta":{"progressToken":{"a":1}}}"#, version);
            assert!(!body.contains("progressToken"), "{body}");
        }
    }

    #[test]
    fn requests_of_our_own_are_messages() {
        for version in ProtocolVersion::ALL {
            for members in ["", r#""cursor":"x""#] {
                let body = request(1, Method::ToolsList, version, members);
                assert!(
                    jsonrpc::parse(&body).is_ok(),
                    "{}",
                    String::from_utf8_lossy(&body)
                );
            }
        }
        assert!(
            jsonrpc::parse(&initialize(
                1,
                ProtocolVersion::LATEST_SESSION,
                ClientCapabilities::FORM
            ))
            .is_ok()
        );
        assert!(jsonrpc::parse(&cancelled(1)).is_ok());
    }
}
