//! Looks into JSON text that is known to be valid, without taking it apart.

use std::borrow::Cow;

use bytes::Bytes;

use crate::fold;
use crate::number;
use crate::scan::{self, Fault};

/// One JSON value as the bytes it came as: checked against the grammar, no whitespace around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// A [`Raw`] that outlives the message it came in: its bytes are shared with that message.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedRaw(Bytes);

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number in any spelling.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// A member of which readers may see another value than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AmbiguousKey {
    /// It occurs twice where once is all that can be meant: some take the first, some the last.
    #[error("the member `{0}` occurs more than once")]
    Twice(&'static str),
    /// It occurs in other letters: some ignore case (SEC-81).
    #[error("the member `{0}` occurs in another case")]
    OtherCase(&'static str),
}

impl std::fmt::Debug for Raw<'_> {
    /// Bodies do not belong into logs: only kind and size are printed.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Raw({:?}, {} bytes)", self.kind(), self.0.len())
    }
}

impl std::fmt::Debug for OwnedRaw {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.borrow().fmt(formatter)
    }
}

impl OwnedRaw {
    /// Checks `text` (whitespace around it is left out).
    pub fn parse(text: impl Into<String>) -> Result<Self, Fault> {
        let text = text.into();
        let (start, end) = scan::check(&text)?;
        Ok(Self(Bytes::from(text).slice(start..end)))
    }

    /// For text that was checked before, or built from such.
    pub fn trusted(text: impl Into<Bytes>) -> Self {
        Self(text.into())
    }

    /// `raw`, which is a part of `message`.
    ///
    /// # Panics
    /// If it is not.
    pub fn of(message: &Bytes, raw: Raw<'_>) -> Self {
        Self(message.slice_ref(raw.as_bytes()))
    }

    /// To be looked into.
    pub fn borrow(&self) -> Raw<'_> {
        std::str::from_utf8(&self.0).map_or(Raw::NULL, Raw)
    }

    /// The bytes of the value.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl<'a> Raw<'a> {
    /// `null`.
    pub const NULL: Raw<'static> = Raw("null");
    /// `{}`.
    pub const EMPTY_OBJECT: Raw<'static> = Raw("{}");

    /// Checks `text` (whitespace around it is left out).
    pub fn parse(text: &'a str) -> Result<Self, Fault> {
        let (start, end) = scan::check(text)?;
        Ok(Self(text.get(start..end).unwrap_or_default()))
    }

    /// For text that was checked before, or built from such: whitespace around it is not allowed. Text that is no JSON
    /// makes nonsense of what is found in it, nothing worse.
    pub fn trusted(text: &'a str) -> Self {
        debug_assert!(scan::check(text).is_ok(), "not JSON: {text:?}");
        Self(text)
    }

    /// The text of the value.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The bytes of the value.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// What the value is.
    #[inline]
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Whether the value is `{…}`.
    pub fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The characters of a string; none for other kinds, or if an escape is half of a surrogate pair.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if self.kind() != Kind::String {
            return None;
        }
        let inner = self.0.get(1..self.0.len().saturating_sub(1))?;
        if !inner.as_bytes().contains(&b'\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
    }

    /// `true` or `false`; none for other kinds.
    pub fn bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// An integer in plain decimal spelling that fits; none for everything else.
    pub fn integer(self) -> Option<i64> {
        self.0.parse().ok().filter(|_| self.kind() == Kind::Number)
    }

    /// An integer in any spelling: `7`, `7.0`, `7e0`, and `"7"`, which some peers send instead.
    pub fn any_integer(self) -> Option<i64> {
        match self.kind() {
            Kind::Number => number::integer(self.0),
            Kind::String => number::integer(self.text()?.trim()),
            Kind::Object | Kind::Array | Kind::Bool | Kind::Null => None,
        }
    }

    /// The members of an object in their order; none for other kinds.
    pub fn members(self) -> Option<Members<'a>> {
        self.is_object().then(|| Members::of(self.0))
    }

    /// The elements of an array in their order; none for other kinds.
    pub fn elements(self) -> Option<Elements<'a>> {
        (self.kind() == Kind::Array).then_some(Elements {
            array: self.0,
            at: 1,
        })
    }

    /// Several members with ASCII names in one walk. `Err` if one of these occurs twice, or in another case; all absent if this is no object.
    pub fn pick<const N: usize>(
        self,
        keys: [&'static str; N],
    ) -> Result<[Option<Self>; N], AmbiguousKey> {
        if !self.is_object() {
            return Ok([None; N]);
        }
        let (found, _end) = pick_at_start(self.0, keys, |_, _| Ok(None))?;
        Ok(found)
    }

    /// The member called `key`; `Err` if this is an object with several that some reader may take for it.
    pub fn only(self, key: &str) -> Result<Option<Self>, Ambiguous> {
        let mut found = None;
        for member in self.members().into_iter().flatten() {
            match member.likeness(key) {
                Likeness::Other => {}
                Likeness::Same if found.is_none() => found = Some(member.value),
                Likeness::Same | Likeness::OtherCase => return Err(Ambiguous),
            }
        }
        Ok(found)
    }

    /// The first member called `key`, if this is an object that has one.
    pub fn get(self, key: &str) -> Option<Self> {
        self.members()?
            .find(|member| member.is(key))
            .map(|member| member.value)
    }
}

