//! What results look like in each era, and how one becomes the other.

use std::borrow::Cow;

use crate::edit::Change;
use crate::id::Id;
use crate::input::REQUEST_STATE;
use crate::jsonrpc;
use crate::meta;
use crate::method::Method;
use crate::raw::{Kind, Likeness, Raw};

/// What `resultType` says (D8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultType<'a> {
    /// `"complete"`, or absent as in all legacy results.
    Complete,
    /// `"input_required"`: the request is to be repeated with answers.
    InputRequired,
    /// Of an extension, or of nobody (UC-6).
    Other(Cow<'a, str>),
    /// Not a string.
    Malformed,
    /// Several that some reader may take for it (SEC-81).
    Ambiguous,
}

/// What a result says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// `resultType`
    pub result_type: ResultType<'a>,
    /// `isError`: the tool failed.
    pub failed: bool,
}

impl<'a> Said<'a> {
    /// Looks at a result once.
    pub fn by(result: Raw<'a>) -> Self {
        let mut stated = None;
        let mut ambiguous = false;
        let mut failed = None;
        for member in result.members().into_iter().flatten() {
            match member.likeness("resultType") {
                Likeness::Same if stated.is_none() => stated = Some(member.value),
                Likeness::Same | Likeness::OtherCase => ambiguous = true,
                Likeness::Other if failed.is_none() && member.is("isError") => {
                    failed = member.value.bool();
                }
                Likeness::Other => {}
            }
        }
        let result_type = if ambiguous {
            ResultType::Ambiguous
        } else {
            ResultType::of(stated)
        };
        Self {
            result_type,
            failed: failed == Some(true),
        }
    }
}

impl<'a> ResultType<'a> {
    fn of(stated: Option<Raw<'a>>) -> Self {
        let Some(raw) = stated.filter(|raw| !raw.is_null()) else {
            return Self::Complete;
        };
        match raw.text() {
            None => Self::Malformed,
            Some(word) if word == "complete" => Self::Complete,
            Some(word) if word == "input_required" => Self::InputRequired,
            Some(word) => Self::Other(word),
        }
    }
}

/// Who may keep a result (D11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// Anybody, for anybody.
    Public,
    /// Only for the same authorization.
    Private,
}

