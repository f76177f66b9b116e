//! Looks into JSON text that is known to be valid, without taking it apart.

use std::borrow::Cow;

use crate::scan::{self, Fault, Scanner};

/// One JSON value as the bytes it came as: checked against the grammar, no whitespace around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

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

/// A member that occurs twice where once is all that can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member `{0}` occurs more than once")]
pub struct DuplicateKey(pub &'static str);

impl std::fmt::Debug for Raw<'_> {
    /// Bodies do not belong into logs: only kind and size are printed.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Raw({:?}, {} bytes)", self.kind(), self.0.len())
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
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
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

    /// The members of an object in their order; none for other kinds.
    pub fn members(self) -> Option<Members<'a>> {
        self.is_object().then_some(Members {
            object: self.0,
            at: 1,
        })
    }

    /// The elements of an array in their order; none for other kinds.
    pub fn elements(self) -> Option<Elements<'a>> {
        (self.kind() == Kind::Array).then_some(Elements {
            array: self.0,
            at: 1,
        })
    }

    /// Several members in one walk. `Err` if one of these occurs twice; all absent if this is no object.
    pub fn pick<const N: usize>(
        self,
        keys: [&'static str; N],
    ) -> Result<[Option<Self>; N], DuplicateKey> {
        let mut found = [None; N];
        for member in self.members().into_iter().flatten() {
            let slots = keys.iter().zip(found.iter_mut());
            for (key, slot) in slots {
                if member.is(key) {
                    if slot.is_some() {
                        return Err(DuplicateKey(key));
                    }
                    *slot = Some(member.value);
                }
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

/// A member of an object. The ranges are offsets into the object's text.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    raw_key: &'a str,
    /// The value.
    pub value: Raw<'a>,
    pub(crate) start: usize,
    pub(crate) value_start: usize,
    pub(crate) end: usize,
}

impl<'a> Member<'a> {
    /// Whether the member's name is `key`, escapes resolved.
    pub fn is(&self, key: &str) -> bool {
        let quoted_length = self.raw_key.len();
        if quoted_length == key.len() + 2 {
            return self.raw_key.get(1..quoted_length - 1) == Some(key);
        }
        quoted_length > key.len() + 2
            && memchr::memchr(b'\\', self.raw_key.as_bytes()).is_some()
            && self.key().is_some_and(|name| name == key)
    }

    /// The member's name, escapes resolved; none if an escape is half of a surrogate pair.
    pub fn key(&self) -> Option<Cow<'a, str>> {
        Raw(self.raw_key).text()
    }
}

/// Walks the members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    object: &'a str,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let mut scanner = Scanner::new(self.object.as_bytes());
        scanner.at = self.at;
        scanner.whitespace();
        if scanner.peek() == Some(b',') {
            scanner.at += 1;
            scanner.whitespace();
        }
        if scanner.peek() != Some(b'"') {
            return None;
        }
        let start = scanner.at;
        scanner.skip_checked();
        let raw_key = self.object.get(start..scanner.at)?;
        scanner.whitespace();
        scanner.at += 1;
        scanner.whitespace();
        let value_start = scanner.at;
        scanner.skip_checked();
        let end = scanner.at;
        self.at = end;
        Some(Member {
            raw_key,
            value: Raw(self.object.get(value_start..end)?),
            start,
            value_start,
            end,
        })
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
        let mut scanner = Scanner::new(self.array.as_bytes());
        scanner.at = self.at;
        scanner.whitespace();
        if scanner.peek() == Some(b',') {
            scanner.at += 1;
            scanner.whitespace();
        }
        if matches!(scanner.peek(), None | Some(b']')) {
            return None;
        }
        let start = scanner.at;
        scanner.skip_checked();
        self.at = scanner.at;
        Some(Raw(self.array.get(start..scanner.at)?))
    }
}

/// Appends `text` to `out` as a JSON string with its quotes.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    let digit = (u32::from(control) >> shift) & 0xf;
                    out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
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
        assert_eq!(raw.pick(["arguments", "name"]), Err(DuplicateKey("name")));
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
    fn debug_output_hides_the_text() {
        let raw = Raw::parse(r#"{"password":"hunter2"}"#).unwrap();
        insta::assert_snapshot!(format!("{raw:?}"), @"Raw(Object, 22 bytes)");
    }

    proptest! {
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