/// What [`Raw::pick`] finds in the object at the start of `text`, and where the object ends: what follows it was not looked
/// for. `read` may read the value of a picked member itself, of which it gets the key and a text that starts with it, and
/// then says where it ends, so that nothing is walked twice.
pub(crate) fn pick_at_start<'a, const N: usize>(
    text: &'a str,
    keys: [&'static str; N],
    mut read: impl FnMut(&'static str, &'a str) -> Result<Option<usize>, AmbiguousKey>,
) -> Result<([Option<Raw<'a>>; N], usize), AmbiguousKey> {
    let mut found = [None; N];
    let mut members = Members::of(text);
    while let Some(begun) = members.begin() {
        let mut end = None;
        let mut slot_of_it = None;
        if let Some(name) = begun.name() {
            for (key, slot) in keys.iter().zip(found.iter_mut()) {
                match name.likeness_to_ascii(key) {
                    Likeness::Other => {}
                    Likeness::OtherCase => return Err(AmbiguousKey::OtherCase(key)),
                    Likeness::Same if slot.is_some() => return Err(AmbiguousKey::Twice(key)),
                    Likeness::Same => {
                        let from_value = text.get(begun.value_start..).unwrap_or_default();
                        end = read(key, from_value)?.map(|length| begun.value_start + length);
                        slot_of_it = Some(slot);
                    }
                }
            }
        }
        let member = members.finish(&begun, end);
        if let Some(slot) = slot_of_it {
            *slot = Some(member.value);
        }
    }
    Ok((found, members.end()))
}

/// Several members that some reader may take for the one that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// How a member's name compares to a known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// It is that name.
    Same,
    /// It is that name to readers that ignore case.
    OtherCase,
    /// It is another name.
    Other,
}

/// A member of an object. The ranges are offsets into the object's text.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    raw_key: &'a str,
    /// Whether the name is spelled with escapes.
    escaped: bool,
    /// The value.
    pub value: Raw<'a>,
    pub(crate) start: usize,
    pub(crate) value_start: usize,
    pub(crate) end: usize,
}

impl<'a> Member<'a> {
    /// Whether the member's name is `key`, escapes resolved.
    #[inline]
    pub fn is(&self, key: &str) -> bool {
        is_key(self.raw_key, self.escaped, key)
    }

    /// How the member's name compares to `known`.
    #[inline]
    pub fn likeness(&self, known: &str) -> Likeness {
        self.name()
            .map_or(Likeness::Other, |name| name.likeness(known))
    }

