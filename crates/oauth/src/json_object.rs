//! Reading a stranger's JSON object: bounded depth, no member twice.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Why a document is no acceptable JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjectError {
    TooDeep,
    NotObject,
    DuplicateMember,
}

/// A byte order mark at the beginning says nothing (RFC 8259 §8.1).
pub(crate) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Reads all that can be read of an object: a member that is null is absent, one of another type is skipped and named
/// in the second part, and so is a list of which only some elements could be taken. `None` if it is no object.
///
/// For documents of which little is needed: whether that little is there is for the caller to ask.
pub(crate) fn read_leniently<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, Vec<String>)> {
    let members: Map<String, Value> = serde_json::from_slice(without_bom(bytes)).ok()?;
    let fits = |name: &str, value: &Value| {
        let alone = Map::from_iter([(name.to_owned(), value.clone())]);
        T::deserialize(Value::Object(alone)).is_ok()
    };
    let (mut kept, mut skipped) = (Map::new(), Vec::new());
    for (name, mut value) in members {
        if value.is_null() {
            continue;
        }
        if !fits(&name, &value) {
            skipped.push(name.clone());
            let Value::Array(elements) = &mut value else {
                continue;
            };
            elements.retain(Value::is_string);
            if !fits(&name, &value) {
                continue;
            }
        }
        kept.insert(name, value);
    }
    let read = T::deserialize(Value::Object(kept)).ok()?;
    Some((read, skipped))
}

/// Parses an object whose nesting is at most `max_depth` and whose top-level members are distinct.
pub(crate) fn parse_object(
    bytes: &[u8],
    max_depth: usize,
) -> Result<Map<String, Value>, ObjectError> {
    if depth(bytes) > max_depth {
        return Err(ObjectError::TooDeep);
    }
    let mut duplicate = false;
    let mut deserializer = serde_json::Deserializer::from_slice(without_bom(bytes));
    let object = deserializer
        .deserialize_map(DistinctMembers {
            duplicate: &mut duplicate,
        })
        .and_then(|object| deserializer.end().map(|()| object))
        .map_err(|_| ObjectError::NotObject)?;
    if duplicate {
        Err(ObjectError::DuplicateMember)
    } else {
        Ok(object)
    }
}

struct DistinctMembers<'a> {
    duplicate: &'a mut bool,
}

impl<'de> Visitor<'de> for DistinctMembers<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            *self.duplicate |= object.insert(name, value).is_some();
        }
        Ok(object)
    }
}

/// How deep brackets are nested, without parsing: strings are skipped, nothing else is looked at.
fn depth(bytes: &[u8]) -> usize {
    let (mut deepest, mut current, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                current += 1;
                deepest = deepest.max(current);
            }
            b'}' | b']' => current = current.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-24
    #[test]
    fn depth_is_bounded_before_parsing() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(parse_object(nested(15).as_bytes(), 16).is_ok());
        assert_eq!(
            parse_object(nested(16).as_bytes(), 16),
            Err(ObjectError::TooDeep)
        );
        assert_eq!(
            parse_object("[".repeat(100_000).as_bytes(), 16),
            Err(ObjectError::TooDeep)
        );
        assert!(parse_object(br#"{"a":"[[[[[[[[[[[[[[[[[[\"[[["}"#, 16).is_ok());
    }

    #[test]
    fn only_one_object_with_distinct_members_passes() {
        assert_eq!(
            parse_object(br#"{"a":1,"a":2}"#, 16),
            Err(ObjectError::DuplicateMember)
        );
        for bad in ["", "[]", "1", "{", "{} {}", "{\"a\":\"\u{0}\"}"] {
            assert_eq!(
                parse_object(bad.as_bytes(), 16),
                Err(ObjectError::NotObject),
                "{bad}"
            );
        }
        assert_eq!(
            parse_object(b"{\"a\":\"\xff\"}", 16),
            Err(ObjectError::NotObject)
        );
    }
}
