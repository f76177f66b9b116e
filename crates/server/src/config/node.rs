//! A YAML document as a tree in which every key and value knows its line.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One value of the document and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The line, counted from one.
    pub(crate) line: u64,
    /// What is there.
    pub(crate) value: Value,
}

/// What can stand in a YAML document.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer or a decimal number.
    Number(serde_json::Number),
    /// Text, quoted or plain.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping entry.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// The key itself.
    pub(crate) name: String,
    /// The line, counted from one.
    pub(crate) line: u64,
}

impl Node {
    /// Reads a YAML document. A plain `off` is a text, as YAML 1.2 has it: whether it stands for a word or for a truth value
    /// is for its key to say, with [`Self::read_as_truth`].
    pub(crate) fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options)
    }

    /// Reads what YAML 1.1 called a truth value as one.
    pub(crate) fn read_as_truth(&mut self) {
        let Value::Text(text) = &self.value else {
            return;
        };
        match text.as_str() {
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" => self.value = Value::Bool(true),
            "no" | "No" | "NO" | "off" | "Off" | "OFF" => self.value = Value::Bool(false),
            _ => {}
        }
    }

    /// Says what is there in a message: "text", "a list", …
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a yes/no value",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The tree as JSON. Map entries without a value are left out, so that an empty section means its defaults.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => {
                serde_json::Value::Array(items.iter().map(Self::to_json).collect())
            }
            Value::Map(entries) => serde_json::Value::Object(
                entries
                    .iter()
                    .filter(|(_, node)| !matches!(node.value, Value::Null))
                    .map(|(key, node)| (key.name.clone(), node.to_json()))
                    .collect(),
            ),
        }
    }

    /// Whether it is a map with this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        matches!(&self.value, Value::Map(entries) if entries.iter().any(|(one, _)| one.name == key))
    }

    /// The line of the value at `path` (`realms[0].cimd.mode`), or of the nearest thing around it that is there.
    pub(crate) fn line_of(&self, path: &str) -> u64 {
        let mut node = self;
        let mut line = self.line;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => index
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.line, item)),
                (Value::Map(entries), None) => entries
                    .iter()
                    .find(|(key, _)| key.name == step)
                    .map(|(key, node)| (key.line, node)),
                _ => None,
            };
            let Some((at, found)) = next else { break };
            line = at;
            node = found;
        }
        line
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value)
            .map_or_else(|| Value::Text(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let node = access.next_value()?;
            entries.push((
                Key {
                    name: key.value,
                    line: key.referenced.line(),
                },
                node,
            ));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nname: x\nlist:\n  - a: 1\n    b: { c: true }\n  - &anchor\n    d: ~\nagain: *anchor\n";

    #[test]
    fn keys_and_values_know_their_lines() {
        let node = Node::parse(TEXT).unwrap();
        assert_eq!(node.line_of("name"), 2);
        assert_eq!(node.line_of("list[0].b.c"), 5);
        assert_eq!(node.line_of("list[1].d"), 7);
        assert_eq!(node.line_of("again"), 8);
    }

    #[test]
    fn the_line_of_something_absent_is_that_of_its_nearest_surroundings() {
        let node = Node::parse(TEXT).unwrap();
        assert_eq!(node.line_of("list[0].b.missing"), 5);
        assert_eq!(node.line_of("list[7].b"), 3);
        assert_eq!(node.line_of("missing.entirely"), 2);
    }

    #[test]
    fn entries_without_a_value_are_left_out_of_the_json() {
        let node = Node::parse(TEXT).unwrap();
        let expected =
            serde_json::json!({"name": "x", "list": [{"a": 1, "b": {"c": true}}, {}], "again": {}});
        assert_eq!(node.to_json(), expected);
    }
}