    /// The member's name, to be compared to several known ones; none if an escape is half of a surrogate pair.
    #[inline]
    fn name(&self) -> Option<Name<'a>> {
        name_of(self.raw_key, self.escaped)
    }

    /// The member's name, escapes resolved; none if an escape is half of a surrogate pair.
    #[cold]
    pub fn key(&self) -> Option<Cow<'a, str>> {
        Raw(self.raw_key).text()
    }
}

/// Whether a name of which the quotes and escapes are still there is `key`.
#[inline]
fn is_key(raw_key: &str, escaped: bool, key: &str) -> bool {
    if escaped {
        return Raw(raw_key).text().is_some_and(|name| name == key);
    }
    raw_key.len() == key.len() + 2 && raw_key.as_bytes().get(1..=key.len()) == Some(key.as_bytes())
}

/// A name of which the quotes and escapes are still there.
#[inline]
fn name_of(raw_key: &str, escaped: bool) -> Option<Name<'_>> {
    if escaped {
        return Some(Name::new(Raw(raw_key).text()?));
    }
    let name = raw_key.get(1..raw_key.len().saturating_sub(1))?;
    Some(Name::new(Cow::Borrowed(name)))
}

/// A name, its escapes resolved, that is compared to known ones.
#[derive(Debug)]
pub(crate) struct Name<'a> {
    text: Cow<'a, str>,
    is_ascii: bool,
}

impl<'a> Name<'a> {
    #[inline]
    pub(crate) fn new(text: Cow<'a, str>) -> Self {
        let is_ascii = text.is_ascii();
        Self { text, is_ascii }
    }

    /// How it compares to `known`, which is ASCII, as all names of the protocol are.
    #[inline]
    pub(crate) fn likeness_to_ascii(&self, known: &str) -> Likeness {
        debug_assert!(known.is_ascii(), "{known}");
        // Folding keeps the length of what is ASCII, and of its letters all but one bit.
        let first = |text: &str| text.as_bytes().first().map(|byte| byte | 0x20);
        let differs = self.text.len() != known.len() || first(&self.text) != first(known);
        if self.is_ascii && differs {
            Likeness::Other
        } else {
            self.likeness(known)
        }
    }

    /// How it compares to `known`.
    pub(crate) fn likeness(&self, known: &str) -> Likeness {
        if self.text == known {
            Likeness::Same
        } else if fold::is_same(&self.text, known) {
            Likeness::OtherCase
        } else {
            Likeness::Other
        }
    }
}

/// The first byte from `at` on that is no whitespace.
#[inline]
fn after_whitespace(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// The same, past one comma. Separators were checked before, so that not finding one means the end.
#[inline]
fn after_separator(bytes: &[u8], at: usize) -> usize {
    let at = after_whitespace(bytes, at);
    if bytes.get(at) == Some(&b',') {
        after_whitespace(bytes, at + 1)
    } else {
        at
    }
}

/// Walks the members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    /// Begins with the object.
    text: &'a str,
    at: usize,
}

/// A member whose value was not looked at yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun<'a> {
    raw_key: &'a str,
    escaped: bool,
    pub(crate) start: usize,
    pub(crate) value_start: usize,
}

impl<'a> Begun<'a> {
    #[inline]
    fn name(&self) -> Option<Name<'a>> {
        name_of(self.raw_key, self.escaped)
    }

    /// Whether the member's name is `key`, escapes resolved.
    #[inline]
    pub(crate) fn is(&self, key: &str) -> bool {
        is_key(self.raw_key, self.escaped, key)
    }
}

