//! `x-mcp-header`: which arguments of a tool are mirrored into `Mcp-Param-*` headers.

use std::borrow::Cow;

use crate::header::{Field, Header, Mismatch, PARAM_PREFIX, decode_value, encode_value};
use crate::number::integer;
use crate::raw::{Ambiguous, Kind, Raw};

/// What an annotated argument holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// `"integer"`, within ±(2⁵³−1)
    Integer,
    /// `"string"`
    String,
    /// `"boolean"`
    Boolean,
}

/// One annotated argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamHeader {
    /// The name after `Mcp-Param-`, as the tool spells it.
    pub name: Box<str>,
    /// The whole header name, lower-case.
    pub header: Box<str>,
    /// Property names from the root of the arguments.
    pub path: Box<[Box<str>]>,
    /// The type.
    pub kind: ParamType,
}

/// Why a tool's annotations, and thus the tool, are invalid (UC-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidAnnotation {
    /// `x-mcp-header` is no string.
    #[error("`x-mcp-header` must be a string")]
    NotAString,
    /// Empty, or with bytes that a header name can't have.
    #[error("`x-mcp-header` must be a header name")]
    NotAHeaderName,
    /// Two arguments with the same header, case aside, or one with two.
    #[error("two arguments share one `x-mcp-header`")]
    Duplicate,
    /// Not on an integer, string or boolean.
    #[error("`x-mcp-header` is for arguments of type integer, string or boolean")]
    NotPrimitive,
    /// Not reachable from the root through `properties` alone.
    #[error("`x-mcp-header` is only for arguments reached through `properties`")]
    Unreachable,
    /// More of them than [`MOST`].
    #[error("more than {MOST} arguments with `x-mcp-header`")]
    TooMany,
    /// The names of the properties that lead to the argument are longer than [`LONGEST_PATH`] together.
    #[error("an argument with `x-mcp-header` has a path of more than {LONGEST_PATH} bytes")]
    PathTooLong,
}

/// An argument that is mirrored into a header occurs twice, or in another case too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an argument that a header mirrors occurs twice or in another case")]
pub struct AmbiguousArgument;

/// Most annotations of a tool: each is a header of a call, and servers take few of these (SEC-82).
pub const MOST: usize = 32;
/// Longest path to an annotated argument, in bytes (SEC-82).
pub const LONGEST_PATH: usize = 1024;
/// Longest name of a header, in bytes.
const LONGEST_NAME: usize = 128;

const KEYWORD: &str = "x-mcp-header";

/// The annotated arguments of a tool, from its `inputSchema`.
pub fn annotations(input_schema: Raw<'_>) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
    if memchr::memmem::find(input_schema.as_bytes(), b"mcp-header").is_none()
        && memchr::memchr(b'\\', input_schema.as_bytes()).is_none()
    {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut path = Vec::new();
    walk(input_schema, Some(&mut path), &mut found)?;
    Ok(found)
}

/// Visits a schema. `path` is none where annotations are not allowed. The depth is bounded by [`crate::scan::MAX_DEPTH`].
fn walk<'a>(
    schema: Raw<'a>,
    mut path: Option<&mut Vec<Cow<'a, str>>>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), InvalidAnnotation> {
    for element in schema.elements().into_iter().flatten() {
        walk(element, None, found)?;
    }
    let Some(members) = schema.members() else {
        return Ok(());
    };
    let mut is_annotated = false;
    for member in members {
        if member.is(KEYWORD) {
            if std::mem::replace(&mut is_annotated, true) {
                return Err(InvalidAnnotation::Duplicate);
            }
            let path = path.as_deref().filter(|path| !path.is_empty());
            let path = path.ok_or(InvalidAnnotation::Unreachable)?;
            // There are few of them, so that the search below is short.
            if found.len() >= MOST {
                return Err(InvalidAnnotation::TooMany);
            }
            let annotation = annotation(schema, member.value, path)?;
            if found.iter().any(|other| other.header == annotation.header) {
                return Err(InvalidAnnotation::Duplicate);
            }
            found.push(annotation);
        } else if member.is("properties") {
            for property in member.value.members().into_iter().flatten() {
                match (path.as_deref_mut(), property.key()) {
                    (Some(path), Some(name)) => {
                        path.push(name);
                        walk(property.value, Some(path), found)?;
                        path.pop();
                    }
                    _ => walk(property.value, None, found)?,
                }
            }
        } else if [
            "patternProperties",
            "$defs",
            "definitions",
            "dependentSchemas",
        ]
        .iter()
        .any(|map| member.is(map))
        {
            for named in member.value.members().into_iter().flatten() {
                walk(named.value, None, found)?;
            }
        } else if !["default", "const", "enum", "examples"]
            .iter()
            .any(|data| member.is(data))
        {
            walk(member.value, None, found)?;
        }
    }
    Ok(())
}

