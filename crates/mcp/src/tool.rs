//! Tool definitions, kept as the bytes they came as.

use std::borrow::Cow;

use crate::era::Era;
use crate::mend::{self, Repair};
use crate::param_header::{self, InvalidAnnotation, ParamHeader};
use crate::raw::{AmbiguousKey, Kind, Raw};

/// Longest tool name that is accepted, in characters (S26 server/tools: 1 to 128).
pub const MAX_NAME: usize = 128;

/// Longest URI of a resource, or template of URIs, that is accepted, in bytes.
pub const MAX_URI: usize = 4096;

/// A tool definition of an upstream, with the few members that are looked at.
#[derive(Clone, Debug)]
pub struct Tool<'a> {
    /// All of it, put right where strict clients would refuse it.
    pub definition: Cow<'a, str>,
    /// All of it for clients of the session era, if they get something else.
    pub legacy: Option<String>,
    /// What was put right.
    pub repairs: Vec<Repair>,
    /// `name`
    pub name: Cow<'a, str>,
    /// Arguments mirrored into headers.
    pub param_headers: Vec<ParamHeader>,
}

/// Why a tool, or another definition, is left out of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidTool {
    /// Not an object.
    #[error("a definition must be an object")]
    NotAnObject,
    /// `name` is missing, empty, too long or no string.
    #[error("a definition needs one `name` of 1 to {MAX_NAME} characters")]
    InvalidName,
    /// A member that is decided about occurs twice, or in another case: clients may see another tool than we do (SEC-81).
    #[error("of a definition, {0}")]
    Ambiguous(#[from] AmbiguousKey),
    /// `uri` or `uriTemplate` is missing, empty, too long or no string.
    #[error(
        "a resource needs one `uri`, and a template one `uriTemplate`, of 1 to {MAX_URI} bytes"
    )]
    InvalidUri,
    /// `arguments` of a prompt are no list of named arguments.
    #[error("`arguments` must be a list of arguments with names")]
    InvalidArguments,
    /// `inputSchema` is not the schema of an object.
    #[error("`inputSchema` must be the schema of an object")]
    InvalidSchema,
    /// Its `x-mcp-header` annotations are invalid (UC-4).
    #[error(transparent)]
    Annotation(#[from] InvalidAnnotation),
}

impl<'a> Tool<'a> {
    /// Reads a definition of a server that speaks `era`.
    pub fn parse(raw: Raw<'a>, era: Era) -> Result<Self, InvalidTool> {
        if !raw.is_object() {
            return Err(InvalidTool::NotAnObject);
        }
        let [name, schema] = raw.pick(["name", "inputSchema"])?;
        let name = name
            .and_then(Raw::text)
            .filter(|name| !name.is_empty() && name.chars().count() <= MAX_NAME)
            .ok_or(InvalidTool::InvalidName)?;
        let mended =
            mend::definition(raw, era).map_err(|mend::NotCallable| InvalidTool::InvalidSchema)?;
        let param_headers = schema.map_or(Ok(Vec::new()), param_header::annotations)?;
        Ok(Self {
            definition: mended.text,
            legacy: mended.legacy,
            repairs: mended.repairs,
            name,
            param_headers,
        })
    }
}

/// The elements of the member `word` of a list's result, of `tools` for instance; none if that is no array. Null is one
/// without elements.
pub fn listed<'a>(result: Raw<'a>, word: &str) -> Option<impl Iterator<Item = Raw<'a>>> {
    let all = result.get(word)?;
    let elements = all.elements();
    (all.is_null() || elements.is_some()).then(|| elements.into_iter().flatten())
}

/// `nextCursor` of a list result, as the JSON value it came as: it is opaque, and an empty one is one too (UC-11). Some
/// servers make it a number.
pub fn next_cursor(result: Raw<'_>) -> Option<Raw<'_>> {
    result
        .get("nextCursor")
        .filter(|cursor| matches!(cursor.kind(), Kind::String | Kind::Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-4
    #[test]
    fn a_tool_with_an_invalid_annotation_is_refused() {
        let text = r#"{"name":"a","inputSchema":{"type":"object","x-mcp-header":"A"}}"#;
        let refused = Tool::parse(Raw::parse(text).unwrap(), Era::Stateless).unwrap_err();
        assert_eq!(
            refused,
            InvalidTool::Annotation(InvalidAnnotation::Unreachable)
        );
    }

    #[test]
    fn a_tool_needs_a_name() {
        for text in [r"{}", r#"{"name":1}"#, r#"{"name":""}"#] {
            assert_eq!(
                Tool::parse(Raw::parse(text).unwrap(), Era::Stateless).unwrap_err(),
                InvalidTool::InvalidName
            );
        }
    }

    // SEC-81
    #[test]
    fn a_tool_that_clients_could_see_under_another_name_is_refused() {
        for (text, key) in [
            (r#"{"name":"a","name":"b"}"#, AmbiguousKey::Twice("name")),
            (
                r#"{"name":"a","Name":"b"}"#,
                AmbiguousKey::OtherCase("name"),
            ),
            (
                r#"{"name":"a","inputSchema":{},"inputſchema":{}}"#,
                AmbiguousKey::OtherCase("inputSchema"),
            ),
        ] {
            assert_eq!(
                Tool::parse(Raw::parse(text).unwrap(), Era::Stateless).unwrap_err(),
                InvalidTool::Ambiguous(key)
            );
        }
    }

    // UC-11
    #[test]
    fn an_empty_cursor_is_a_cursor() {
        let cursor = |text: &'static str| next_cursor(Raw::parse(text).unwrap()).map(Raw::as_str);
        assert_eq!(cursor(r#"{"tools":[],"nextCursor":""}"#), Some("\"\""));
        assert_eq!(cursor(r#"{"tools":[],"nextCursor":2}"#), Some("2"));
        for text in [
            r#"{"tools":[]}"#,
            r#"{"nextCursor":null}"#,
            r#"{"nextCursor":{}}"#,
        ] {
            assert_eq!(cursor(text), None, "{text}");
        }
    }

    #[test]
    fn no_tools_may_be_said_with_null() {
        let count =
            |text: &'static str| listed(Raw::parse(text).unwrap(), "tools").map(Iterator::count);
        assert_eq!(count(r#"{"tools":null}"#), Some(0));
        assert_eq!(count(r#"{"tools":[]}"#), Some(0));
        for text in ["{}", r#"{"tools":{}}"#, r#"{"tools":"none"}"#] {
            assert_eq!(count(text), None, "{text}");
        }
    }
}
