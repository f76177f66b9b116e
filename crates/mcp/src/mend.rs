//! Puts right what servers send and strict clients refuse, so that one oddity does not cost the whole message.
//!
//! What is in order stays byte for byte. A walk sees every byte once for each level that it descends, which are few.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::edit::{self, Change};
use crate::era::Era;
use crate::raw::{Kind, Member, Raw, write_string};

/// What was done to a tool's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Repair {
    /// `inputSchema` is missing, null or without content.
    #[error("`inputSchema` is missing")]
    NoSchema,
    /// `inputSchema` does not say `"type":"object"`, or has members that a schema of arguments can't have.
    #[error("`inputSchema` is not quite a schema of arguments")]
    Schema,
    /// `outputSchema` can't be one.
    #[error("`outputSchema` is unusable")]
    OutputSchema,
    /// A member that a tool may do without is null or of the wrong type.
    #[error("a member is null or of the wrong type")]
    Member,
}

/// A definition, put right.
#[derive(Clone, Debug)]
pub struct Definition<'a> {
    /// What clients get.
    pub text: Cow<'a, str>,
    /// What clients of the session era get, if that differs: their `outputSchema` is that of an object.
    pub legacy: Option<String>,
    /// What was done, each once.
    pub repairs: Vec<Repair>,
}

/// `inputSchema` does not describe an object, so that the tool can't be called by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCallable;

/// Members that a tool may do without, and what they must be.
const OPTIONAL: [(&str, Kind); 7] = [
    ("title", Kind::String),
    ("description", Kind::String),
    ("icons", Kind::Array),
    ("outputSchema", Kind::Object),
    ("execution", Kind::Object),
    ("annotations", Kind::Object),
    ("_meta", Kind::Object),
];

/// The same, of `annotations`.
const HINTS: [(&str, Kind); 5] = [
    ("title", Kind::String),
    ("readOnlyHint", Kind::Bool),
    ("destructiveHint", Kind::Bool),
    ("idempotentHint", Kind::Bool),
    ("openWorldHint", Kind::Bool),
];

/// Members of a schema where null is a value.
const DATA: [&str; 4] = ["default", "const", "enum", "examples"];

/// Members of contents that may be absent and are never null.
const OPTIONAL_IN_CONTENT: [&str; 10] = [
    "_meta",
    "annotations",
    "blob",
    "description",
    "icons",
    "mimeType",
    "name",
    "size",
    "text",
    "title",
];

const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// What becomes of a member.
enum Fate {
    Keep,
    Drop,
    Replace(String),
}