fn annotation(
    schema: Raw<'_>,
    value: Raw<'_>,
    path: &[Cow<'_, str>],
) -> Result<ParamHeader, InvalidAnnotation> {
    let name = value.text().ok_or(InvalidAnnotation::NotAString)?;
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_token_byte) {
        return Err(InvalidAnnotation::NotAHeaderName);
    }
    if path.iter().map(|step| step.len()).sum::<usize>() > LONGEST_PATH {
        return Err(InvalidAnnotation::PathTooLong);
    }
    let kind = schema
        .get("type")
        .and_then(primitive)
        .ok_or(InvalidAnnotation::NotPrimitive)?;
    Ok(ParamHeader {
        header: format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase()).into(),
        name: name.as_ref().into(),
        path: path.iter().map(|step| step.as_ref().into()).collect(),
        kind,
    })
}

/// `type`: one primitive, or a list of one primitive and `null`.
fn primitive(raw: Raw<'_>) -> Option<ParamType> {
    match raw.kind() {
        Kind::String => match raw.text()?.as_ref() {
            "integer" => Some(ParamType::Integer),
            "string" => Some(ParamType::String),
            "boolean" => Some(ParamType::Boolean),
            _ => None,
        },
        Kind::Array => {
            let mut types = raw
                .elements()
                .into_iter()
                .flatten()
                .filter(|element| element.text().as_deref() != Some("null"));
            match (types.next(), types.next()) {
                (Some(only), None) if only.kind() == Kind::String => primitive(only),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl ParamHeader {
    /// The argument's value; none if it is absent or `null`. An error if there are several that some reader may take for it.
    fn value<'a>(&self, arguments: Option<Raw<'a>>) -> Result<Option<Raw<'a>>, AmbiguousArgument> {
        let mut found = arguments;
        for step in &self.path {
            let Some(at) = found else { return Ok(None) };
            found = at.only(step).map_err(|Ambiguous| AmbiguousArgument)?;
        }
        Ok(found.filter(|value| !value.is_null()))
    }

    /// The text that the header stands for; none where the argument can't be mirrored.
    fn mirrored(value: Raw<'_>) -> Option<Cow<'_, str>> {
        match value.kind() {
            Kind::String => value.text(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(value.as_str())),
            Kind::Object | Kind::Array | Kind::Null => None,
        }
    }
}

/// Says of the arguments of a call whether everybody who reads them sees what their headers say (SEC-81).
pub fn unambiguous(
    annotations: &[ParamHeader],
    arguments: Option<Raw<'_>>,
) -> Result<(), AmbiguousArgument> {
    annotations
        .iter()
        .try_for_each(|annotation| annotation.value(arguments).map(drop))
}

/// The headers for a call that we send (UC-3): lower-case name and value. What is ambiguous has none.
pub fn for_call<'a>(
    annotations: &'a [ParamHeader],
    arguments: Option<Raw<'a>>,
) -> impl Iterator<Item = (&'a str, String)> {
    annotations.iter().filter_map(move |annotation| {
        let value = annotation.value(arguments).ok()??;
        let text = match annotation.kind {
            ParamType::Integer => integer(value.as_str()).map_or_else(
                || Cow::Borrowed(value.as_str()),
                |n| Cow::Owned(n.to_string()),
            ),
            ParamType::String | ParamType::Boolean => ParamHeader::mirrored(value)?,
        };
        Some((annotation.header.as_ref(), encode_value(&text).into_owned()))
    })
}

/// Checks the `Mcp-Param-*` headers of a call that we received (TM-6), of arguments that are [`unambiguous`]. `field` finds
/// a header by its lower-case name.
pub fn check<'h>(
    annotations: &[ParamHeader],
    arguments: Option<Raw<'_>>,
    field: impl Fn(&str) -> Field<'h>,
) -> Result<(), Mismatch> {
    for annotation in annotations {
        let header = || Header::Param(annotation.name.clone());
        let value = annotation.value(arguments).unwrap_or_default();
        let sent = match field(&annotation.header) {
            Field::Repeated => return Err(Mismatch::Repeated(header())),
            Field::Absent => None,
            Field::Once(bytes) => {
                Some(decode_value(bytes).map_err(|_| Mismatch::Malformed(header()))?)
            }
        };
        match (value, sent) {
            (None, None) => {}
            (Some(_), None) => return Err(Mismatch::Missing(header())),
            (None, Some(_)) => return Err(Mismatch::Unexpected(header())),
            (Some(value), Some(sent)) => {
                let same = ParamHeader::mirrored(value).is_some_and(|text| text == sent)
                    || (value.kind() == Kind::Number && same_number(value.as_str(), &sent));
                if !same {
                    return Err(Mismatch::Different(header()));
                }
            }
        }
    }
    Ok(())
}

/// Numeric comparison: `42.0` and `42` are equal.
fn same_number(one: &str, other: &str) -> bool {
    integer(one).is_some_and(|number| Some(number) == integer(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(schema: &str) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
        annotations(Raw::parse(schema).unwrap())
    }

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "page":{"type":"object","properties":{"size":{"type":["integer","null"],"x-mcp-header":"Size"}}},
        "x-mcp-header":{"type":"string"}}}"#;

    // UC-4
    #[test]
    fn annotations_are_found_with_their_paths() {
        let found = found(SCHEMA).unwrap();
        let seen: Vec<String> = found
            .iter()
            .map(|one| format!("{} {} {:?}", one.header, one.path.join("."), one.kind))
            .collect();
        assert_eq!(
            seen,
            [
                "mcp-param-region region String",
                "mcp-param-size page.size Integer"
            ]
        );
    }

    // UC-4
    #[test]
    fn invalid_annotations_are_told_apart() {
        let property = |schema: &str| found(&format!(r#"{{"properties":{{"a":{schema}}}}}"#));
        assert_eq!(
            property(r#"{"type":"string","x-mcp-header":1}"#),
            Err(InvalidAnnotation::NotAString)
        );
        assert_eq!(
            property(r#"{"type":"string","x-mcp-header":""}"#),
            Err(InvalidAnnotation::NotAHeaderName)
        );
        assert_eq!(
            property(r#"{"type":"string","x-mcp-header":"a\r\nb"}"#),
            Err(InvalidAnnotation::NotAHeaderName)
        );
        assert_eq!(
            property(r#"{"type":"number","x-mcp-header":"A"}"#),
            Err(InvalidAnnotation::NotPrimitive)
        );
        assert_eq!(
            property(r#"{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#),
            Err(InvalidAnnotation::Unreachable)
        );
        assert_eq!(
            property(r#"{"anyOf":[{"properties":{"b":{"type":"string","x-mcp-header":"A"}}}]}"#),
            Err(InvalidAnnotation::Unreachable)
        );
        assert_eq!(
            found(r#"{"type":"string","x-mcp-header":"A"}"#),
            Err(InvalidAnnotation::Unreachable)
        );
        assert_eq!(
            found(r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#),
            Err(InvalidAnnotation::Unreachable)
        );
        assert_eq!(
            found(
                r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#
            ),
            Err(InvalidAnnotation::Duplicate)
        );
    }

    // SEC-82
    #[test]
    fn annotations_have_bounds() {
        let of = |count: usize| {
            let properties: Vec<String> = (0..count)
                .map(|n| format!(r#""p{n}":{{"type":"string","x-mcp-header":"H{n}"}}"#))
                .collect();
            found(&format!(r#"{{"properties":{{{}}}}}"#, properties.join(",")))
        };
        assert_eq!(of(MOST).unwrap().len(), MOST);
        assert_eq!(of(MOST + 1), Err(InvalidAnnotation::TooMany));
        let named = |path: usize, name: usize| {
            let (path, name) = ("p".repeat(path), "n".repeat(name));
            found(&format!(
                r#"{{"properties":{{"{path}":{{"type":"string","x-mcp-header":"{name}"}}}}}}"#
            ))
        };
        assert!(named(LONGEST_PATH, LONGEST_NAME).is_ok());
        assert_eq!(
            named(LONGEST_PATH + 1, 1),
            Err(InvalidAnnotation::PathTooLong)
        );
        assert_eq!(
            named(1, LONGEST_NAME + 1),
            Err(InvalidAnnotation::NotAHeaderName)
        );
        let twice =
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A","x-mcp-header":"B"}}}"#;
        assert_eq!(found(twice), Err(InvalidAnnotation::Duplicate));
    }

    #[test]
    fn example_data_is_not_schema() {
        let schema = r#"{"properties":{"a":{"type":"object","default":{"x-mcp-header":"A"}}}}"#;
        assert_eq!(found(schema), Ok(vec![]));
    }

    // UC-3
    #[test]
    fn a_call_gets_its_headers_from_the_arguments() {
        let annotations = found(SCHEMA).unwrap();
        let headers = |arguments: &str| -> Vec<String> {
            let arguments = Raw::parse(arguments).unwrap();
            for_call(&annotations, Some(arguments))
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        assert_eq!(
            headers(r#"{"region":"東京","page":{"size":42.0}}"#),
            ["mcp-param-region==?base64?5p2x5Lqs?=", "mcp-param-size=42"]
        );
        assert!(headers(r#"{"region":null}"#).is_empty());
    }

    // TM-6
    #[test]
    fn parameter_headers_must_say_what_the_arguments_say() {
        let annotations = found(SCHEMA).unwrap();
        let checked = |arguments: &str, region: Field<'static>| {
            check(&annotations, Some(Raw::parse(arguments).unwrap()), |name| {
                if name == "mcp-param-region" {
                    region
                } else {
                    Field::Absent
                }
            })
        };
        let region = || Header::Param("Region".into());
        assert_eq!(checked(r#"{"region":"a"}"#, Field::Once(b"a")), Ok(()));
        assert_eq!(
            checked(r#"{"region":"a"}"#, Field::Once(b"b")),
            Err(Mismatch::Different(region()))
        );
        assert_eq!(
            checked(r#"{"region":"a"}"#, Field::Absent),
            Err(Mismatch::Missing(region()))
        );
        assert_eq!(
            checked(r#"{"region":"a"}"#, Field::Repeated),
            Err(Mismatch::Repeated(region()))
        );
        assert_eq!(
            checked(r#"{"region":"a"}"#, Field::Once(b"\xff")),
            Err(Mismatch::Malformed(region()))
        );
        assert_eq!(
            checked(r#"{"region":null}"#, Field::Once(b"a")),
            Err(Mismatch::Unexpected(region()))
        );
        assert_eq!(checked(r#"{"region":null}"#, Field::Absent), Ok(()));
        assert_eq!(checked("{}", Field::Absent), Ok(()));
    }

    // TM-6, SEC-81
    #[test]
    fn a_mirrored_argument_that_readers_could_see_differently_is_refused() {
        let annotations = found(SCHEMA).unwrap();
        let checked =
            |arguments: &str| unambiguous(&annotations, Some(Raw::parse(arguments).unwrap()));
        for arguments in [
            r#"{"region":"a","region":"b"}"#,
            r#"{"region":"a","reg\u0069on":"a"}"#,
            r#"{"region":"a","Region":"b"}"#,
            r#"{"page":{"size":1},"page":{"size":2}}"#,
            r#"{"page":{"size":1,"ſize":2}}"#,
        ] {
            assert_eq!(checked(arguments), Err(AmbiguousArgument), "{arguments}");
            let headers = for_call(&annotations, Some(Raw::parse(arguments).unwrap()));
            assert_eq!(headers.count(), 0, "{arguments}");
        }
        for arguments in [
            "{}",
            r#"{"region":"a","other":1,"other":2,"Other":3}"#,
            r#"{"region":"a","page":7}"#,
        ] {
            assert_eq!(checked(arguments), Ok(()), "{arguments}");
        }
    }

    // TM-6
    #[test]
    fn integers_are_compared_as_numbers() {
        assert!(same_number("42.0", "42"));
        assert!(same_number("4.2e1", "42"));
        assert!(!same_number("42", "43"));
        assert!(!same_number("9007199254740993", "9007199254740992"));
    }
}
