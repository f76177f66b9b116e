//! What is said of a user or a client beyond what everybody has: groups, and attributes with any names.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::text::setting;

/// The longest name of a group or of an attribute, in bytes.
const LONGEST: usize = 255;

/// How much there may be of one, in bytes of JSON: it goes into tokens, and tokens go into headers.
pub const MOST: usize = 4096;

/// A text that can name neither a group nor an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {LONGEST} bytes without control characters, and no space at either end")]
pub struct BadName;

fn named(text: &str) -> Result<String, BadName> {
    let fits = (1..=LONGEST).contains(&text.len());
    if fits && text.trim() == text && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(BadName)
    }
}

/// A group that users and clients are in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(String);

/// The name of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(String);

impl FromStr for Group {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        named(text).map(Self)
    }
}

impl FromStr for AttributeName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        named(text).map(Self)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

setting!(
    Group,
    "group",
    "a group: 1 to 255 bytes without control characters",
    "engineering"
);
setting!(
    AttributeName,
    "attribute-name",
    "the name of an attribute: 1 to 255 bytes without control characters",
    "department"
);

/// What an attribute says: one text, or several. It becomes a claim as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Attribute {
    /// One text.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// All that is said of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Traits {
    /// The groups that they are in: claims can say them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<Group>")]
    pub groups: BTreeSet<Group>,
    /// Attributes, each a text or a list of texts: claims can say them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "Attributes")]
    pub attributes: BTreeMap<AttributeName, Attribute>,
}

/// The schema of attributes, with that of their names.
struct Attributes;

impl JsonSchema for Attributes {
    fn schema_name() -> Cow<'static, str> {
        "Attributes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<AttributeName>(),
            "additionalProperties": generator.subschema_for::<Attribute>(),
        })
    }
}

/// There is too much of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the groups and attributes of one user or client take {size} bytes as JSON, more than {MOST}"
)]
pub struct TooMuch {
    /// How much there is.
    pub size: usize,
}

impl Traits {
    /// As it is stored.
    pub fn to_json(&self) -> String {
        // Texts and lists of texts always are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As it was stored.
    ///
    /// # Errors
    /// What else it is.
    pub fn of_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Refuses what would make tokens too long for headers.
    ///
    /// # Errors
    /// Beyond [`MOST`] bytes.
    pub fn check(&self) -> Result<(), TooMuch> {
        match self.to_json().len() {
            size if size > MOST => Err(TooMuch { size }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_texts_that_a_line_can_hold() {
        for good in ["a", "Domain Users", "部門", "/a/b", &"x".repeat(255)] {
            assert!(good.parse::<Group>().is_ok(), "{good}");
        }
        for bad in ["", " a", "a\n", "a\u{7}b", &"x".repeat(256)] {
            assert_eq!(bad.parse::<AttributeName>(), Err(BadName), "{bad:?}");
        }
    }

    #[test]
    fn they_are_stored_as_they_are_and_nothing_is_an_empty_object() {
        assert_eq!(Traits::default().to_json(), "{}");
        let text = r#"{"groups":["a","b"],"attributes":{"dept":"sales","phone":["1","2"]}}"#;
        let traits = Traits::of_json(text).unwrap();
        assert_eq!(traits.to_json(), text);
        assert_eq!(traits.check(), Ok(()));
        assert!(Traits::of_json(r#"{"groups":[""]}"#).is_err());
        let one = ("a".parse().unwrap(), Attribute::One("x".repeat(MOST)));
        let much = Traits {
            attributes: [one].into(),
            ..Traits::default()
        };
        assert!(much.check().is_err());
    }
}
