//! The JSON-RPC request id: a string or a number, echoed exactly as it was spelled.

use std::borrow::Cow;

use crate::raw::{Kind, Raw};

/// A request id as it came. Two spellings of the same string are the same id.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a>(Raw<'a>);

/// An id that outlives the message it came in. Compared by spelling: see [`Id::canonical`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnedId(Box<str>);

impl<'a> Id<'a> {
    /// Strings and numbers are ids; `null` and everything else is none (MCP, "Requests").
    pub fn new(raw: Raw<'a>) -> Option<Self> {
        matches!(raw.kind(), Kind::String | Kind::Number).then_some(Self(raw))
    }

    /// The JSON value, as it came.
    pub fn raw(self) -> Raw<'a> {
        self.0
    }

    /// The JSON text, as it came.
    pub fn as_json(self) -> &'a str {
        self.0.as_str()
    }

    /// The same id, in the same spelling, to be kept.
    pub fn to_owned(self) -> OwnedId {
        OwnedId(self.0.as_str().into())
    }

    /// The same id in the one spelling that is a key of maps.
    pub fn canonical(self) -> OwnedId {
        match self.0.text() {
            Some(Cow::Borrowed(_)) | None => self.to_owned(),
            Some(Cow::Owned(text)) => OwnedId(crate::raw::quote(&text).into()),
        }
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self.0.text(), other.0.text()) {
            (Some(one), Some(another)) => one == another,
            _ => self.0 == other.0,
        }
    }
}

impl Eq for Id<'_> {}

impl OwnedId {
    /// The number `number`.
    pub fn number(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The string `text`.
    pub fn text(text: &str) -> Self {
        Self(crate::raw::quote(text).into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// As a borrowed id.
    pub fn borrow(&self) -> Id<'_> {
        Id(Raw::trusted(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<Id<'_>> {
        Id::new(Raw::parse(text).unwrap())
    }

    // TM-20
    #[test]
    fn an_id_is_echoed_as_it_was_spelled() {
        for text in [
            "1",
            "-1",
            "1.50",
            "12345678901234567890",
            "\"a\"",
            "\"\\u0041\"",
            "\"\"",
        ] {
            assert_eq!(id(text).unwrap().as_json(), text);
        }
    }

    #[test]
    fn null_and_containers_are_no_ids() {
        for text in ["null", "true", "[]", "{}"] {
            assert_eq!(id(text), None);
        }
    }

    #[test]
    fn spellings_of_one_string_are_one_id_and_a_number_is_another() {
        assert_eq!(id("\"\\u0041\""), id("\"A\""));
        assert_eq!(id("\"\\u0041\"").unwrap().canonical(), OwnedId::text("A"));
        assert_ne!(id("1"), id("\"1\""));
    }
}