impl<'a> Members<'a> {
    /// Of the object that `text` begins with.
    #[inline]
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, at: 1 }
    }

    /// The next member, before its value.
    #[inline]
    pub(crate) fn begin(&mut self) -> Option<Begun<'a>> {
        let bytes = self.text.as_bytes();
        let start = after_separator(bytes, self.at);
        self.at = start;
        if bytes.get(start) != Some(&b'"') {
            return None;
        }
        let (key_end, escaped) = scan::string_end(bytes, start + 1);
        let colon = after_whitespace(bytes, key_end);
        Some(Begun {
            raw_key: self.text.get(start..key_end)?,
            escaped,
            start,
            value_start: after_whitespace(bytes, colon + 1),
        })
    }

    /// The member with its value, whose end may be known already.
    #[inline]
    pub(crate) fn finish(&mut self, begun: &Begun<'a>, end: Option<usize>) -> Member<'a> {
        let Begun {
            raw_key,
            escaped,
            start,
            value_start,
        } = *begun;
        let end = end.unwrap_or_else(|| scan::value_end(self.text.as_bytes(), value_start));
        self.at = end;
        Member {
            raw_key,
            escaped,
            value: Raw(self.text.get(value_start..end).unwrap_or_default()),
            start,
            value_start,
            end,
        }
    }

    /// Behind the object, after the last member.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.at + 1
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        let begun = self.begin()?;
        Some(self.finish(&begun, None))
    }
}

/// Walks the elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    array: &'a str,
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let bytes = self.array.as_bytes();
        let start = after_separator(bytes, self.at);
        if matches!(bytes.get(start), None | Some(b']')) {
            return None;
        }
        let end = scan::value_end(bytes, start);
        self.at = end;
        Some(Raw(self.array.get(start..end)?))
    }
}

/// Appends `text` to `out` as a JSON string with its quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut written = 0;
    loop {
        let stop = scan::string_stop(text.as_bytes(), written);
        out.push_str(text.get(written..stop).unwrap_or_default());
        let Some(byte) = text.as_bytes().get(stop) else {
            break;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    let digit = u32::from((control >> shift) & 0xf);
                    out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
        }
        written = stop + 1;
    }
    out.push('"');
}

/// `text` as a JSON string with its quotes.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    out
}

#[cfg(test)]
pub(crate) mod arbitrary {
    //! Generators of JSON text for property tests.

    use proptest::prelude::*;

