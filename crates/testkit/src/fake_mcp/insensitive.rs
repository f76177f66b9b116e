//! Reads a message as Go's `encoding/json` does: members are found without regard to case, and the last one counts.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The members of an object in their order, with all that occur twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

/// The simple case folding of a name, as Go has it.
fn folded(name: &str) -> String {
    name.chars()
        .map(|character| match character {
            'ſ' => 's',
            '\u{212a}' => 'k',
            other => other.to_lowercase().next().unwrap_or(other),
        })
        .collect()
}

/// An object with only these members, each under its own name, as a Go server sees them; `null` if it is none.
fn fields(text: &str, names: &[&str]) -> Value {
    let Ok(Members(members)) = serde_json::from_str(text) else {
        return Value::Null;
    };
    let mut object = Map::new();
    for (name, value) in members {
        let field = names.iter().find(|field| folded(field) == folded(&name));
        if let Some(field) = field {
            let inner = match *field {
                "params" => fields(
                    value.get(),
                    &["name", "arguments", "cursor", "_meta", "protocolVersion"],
                ),
                _ => serde_json::from_str(value.get()).unwrap_or(Value::Null),
            };
            object.insert((*field).to_owned(), inner);
        }
    }
    Value::Object(object)
}

/// A message as such a server sees it.
pub(super) fn message(body: &str) -> Value {
    fields(body, &["jsonrpc", "id", "method", "params"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_member_in_any_case_counts() {
        let body = r#"{"id":1,"method":"tools/call","params":{"name":"a","NAME":"b","arguments":{"x":1},"argumentſ":{"x":2}},"Id":2}"#;
        assert_eq!(
            message(body),
            json!({"id": 2, "method": "tools/call", "params": {"name": "b", "arguments": {"x": 2}}})
        );
    }
}