impl CacheScope {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What a cacheable result says about its freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheHint {
    /// Milliseconds.
    pub ttl_ms: u64,
    /// Who may keep it.
    pub scope: CacheScope,
}

/// The hints in a result. An absent or negative `ttlMs` is 0, an absent or unknown scope is private.
pub fn cache_hint(result: Raw<'_>) -> CacheHint {
    let ttl = result.get("ttlMs").and_then(Raw::any_integer).unwrap_or(0);
    let public = result.get("cacheScope").and_then(Raw::text).as_deref() == Some("public");
    CacheHint {
        ttl_ms: u64::try_from(ttl).unwrap_or(0),
        scope: if public {
            CacheScope::Public
        } else {
            CacheScope::Private
        },
    }
}

/// The response with what came of a method that asks for something, in any era, as a modern server sends it: `resultType`
/// is there (TM-16), and `_meta` names us and nobody else. `server_info` is a JSON object. What is there has the kind that it
/// must have, and what may be kept is private: who may read it depends on who asks (TM-17). Everything else stays byte for byte.
pub fn modern_response(id: Id<'_>, method: Method, result: Raw<'_>, server_info: &str) -> Vec<u8> {
    let own_meta = own_meta(server_info);
    let own_meta = Change::within("_meta", &own_meta);
    let complete = Change::default("resultType", r#""complete""#);
    match method {
        Method::ToolsCall => {
            let changes = [
                Change::default_of("content", "[]", Kind::Array),
                Change::only("isError", Kind::Bool),
                Change::not_null("structuredContent"),
                complete,
                own_meta,
            ];
            jsonrpc::response_with(id, result, &changes)
        }
        Method::PromptsGet => {
            let changes = [
                Change::only("description", Kind::String),
                complete,
                own_meta,
            ];
            jsonrpc::response_with(id, result, &changes)
        }
        Method::ResourcesRead => {
            let changes = [
                complete,
                Change::default_of("ttlMs", "0", Kind::Number),
                Change::set("cacheScope", r#""private""#),
                own_meta,
            ];
            jsonrpc::response_with(id, result, &changes)
        }
        _ => jsonrpc::response_with(id, result, &[complete, own_meta]),
    }
}

/// The response with the result of a call, of any era, as a legacy server sends it: what only the modern era knows is
/// taken out, and structured content that is no object with it.
pub fn legacy_response(id: Id<'_>, method: Method, result: Raw<'_>) -> Vec<u8> {
    const OF_A_TOOL: [Change<'static>; 7] = [
        Change::default_of("content", "[]", Kind::Array),
        Change::only("isError", Kind::Bool),
        Change::only("structuredContent", Kind::Object),
        Change::remove("resultType"),
        Change::remove("ttlMs"),
        Change::remove("cacheScope"),
        Change::within_if_any("_meta", &meta::WITHOUT_HOP_KEYS),
    ];
    const OF_A_PROMPT: [Change<'static>; 5] = [
        Change::only("description", Kind::String),
        Change::remove("resultType"),
        Change::remove("ttlMs"),
        Change::remove("cacheScope"),
        Change::within_if_any("_meta", &meta::WITHOUT_HOP_KEYS),
    ];
    const OF_ANYTHING_ELSE: [Change<'static>; 4] = [
        Change::remove("resultType"),
        Change::remove("ttlMs"),
        Change::remove("cacheScope"),
        Change::within_if_any("_meta", &meta::WITHOUT_HOP_KEYS),
    ];
    let changes: &[Change<'_>] = match method {
        Method::ToolsCall => &OF_A_TOOL,
        Method::PromptsGet => &OF_A_PROMPT,
        _ => &OF_ANYTHING_ELSE,
    };
    jsonrpc::response_with(id, result, changes)
}

/// The response with a result that says `input_required`, as a modern server sends it: with this state, a JSON string, if it has
/// one, and `_meta` that names us and nobody else.
pub fn input_required_response(
    id: Id<'_>,
    result: Raw<'_>,
    state: Option<&str>,
    server_info: &str,
) -> Vec<u8> {
    let own_meta = own_meta(server_info);
    let own_meta = Change::within("_meta", &own_meta);
    let state = match state {
        Some(state) => Change::set(REQUEST_STATE, state),
        None => Change::remove(REQUEST_STATE),
    };
    jsonrpc::response_with(id, result, &[state, own_meta])
}

/// The response with a result that names a task, as a modern server sends it: under this id, with this `resultType` unless it
/// has one.
pub fn task_response(
    id: Id<'_>,
    result: Raw<'_>,
    task: &str,
    result_type: &str,
    server_info: &str,
) -> Vec<u8> {
    let own_meta = own_meta(server_info);
    let own_meta = Change::within("_meta", &own_meta);
    let result_type = Change::default("resultType", result_type);
    if result.get("taskId").is_none() {
        return jsonrpc::response_with(id, result, &[result_type, own_meta]);
    }
    let changes = [Change::set_text("taskId", task), result_type, own_meta];
    jsonrpc::response_with(id, result, &changes)
}

/// What `_meta` of a result says of us, and does not say of others.
const fn own_meta(server_info: &str) -> [Change<'_>; 6] {
    [
        Change::set(meta::SERVER_INFO, server_info),
        Change::remove(meta::PROTOCOL_VERSION),
        Change::remove(meta::CLIENT_INFO),
        Change::remove(meta::CLIENT_CAPABILITIES),
        Change::remove(meta::LOG_LEVEL),
        Change::remove(meta::SUBSCRIPTION_ID),
    ]
}

/// The member `_meta` of a result of our own, to be spliced before its closing brace (with the leading comma).
pub fn meta_member(server_info: &str) -> String {
    format!(r#","_meta":{{"{}":{server_info}}}"#, meta::SERVER_INFO)
}

/// The members that make a result of our own modern, to be spliced before its closing brace:
/// `,"resultType":…,"ttlMs":…,"cacheScope":…,"_meta":{…}` (with the leading comma).
pub fn modern_members(hint: Option<CacheHint>, server_info: &str) -> String {
    let mut out = String::from(r#","resultType":"complete""#);
    if let Some(hint) = hint {
        out.push_str(",\"ttlMs\":");
        out.push_str(&hint.ttl_ms.to_string());
        out.push_str(",\"cacheScope\":\"");
        out.push_str(hint.scope.as_str());
        out.push('"');
    }
    out.push_str(&meta_member(server_info));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::era::Era;

    const INFO: &str = r#"{"name":"sekisho","version":"1"}"#;

    fn result_of(response: Vec<u8>) -> String {
        let text = String::from_utf8(response).unwrap();
        let result = text.strip_prefix(r#"{"jsonrpc":"2.0","id":1,"result":"#);
        result.unwrap().strip_suffix('}').unwrap().to_owned()
    }

    fn modern(text: &str) -> String {
        let id = Id::new(Raw::parse("1").unwrap()).unwrap();
        let result = Raw::parse(text).unwrap();
        result_of(modern_response(id, Method::ToolsCall, result, INFO))
    }

    fn legacy(text: &str) -> String {
        let id = Id::new(Raw::parse("1").unwrap()).unwrap();
        let result = Raw::parse(text).unwrap();
        result_of(legacy_response(id, Method::ToolsCall, result))
    }

    // TM-16
    #[test]
    fn a_legacy_result_becomes_modern_and_keeps_its_bytes() {
        insta::assert_snapshot!(
            modern(r#"{"content":[ ],"x":1.0}"#),
            @r#"{"content":[ ],"x":1.0,"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"sekisho","version":"1"}}}"#
        );
    }

    #[test]
    fn the_upstreams_identity_does_not_reach_the_client() {
        let text = r#"{"content":[],"_meta":{"a":1,"io.modelcontextprotocol/serverInfo":{"name":"upstream"}}}"#;
        insta::assert_snapshot!(
            modern(text),
            @r#"{"content":[],"_meta":{"a":1,"io.modelcontextprotocol/serverInfo":{"name":"sekisho","version":"1"}},"resultType":"complete"}"#
        );
        insta::assert_snapshot!(legacy(text), @r#"{"content":[],"_meta":{"a":1}}"#);
    }

    #[test]
    fn a_legacy_result_stays_as_it_is_for_a_legacy_client() {
        let text = r#"{ "content":[],"_meta":{"a":1} }"#;
        assert_eq!(legacy(text), text);
    }

    #[test]
    fn modern_members_disappear_for_a_legacy_client() {
        assert_eq!(
            legacy(r#"{"resultType":"complete","content":[],"ttlMs":1,"cacheScope":"public"}"#),
            r#"{"content":[]}"#
        );
    }

    // Strict clients refuse a result for a null where they expect nothing, or something else.
    #[test]
    fn what_a_server_sent_instead_of_nothing_does_not_leave() {
        let text = r#"{"content":null,"structuredContent":null,"isError":null,"_meta":null,"resultType":null}"#;
        assert_eq!(legacy(text), r#"{"content":[]}"#);
        insta::assert_snapshot!(
            modern(text),
            @r#"{"content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"sekisho","version":"1"}},"resultType":"complete"}"#
        );
        let text = r#"{"isError":"false","structuredContent":[1]}"#;
        assert_eq!(legacy(text), r#"{"content":[]}"#);
        assert!(modern(text).starts_with(r#"{"structuredContent":[1],"content":[]"#));
    }

    // UC-6
    #[test]
    fn an_absent_result_type_is_complete() {
        let of = |text: &'static str| Said::by(Raw::parse(text).unwrap()).result_type;
        assert_eq!(of("{}"), ResultType::Complete);
        assert_eq!(
            of(r#"{"resultType":"input_required"}"#),
            ResultType::InputRequired
        );
        assert_eq!(
            of(r#"{"resultType":"task"}"#),
            ResultType::Other("task".into())
        );
        assert_eq!(of(r#"{"resultType":1}"#), ResultType::Malformed);
        assert_eq!(of(r#"{"resultType":null}"#), ResultType::Complete);
        for twice in [
            r#"{"resultType":"complete","resultType":"complete"}"#,
            r#"{"resultType":"complete","ResultType":"task"}"#,
        ] {
            assert_eq!(of(twice), ResultType::Ambiguous, "{twice}");
        }
    }

    #[test]
    fn a_tool_says_that_it_failed_in_one_way() {
        let failed = |text: &'static str| Said::by(Raw::parse(text).unwrap()).failed;
        assert!(failed(r#"{"content":[],"isError":true}"#));
        for text in [
            "{}",
            r#"{"isError":false}"#,
            r#"{"isError":"true"}"#,
            r#"{"content":[{"isError":true}]}"#,
        ] {
            assert!(!failed(text), "{text}");
        }
    }

    // TM-17
    #[test]
    fn absent_hints_are_the_careful_ones() {
        let of = |text: &'static str| cache_hint(Raw::parse(text).unwrap());
        assert_eq!(
            of("{}"),
            CacheHint {
                ttl_ms: 0,
                scope: CacheScope::Private
            }
        );
        assert_eq!(
            of(r#"{"ttlMs":-5,"cacheScope":"x"}"#),
            CacheHint {
                ttl_ms: 0,
                scope: CacheScope::Private
            }
        );
        assert_eq!(
            of(r#"{"ttlMs":5,"cacheScope":"public"}"#),
            CacheHint {
                ttl_ms: 5,
                scope: CacheScope::Public
            }
        );
    }

    // TM-16, TM-17
    #[test]
    fn what_is_no_tool_gets_no_members_of_one() {
        let response = |era: Era, method, text: &'static str| {
            let id = Id::new(Raw::parse("1").unwrap()).unwrap();
            let result = Raw::parse(text).unwrap();
            result_of(match era {
                Era::Stateless => modern_response(id, method, result, "{}"),
                Era::Session => legacy_response(id, method, result),
            })
        };
        let prompt = r#"{"description":null,"messages":[]}"#;
        let info = r#""_meta":{"io.modelcontextprotocol/serverInfo":{}}"#;
        assert_eq!(
            response(Era::Session, Method::PromptsGet, prompt),
            r#"{"messages":[]}"#
        );
        assert_eq!(
            response(Era::Stateless, Method::PromptsGet, prompt),
            format!(r#"{{"messages":[],"resultType":"complete",{info}}}"#)
        );
        let odd = r#"{"contents":[],"description":{"x":1}}"#;
        assert_eq!(response(Era::Session, Method::ResourcesRead, odd), odd);
        let read = r#"{"contents":[],"ttlMs":5,"cacheScope":"public"}"#;
        assert_eq!(
            response(Era::Session, Method::ResourcesRead, read),
            r#"{"contents":[]}"#
        );
        let modern = response(Era::Stateless, Method::ResourcesRead, read);
        let modern = Raw::parse(&modern).unwrap();
        assert_eq!(cache_hint(modern).scope, CacheScope::Private);
        assert_eq!(cache_hint(modern).ttl_ms, 5);
        let untold = response(Era::Stateless, Method::ResourcesRead, r#"{"contents":[]}"#);
        assert_eq!(
            untold,
            format!(
                r#"{{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private",{info}}}"#
            )
        );
    }

    // TM-16
    #[test]
    fn our_own_results_are_spliced_from_constants() {
        let hint = CacheHint {
            ttl_ms: 60_000,
            scope: CacheScope::Private,
        };
        let text = format!(r#"{{"tools":[]{}}}"#, modern_members(Some(hint), INFO));
        let raw = Raw::parse(&text).unwrap();
        assert_eq!(cache_hint(raw), hint);
        assert_eq!(Said::by(raw).result_type, ResultType::Complete);
    }
}