    fn spaces() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "", " ", "\n", "\t "])
    }

    /// A string with its quotes, in odd spellings.
    pub(crate) fn string() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec![
                "a",
                "name",
                "é",
                "世",
                "\\n",
                "\\\"",
                "\\\\",
                "\\u0041",
                "\\ud83d\\ude00",
                "{",
                "}",
                "]",
                ",",
                ":",
                " ",
            ]),
            0..6,
        )
        .prop_map(|parts| format!("\"{}\"", parts.concat()))
    }

    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(vec![
                "0",
                "-0.0",
                "1e400",
                "1.0",
                "1E+2",
                "123456789012345678901234567890",
                "true",
                "false",
                "null",
            ])
            .prop_map(str::to_owned),
            string(),
        ]
    }

    /// A value of any kind, with odd whitespace.
    pub(crate) fn json() -> impl Strategy<Value = String> {
        scalar().prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                (prop::collection::vec(inner.clone(), 0..5), spaces()).prop_map(
                    |(items, space)| {
                        format!("[{space}{}{space}]", items.join(&format!("{space},")))
                    }
                ),
                object_of(inner),
            ]
        })
    }

    /// An object whose members are `inner`.
    pub(crate) fn object_of(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        (prop::collection::vec((string(), inner), 0..5), spaces()).prop_map(|(members, space)| {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}{space}:{space}{value}"))
                .collect();
            format!(
                "{{{space}{}{space}}}",
                members.join(&format!("{space},{space}"))
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_found_in_any_spelling_of_their_name() {
        let raw = Raw::parse(r#" { "n\u0061me" : "x" , "other" : [1, {"name":2}] } "#).unwrap();
        assert_eq!(raw.get("name").unwrap().as_str(), "\"x\"");
        assert_eq!(raw.get("other").unwrap().as_str(), "[1, {\"name\":2}]");
        assert_eq!(raw.get("nothing"), None);
    }

    // SEC-63
    #[test]
    fn a_member_picked_twice_is_refused_even_when_spelled_differently() {
        let raw = Raw::parse(r#"{"name":1,"n\u0061me":2}"#).unwrap();
        assert_eq!(
            raw.pick(["arguments", "name"]),
            Err(AmbiguousKey::Twice("name"))
        );
    }

    // SEC-81
    #[test]
    fn a_member_in_another_case_is_refused_in_any_spelling_and_wherever_it_stands() {
        for variant in [
            "Arguments",
            "argument\u{17f}",
            "argument\\u017f",
            "\\u0041rguments",
        ] {
            for text in [
                format!(r#"{{"arguments":1,"{variant}":2}}"#),
                format!(r#"{{"{variant}":2,"arguments":1}}"#),
                format!(r#"{{"{variant}":2}}"#),
            ] {
                let raw = Raw::parse(&text).unwrap();
                let refused = Err(AmbiguousKey::OtherCase("arguments"));
                assert_eq!(raw.pick(["name", "arguments"]), refused, "{text}");
                assert_eq!(raw.only("arguments"), Err(Ambiguous), "{text}");
            }
        }
        let raw = Raw::parse(r#"{"arguments":1,"argument":2,"argument\ud800":3}"#).unwrap();
        assert!(raw.pick(["arguments"]).is_ok() && raw.only("arguments").is_ok());
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        assert_eq!(Raw::parse(r#""\ud800""#).unwrap().text(), None);
        assert_eq!(
            Raw::parse(r#""\ud83d\ude00""#).unwrap().text().unwrap(),
            "😀"
        );
    }

    #[test]
    fn an_integer_is_read_in_any_spelling() {
        let read = |text: &'static str| Raw::parse(text).unwrap().any_integer();
        for text in ["7", "7.0", "0.7e1", "\"7\"", "\" 7.0 \""] {
            assert_eq!(read(text), Some(7), "{text}");
        }
        for text in ["7.5", "1e400", "\"\"", "\"NaN\"", "null", "true", "[7]"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_text() {
        let raw = Raw::parse(r#"{"password":"hunter2"}"#).unwrap();
        insta::assert_snapshot!(format!("{raw:?}"), @"Raw(Object, 22 bytes)");
    }

    proptest! {
        // SEC-81
        #[test]
        fn whatever_folds_to_a_known_member_is_refused(
            variant in fold::variants::of("arguments"),
            others in arbitrary::object_of(arbitrary::json()),
            escaped in any::<bool>(),
        ) {
            let spelled = if escaped { fold::variants::escaped(&variant) } else { variant };
            let text = format!(r#"{{"o":{others},"{spelled}":{{}},"arguments":{{}}}}"#);
            let raw = Raw::parse(&text).unwrap();
            prop_assert_eq!(raw.pick(["arguments"]), Err(AmbiguousKey::OtherCase("arguments")));
        }

        #[test]
        fn walking_sees_what_a_tree_would_hold(text in arbitrary::json()) {
            let raw = Raw::parse(&text).unwrap();
            if let Some(elements) = raw.elements() {
                let tree: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
                let walked: Vec<&str> = elements.map(Raw::as_str).collect();
                let tree: Vec<&str> = tree.iter().map(|value| value.get()).collect();
                prop_assert_eq!(walked, tree);
            }
            if let Some(members) = raw.members() {
                let mut tree: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
                for member in members {
                    tree.insert(member.key().unwrap().into_owned(), member.value.as_str().to_owned());
                }
                let expected: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
                    serde_json::from_str(&text).unwrap();
                let expected: std::collections::BTreeMap<String, String> =
                    expected.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect();
                prop_assert_eq!(tree, expected);
            }
        }

        #[test]
        fn quoting_and_reading_back_gives_the_same_text(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(Raw::parse(&quoted).unwrap().text().unwrap(), text);
        }
    }
}