/// The definition of a tool of a server that speaks `era`.
///
/// # Errors
/// If it can't be put right.
pub fn definition(raw: Raw<'_>, era: Era) -> Result<Definition<'_>, NotCallable> {
    let mut repairs = Vec::new();
    let mut legacy_differs = false;
    let mut callable = true;
    let mut has_schema = false;
    let text = rewritten(raw, |member| {
        let value = member.value;
        if member.is("inputSchema") {
            has_schema = true;
            return match schema(value) {
                Schema::Fits => Fate::Keep,
                Schema::Mended(text, repair) => {
                    repairs.push(repair);
                    Fate::Replace(text)
                }
                Schema::OfSomethingElse => {
                    callable = false;
                    Fate::Keep
                }
            };
        }
        if value.is_null() || is_of_another_kind(member, &OPTIONAL) {
            repairs.push(Repair::Member);
            return Fate::Drop;
        }
        if member.is("annotations") {
            let hints = rewritten(value, |hint| {
                if hint.value.is_null() || is_of_another_kind(hint, &HINTS) {
                    Fate::Drop
                } else {
                    Fate::Keep
                }
            });
            if let Some(hints) = hints {
                repairs.push(Repair::Member);
                return Fate::Replace(hints);
            }
        } else if member.is("outputSchema") {
            return match (schema(value), era) {
                (Schema::Fits, _) => Fate::Keep,
                // In the stateless era the content may be anything (S26), in the other one it is an object.
                (_, Era::Stateless) => {
                    legacy_differs = true;
                    Fate::Keep
                }
                (Schema::Mended(text, _), Era::Session) => {
                    repairs.push(Repair::OutputSchema);
                    Fate::Replace(text)
                }
                (Schema::OfSomethingElse, Era::Session) => {
                    repairs.push(Repair::OutputSchema);
                    Fate::Drop
                }
            };
        }
        Fate::Keep
    });
    if !callable {
        return Err(NotCallable);
    }
    let mut text = text.map_or(Cow::Borrowed(raw.as_str()), Cow::Owned);
    if !has_schema {
        repairs.push(Repair::NoSchema);
        let added = [Change::set("inputSchema", ANY_OBJECT)];
        text = Cow::Owned(edit::changed(Raw::trusted(&text), &added));
    }
    let legacy = legacy_differs
        .then(|| edit::changed(Raw::trusted(&text), &[Change::remove("outputSchema")]));
    repairs.sort_unstable_by_key(|repair| *repair as u8);
    repairs.dedup();
    Ok(Definition {
        text,
        legacy,
        repairs,
    })
}

/// What a schema of an object is.
enum Schema {
    Fits,
    Mended(String, Repair),
    OfSomethingElse,
}

fn schema(raw: Raw<'_>) -> Schema {
    let is_empty = match raw.kind() {
        Kind::Null => true,
        // An empty object, as PHP writes it.
        Kind::Array => raw.elements().is_none_or(|mut all| all.next().is_none()),
        Kind::Object => raw.members().is_none_or(|mut all| all.next().is_none()),
        Kind::Bool => raw.bool() == Some(true),
        Kind::String | Kind::Number => false,
    };
    if is_empty {
        return Schema::Mended(ANY_OBJECT.to_owned(), Repair::NoSchema);
    }
    if !raw.is_object() {
        return Schema::OfSomethingElse;
    }
    let mut of_object = false;
    let mut of_something_else = false;
    let text = rewritten(raw, |member| {
        let value = member.value;
        if member.is("type") {
            return match value.kind() {
                Kind::String if value.text().as_deref() == Some("object") => {
                    of_object = true;
                    Fate::Keep
                }
                Kind::Array if says_object(value) => {
                    of_object = true;
                    Fate::Replace(r#""object""#.to_owned())
                }
                Kind::Null => Fate::Drop,
                _ => {
                    of_something_else = true;
                    Fate::Keep
                }
            };
        }
        if member.is("properties") {
            return match value.kind() {
                Kind::Object => rewritten(value, property).map_or(Fate::Keep, Fate::Replace),
                _ => Fate::Drop,
            };
        }
        if member.is("required") {
            return required(value);
        }
        if value.is_null() && !DATA.iter().any(|data| member.is(data)) {
            return Fate::Drop;
        }
        Fate::Keep
    });
    if of_something_else {
        return Schema::OfSomethingElse;
    }
    match (text, of_object) {
        (None, true) => Schema::Fits,
        (Some(text), true) => Schema::Mended(text, Repair::Schema),
        (text, false) => {
            let text = text.map_or(Cow::Borrowed(raw.as_str()), Cow::Owned);
            let added = [Change::set("type", r#""object""#)];
            Schema::Mended(edit::changed(Raw::trusted(&text), &added), Repair::Schema)
        }
    }
}

fn says_object(types: Raw<'_>) -> bool {
    let mut types = types.elements().into_iter().flatten();
    types.any(|one| one.text().as_deref() == Some("object"))
}

/// Strict clients take objects only for the schemas of properties.
fn property(member: &Member<'_>) -> Fate {
    match member.value.kind() {
        Kind::Object => Fate::Keep,
        Kind::Bool if member.value.bool() == Some(false) => {
            Fate::Replace(r#"{"not":{}}"#.to_owned())
        }
        _ => Fate::Replace("{}".to_owned()),
    }
}

fn required(value: Raw<'_>) -> Fate {
    let Some(elements) = value.elements() else {
        return Fate::Drop;
    };
    let is_name = |element: &Raw<'_>| element.kind() == Kind::String;
    if elements.clone().all(|element| is_name(&element)) {
        return Fate::Keep;
    }
    let names: Vec<&str> = elements.filter(is_name).map(Raw::as_str).collect();
    Fate::Replace(format!("[{}]", names.join(",")))
}

fn is_of_another_kind(member: &Member<'_>, known: &[(&str, Kind)]) -> bool {
    known
        .iter()
        .any(|(name, kind)| member.value.kind() != *kind && member.is(name))
}

/// The contents of a result without the nulls that some servers send instead of nothing; none if there are none.
pub fn contents(result: Raw<'_>) -> Option<String> {
    static NULL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("null"));
    NULL.find(result.as_bytes())?;
    rewritten(result, |member| {
        let Some(items) = member.value.elements().filter(|_| member.is("content")) else {
            return Fate::Keep;
        };
        let mut any = false;
        let mut text = String::from("[");
        for (position, item) in items.enumerate() {
            if position > 0 {
                text.push(',');
            }
            let mended = content(item);
            any |= mended.is_some();
            text.push_str(mended.as_deref().unwrap_or(item.as_str()));
        }
        text.push(']');
        if any { Fate::Replace(text) } else { Fate::Keep }
    })
}

fn content(item: Raw<'_>) -> Option<String> {
    let is_nothing = |member: &Member<'_>| {
        member.value.is_null() && OPTIONAL_IN_CONTENT.iter().any(|name| member.is(name))
    };
    rewritten(item, |member| {
        if is_nothing(member) {
            return Fate::Drop;
        }
        if !member.is("resource") {
            return Fate::Keep;
        }
        let within = rewritten(member.value, |member| {
            if is_nothing(member) {
                Fate::Drop
            } else {
                Fate::Keep
            }
        });
        within.map_or(Fate::Keep, Fate::Replace)
    })
}

/// An `error` object with an integer as `code` and a text as `message`, as it must have them.
pub fn error(raw: Raw<'_>) -> Cow<'_, str> {
    let (code, message) = (raw.get("code"), raw.get("message"));
    let plain = code.and_then(Raw::integer).is_some();
    if plain && message.is_some_and(|message| message.kind() == Kind::String) {
        return Cow::Borrowed(raw.as_str());
    }
    let code = code.and_then(Raw::any_integer);
    let code = code
        .unwrap_or(crate::error::Code::INTERNAL_ERROR.0)
        .to_string();
    let mut text = String::new();
    write_string(&mut text, "the target gave no reason");
    let changes = [
        Change::set("code", &code),
        Change::default_of("message", &text, Kind::String),
    ];
    Cow::Owned(edit::changed(raw, &changes))
}

/// The object with other members; none if all are kept, or if it is no object.
fn rewritten(object: Raw<'_>, mut fate: impl FnMut(&Member<'_>) -> Fate) -> Option<String> {
    let source = object.as_str();
    let mut out: Option<String> = None;
    let mut kept_to = 0;
    let mut any = false;
    for member in object.members()? {
        let fate = fate(&member);
        if out.is_none() && matches!(fate, Fate::Keep) {
            any = true;
            kept_to = member.end;
            continue;
        }
        let out = out.get_or_insert_with(|| {
            let mut out = String::with_capacity(source.len());
            out.push_str(if any {
                source.get(..kept_to).unwrap_or_default()
            } else {
                "{"
            });
            out
        });
        let value = match &fate {
            Fate::Drop => continue,
            Fate::Keep => member.value.as_str(),
            Fate::Replace(value) => value,
        };
        if any {
            out.push(',');
        }
        any = true;
        out.push_str(
            source
                .get(member.start..member.value_start)
                .unwrap_or_default(),
        );
        out.push_str(value);
    }
    out.map(|mut out| {
        out.push('}');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended_in(era: Era, text: &'static str) -> (String, Vec<Repair>) {
        let mended = definition(Raw::parse(text).unwrap(), era).unwrap();
        assert!(Raw::parse(&mended.text).is_ok(), "{}", mended.text);
        (mended.text.into_owned(), mended.repairs)
    }

    fn mended(text: &'static str) -> String {
        mended_in(Era::Session, text).0
    }

    #[test]
    fn a_definition_in_order_stays_byte_for_byte() {
        for text in [
            r#"{ "name":"a","inputSchema":{"type":"object"}, "x" : 1.0e2}"#,
            r#"{"name":"a","title":"A","annotations":{"title":"A","readOnlyHint":true,"x":1},"inputSchema":{"type":"object","properties":{"a":{"default":null}},"required":["a"],"default":null}}"#,
        ] {
            let mended = definition(Raw::parse(text).unwrap(), Era::Session).unwrap();
            assert!(matches!(mended.text, Cow::Borrowed(_)), "{}", mended.text);
            assert_eq!((mended.repairs, mended.legacy), (Vec::new(), None));
        }
    }

    #[test]
    fn a_missing_schema_of_arguments_is_that_of_any_object() {
        for text in [
            r#"{"name":"a"}"#,
            r#"{"name":"a","inputSchema":null}"#,
            r#"{"name":"a","inputSchema":{}}"#,
            r#"{"name":"a","inputSchema":[]}"#,
            r#"{"name":"a","inputSchema":true}"#,
        ] {
            let (text, repairs) = mended_in(Era::Session, text);
            assert_eq!(text, r#"{"name":"a","inputSchema":{"type":"object"}}"#);
            assert_eq!(repairs, [Repair::NoSchema]);
        }
    }

    #[test]
    fn a_schema_of_arguments_becomes_one_that_strict_clients_take() {
        insta::assert_snapshot!(
            mended(r#"{"name":"a","inputSchema":{"properties":{"b":{}}, "x":1.0}}"#),
            @r#"{"name":"a","inputSchema":{"properties":{"b":{}}, "x":1.0,"type":"object"}}"#
        );
        insta::assert_snapshot!(
            mended(r#"{"name":"a","inputSchema":{"type":["object","null"],"properties":null,"required":null,"$defs":null,"default":null}}"#),
            @r#"{"name":"a","inputSchema":{"type":"object","default":null}}"#
        );
        insta::assert_snapshot!(
            mended(r#"{"name":"a","inputSchema":{"type":"object","properties":[],"required":true}}"#),
            @r#"{"name":"a","inputSchema":{"type":"object"}}"#
        );
        insta::assert_snapshot!(
            mended(r#"{"name":"a","inputSchema":{"type":"object","properties":{"b":true,"c":false,"d":null,"e":{"x":null}},"required":["b",1,null]}}"#),
            @r#"{"name":"a","inputSchema":{"type":"object","properties":{"b":{},"c":{"not":{}},"d":{},"e":{"x":null}},"required":["b"]}}"#
        );
    }

    #[test]
    fn a_schema_of_something_else_can_not_be_put_right() {
        for text in [
            r#"{"name":"a","inputSchema":{"type":"string"}}"#,
            r#"{"name":"a","inputSchema":{"type":["array","null"]}}"#,
            r#"{"name":"a","inputSchema":"object"}"#,
            r#"{"name":"a","inputSchema":false}"#,
            r#"{"name":"a","inputSchema":[{}]}"#,
        ] {
            let refused = definition(Raw::parse(text).unwrap(), Era::Session);
            assert_eq!(refused.unwrap_err(), NotCallable, "{text}");
        }
    }

    #[test]
    fn members_that_a_tool_may_do_without_do_not_spoil_it() {
        let (text, repairs) = mended_in(
            Era::Session,
            r#"{"title":null, "name":"a","description":7,"annotations":{"title":null,"readOnlyHint":true,"openWorldHint":"no"},"icons":{},"_meta":[],"execution":null,"outputSchema":null,"inputSchema":{"type":"object"},"odd":null}"#,
        );
        insta::assert_snapshot!(text, @r#"{"name":"a","annotations":{"readOnlyHint":true},"inputSchema":{"type":"object"}}"#);
        assert_eq!(repairs, [Repair::Member]);
    }

    #[test]
    fn a_schema_of_results_is_that_of_an_object_where_the_era_wants_it() {
        let list =
            r#"{"name":"a","inputSchema":{"type":"object"},"outputSchema":{"type":"array"}}"#;
        let without = r#"{"name":"a","inputSchema":{"type":"object"}}"#;
        assert_eq!(
            mended_in(Era::Session, list),
            (without.to_owned(), vec![Repair::OutputSchema])
        );
        let modern = definition(Raw::parse(list).unwrap(), Era::Stateless).unwrap();
        assert_eq!(
            (&*modern.text, modern.legacy.as_deref()),
            (list, Some(without))
        );
        insta::assert_snapshot!(
            mended(r#"{"name":"a","inputSchema":{"type":"object"},"outputSchema":{"properties":{}}}"#),
            @r#"{"name":"a","inputSchema":{"type":"object"},"outputSchema":{"properties":{},"type":"object"}}"#
        );
    }

    #[test]
    fn contents_lose_nulls_that_stand_for_nothing() {
        let of = |text: &'static str| contents(Raw::parse(text).unwrap());
        insta::assert_snapshot!(
            of(r#"{ "content":[{"type":"text","text":"null","annotations":null,"_meta":null}, 7,{"type":"resource","resource":{"uri":"a:b","mimeType":null,"text":"x"},"x":null}],"structuredContent":{"a":null}}"#).unwrap(),
            @r#"{"content":[{"type":"text","text":"null"},7,{"type":"resource","resource":{"uri":"a:b","text":"x"},"x":null}],"structuredContent":{"a":null}}"#
        );
        assert_eq!(
            of(r#"{"content":[{"type":"text","text":"null"}],"a":null}"#),
            None
        );
        assert_eq!(of(r#"{"content":[{"type":"text","text":"x"}]}"#), None);
    }

    #[test]
    fn an_error_gets_the_members_that_it_must_have() {
        let of = |text: &'static str| error(Raw::parse(text).unwrap());
        let right = r#"{"code":-1 ,"message":"m", "data":null}"#;
        assert!(matches!(of(right), Cow::Borrowed(text) if text == right));
        assert_eq!(
            of(r#"{"code":"-32050","message":"m"}"#),
            r#"{"code":-32050,"message":"m"}"#
        );
        assert_eq!(
            of("{}"),
            r#"{"code":-32603,"message":"the target gave no reason"}"#
        );
        assert_eq!(
            of(r#"{"code":7.0,"message":null}"#),
            r#"{"code":7,"message":"the target gave no reason"}"#
        );
    }
}
