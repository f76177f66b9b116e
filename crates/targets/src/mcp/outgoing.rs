//! Builds what is sent: bodies from the client's parameters and our own metadata.

use std::borrow::Cow;

use ::mcp::edit::ObjectEdit;
use ::mcp::era::ProtocolVersion;
use ::mcp::jsonrpc;
use ::mcp::meta::{self, RequestMeta};
use ::mcp::method::Method;
use ::mcp::raw::{Raw, quote};

/// Who we are, as a JSON object.
pub(super) const CLIENT_INFO: &str = concat!(
    r#"{"name":"sekisho","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}"#
);

/// What we can do for a server (UC-12): nothing yet, so it can't ask us for anything.
const CAPABILITIES: &str = "{}";

/// The quoted form of a version.
const fn quoted(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V2025_03_26 => r#""2025-03-26""#,
        ProtocolVersion::V2025_06_18 => r#""2025-06-18""#,
        ProtocolVersion::V2025_11_25 => r#""2025-11-25""#,
        ProtocolVersion::V2026_07_28 => r#""2026-07-28""#,
    }
}

/// A `tools/call` on its way out.
#[derive(Debug)]
pub(super) struct Call<'a> {
    params: Raw<'a>,
    tool: &'a str,
    meta: Option<Raw<'a>>,
    /// The client's progress token, if it wants to hear of progress.
    pub(super) progress_token: Option<Raw<'a>>,
    /// What the tool is called with.
    pub(super) arguments: Option<Raw<'a>>,
}

impl<'a> Call<'a> {
    /// Looks at the client's `params`; `None` if they are no JSON object, or have a member twice
    /// that can be there only once.
    pub(super) fn new(params: &'a [u8], tool: &'a str) -> Option<Self> {
        let params = Raw::parse(std::str::from_utf8(params).ok()?).ok()?;
        if !params.is_object() {
            return None;
        }
        let [_, arguments, meta] = params.pick(["name", "arguments", "_meta"]).ok()?;
        let seen = RequestMeta::of(meta).ok()?;
        let progress_token = seen.valid_progress_token();
        Some(Self {
            params,
            tool,
            meta: seen.raw,
            progress_token,
            arguments,
        })
    }

    /// The body for a server that speaks `version`. The request's id also serves as the progress
    /// token: both must be unique for the server (TL-9).
    pub(super) fn body(&self, version: ProtocolVersion, id: u64) -> Vec<u8> {
        let id = id.to_string();
        let meta = if version.era() == ::mcp::era::Era::Stateless {
            Some(Cow::Owned(self.modern_meta(version, &id)))
        } else {
            self.legacy_meta(&id)
        };
        let mut params = ObjectEdit::or_empty(Some(self.params));
        params.set("name", quote(self.tool));
        match meta {
            Some(meta) => params.set("_meta", meta),
            None => params.remove("_meta"),
        };
        jsonrpc::request(&id, Method::ToolsCall.as_str(), Some(&params.finish()))
    }

    /// The client's metadata, with what belongs to our hop said by us. Its log level passes: it
    /// asks for messages about this very request, on its stream.
    fn modern_meta(&self, version: ProtocolVersion, id: &str) -> String {
        let mut meta = ObjectEdit::or_empty(self.meta);
        meta.set(meta::PROTOCOL_VERSION, quoted(version))
            .set(meta::CLIENT_INFO, CLIENT_INFO)
            .set(meta::CLIENT_CAPABILITIES, CAPABILITIES)
            .remove(meta::SUBSCRIPTION_ID)
            .remove(meta::SERVER_INFO);
        self.set_progress_token(&mut meta, id);
        meta.finish()
    }

    fn legacy_meta(&self, id: &str) -> Option<Cow<'a, str>> {
        let rest = meta::without_hop_keys(self.meta)?;
        if self
            .meta
            .is_none_or(|meta| meta.get(meta::PROGRESS_TOKEN).is_none())
        {
            return Some(rest);
        }
        let raw = Raw::parse(&rest).ok()?;
        let mut meta = ObjectEdit::or_empty(Some(raw));
        self.set_progress_token(&mut meta, id);
        Some(Cow::Owned(meta.finish()))
    }

    fn set_progress_token(&self, meta: &mut ObjectEdit<'_>, id: &str) {
        match self.progress_token {
            Some(_) => meta.set(meta::PROGRESS_TOKEN, id.to_owned()),
            None => meta.remove(meta::PROGRESS_TOKEN),
        };
    }
}

/// A request of our own. `members` are further members of `params`, as JSON text without braces.
pub(super) fn request(id: u64, method: Method, version: ProtocolVersion, members: &str) -> Vec<u8> {
    let comma = if members.is_empty() { "" } else { "," };
    let params = if version.era() == ::mcp::era::Era::Stateless {
        format!(
            r#"{{{members}{comma}"_meta":{{"{}":{},"{}":{CLIENT_INFO},"{}":{CAPABILITIES}}}}}"#,
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

/// `initialize`.
pub(super) fn initialize(id: u64, version: ProtocolVersion) -> Vec<u8> {
    let members = format!(
        r#""protocolVersion":{},"capabilities":{CAPABILITIES},"clientInfo":{CLIENT_INFO}"#,
        quoted(version)
    );
    request(id, Method::Initialize, version, &members)
}

/// `notifications/cancelled` of a request.
pub(super) fn cancelled(id: u64) -> Vec<u8> {
    let params = format!(r#"{{"requestId":{id},"reason":"cancelled by the gateway"}}"#);
    jsonrpc::notification(Method::Cancelled.as_str(), Some(&params))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(params: &str, version: ProtocolVersion) -> String {
        let call = Call::new(params.as_bytes(), "add").expect("an object");
        String::from_utf8(call.body(version, 7)).expect("UTF-8")
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
        let params = r#"{"name":"x","_meta":{"progressToken":"p","traceparent":"00-1","io.modelcontextprotocol/protocolVersion":"2099-01-01","io.modelcontextprotocol/clientInfo":{"name":"client"},"io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/logLevel":"debug"}}"#;
        let body = body(params, ProtocolVersion::V2026_07_28).replace(CLIENT_INFO, "OURS");
        insta::assert_snapshot!(body, @r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","_meta":{"progressToken":7,"traceparent":"00-1","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":OURS,"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"debug"}}}"#);
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
    fn a_progress_token_that_is_none_is_not_sent() {
        for version in [ProtocolVersion::V2025_11_25, ProtocolVersion::V2026_07_28] {
            let body = body(r#"{"name":"x","_meta":{"progressToken":{"a":1}}}"#, version);
            assert!(!body.contains("progressToken"), "{body}");
        }
    }

    #[test]
    fn parameters_that_are_no_object_are_refused() {
        for params in [
            "",
            "[]",
            "{",
            "\u{1}",
            r#"{"name":"a","name":"b"}"#,
            r#"{"_meta":{},"_meta":{}}"#,
        ] {
            assert!(Call::new(params.as_bytes(), "add").is_none(), "{params}");
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
        assert!(jsonrpc::parse(&initialize(1, ProtocolVersion::LATEST_SESSION)).is_ok());
        assert!(jsonrpc::parse(&cancelled(1)).is_ok());
    }
}
