//! Changes single members of a JSON object and leaves every other byte of it as it was.

use std::borrow::Cow;

use crate::raw::{Raw, quote};

/// An object with changes noted but not yet applied.
///
/// A member that is set keeps its place if it was there, and is appended otherwise. A key that occurs more than once
/// is changed at its first occurrence, and its other occurrences are dropped: what comes out has one meaning.
#[derive(Debug)]
pub struct ObjectEdit<'a> {
    object: Raw<'a>,
    changes: Vec<Change<'a>>,
}

#[derive(Debug)]
struct Change<'a> {
    key: &'a str,
    /// None removes the member.
    value: Option<Cow<'a, str>>,
}

impl<'a> ObjectEdit<'a> {
    /// Starts with `object` as it is; none if it is not an object.
    pub fn new(object: Raw<'a>) -> Option<Self> {
        object.is_object().then(|| Self {
            object,
            changes: Vec::with_capacity(4),
        })
    }

    /// Starts with `object`, or with `{}` if that is absent or no object.
    pub fn or_empty(object: Option<Raw<'a>>) -> Self {
        let object = object
            .filter(|raw| raw.is_object())
            .unwrap_or(Raw::EMPTY_OBJECT);
        Self {
            object,
            changes: Vec::with_capacity(4),
        }
    }

    /// Gives the member `key` the value `value`, which must be JSON text.
    pub fn set(&mut self, key: &'a str, value: impl Into<Cow<'a, str>>) -> &mut Self {
        self.change(key, Some(value.into()))
    }

    /// Gives the member `key` the string `text`.
    pub fn set_text(&mut self, key: &'a str, text: &str) -> &mut Self {
        self.change(key, Some(Cow::Owned(quote(text))))
    }

    /// Takes the member `key` out, if it is there.
    pub fn remove(&mut self, key: &'a str) -> &mut Self {
        self.change(key, None)
    }

    fn change(&mut self, key: &'a str, value: Option<Cow<'a, str>>) -> &mut Self {
        self.changes.retain(|change| change.key != key);
        self.changes.push(Change { key, value });
        self
    }

    /// The text with all changes applied. Without changes it is the text that came in.
    pub fn finish(&self) -> String {
        let text = self.object.as_str();
        let between = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
        let added: usize = self
            .changes
            .iter()
            .filter_map(|change| change.value.as_ref())
            .map(|v| v.len() + 40)
            .sum();
        let mut out = String::with_capacity(text.len() + added);
        let mut done = vec![false; self.changes.len()];
        let mut kept = 0_usize;
        let mut previous_end = 1;
        out.push('{');
        for member in self.object.members().into_iter().flatten() {
            let change = self
                .changes
                .iter()
                .zip(&mut done)
                .find(|(change, _)| member.is(change.key));
            let value = match change {
                None => Some(member.value.as_str()),
                Some((change, done)) => {
                    let first = !std::mem::replace(done, true);
                    change.value.as_deref().filter(|_| first)
                }
            };
            if let Some(value) = value {
                // What lies before a member is a comma, unless it is the first of the source.
                if kept > 0 || previous_end == 1 {
                    out.push_str(between(previous_end, member.start));
                }
                out.push_str(between(member.start, member.value_start));
                out.push_str(value);
                kept += 1;
            }
            previous_end = member.end;
        }
        let new = self.changes.iter().zip(&done).filter(|(_, done)| !**done);
        for (change, _) in new {
            if let Some(value) = &change.value {
                if kept > 0 {
                    out.push(',');
                }
                out.push_str(&quote(change.key));
                out.push(':');
                out.push_str(value);
                kept += 1;
            }
        }
        out.push_str(between(previous_end, text.len()));
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::arbitrary;

    fn edit<'a>(text: &'a str, change: impl Fn(&mut ObjectEdit<'a>)) -> String {
        let mut edit = ObjectEdit::new(Raw::parse(text).unwrap()).unwrap();
        change(&mut edit);
        edit.finish()
    }

    #[test]
    fn a_replaced_value_leaves_every_other_byte_alone() {
        let text = r#"{ "x" : 1.0e2 ,"name":"a___b", "z":{"name" : "a___b"}, "é":null }"#;
        insta::assert_snapshot!(
            edit(text, |edit| { edit.set_text("name", "b"); }),
            @r#"{ "x" : 1.0e2 ,"name":"b", "z":{"name" : "a___b"}, "é":null }"#
        );
    }

    #[test]
    fn members_can_be_removed_anywhere() {
        let text = r#"{"a":1, "b":2, "c":3}"#;
        let without = |keys: &[&'static str]| {
            edit(text, |edit| {
                for key in keys {
                    edit.remove(key);
                }
            })
        };
        assert_eq!(without(&["a"]), r#"{"b":2, "c":3}"#);
        assert_eq!(without(&["b"]), r#"{"a":1, "c":3}"#);
        assert_eq!(without(&["c"]), r#"{"a":1, "b":2}"#);
        assert_eq!(without(&["a", "b"]), r#"{"c":3}"#);
        assert_eq!(without(&["a", "b", "c"]), "{}");
        assert_eq!(without(&["d"]), text);
    }

    #[test]
    fn members_can_be_added_to_an_empty_object() {
        assert_eq!(
            edit("{}", |edit| {
                edit.set("a", "1").set("b", "2");
            }),
            r#"{"a":1,"b":2}"#
        );
    }

    #[test]
    fn a_key_that_occurs_twice_occurs_once_after_being_set() {
        assert_eq!(
            edit(r#"{"a":1,"b":2,"a":3}"#, |edit| {
                edit.set("a", "9");
            }),
            r#"{"a":9,"b":2}"#
        );
    }

    proptest! {
        #[test]
        fn no_change_changes_nothing(text in arbitrary::object_of(arbitrary::json())) {
            prop_assert_eq!(edit(&text, |_| {}), text);
        }

        #[test]
        fn setting_one_member_changes_nothing_else(
            before in arbitrary::object_of(arbitrary::json()),
            value in arbitrary::json(),
        ) {
            let after = edit(&before, |edit| { edit.set("target", value.as_str()); });
            let raw = Raw::parse(&after).unwrap();
            prop_assert_eq!(raw.get("target").unwrap().as_str(), value.as_str());
            let restored = edit(&after, |edit| { edit.remove("target"); });
            prop_assert_eq!(restored, before);
        }

        #[test]
        fn replacing_and_putting_back_gives_the_same_bytes(
            front in arbitrary::object_of(arbitrary::json()),
            value in arbitrary::json(),
            other in arbitrary::json(),
        ) {
            let separator = if Raw::parse(&front).unwrap().members().unwrap().next().is_some() { "," } else { "" };
            let text = format!("{{\"target\" : {value} {separator}{}", front.get(1..).unwrap());
            let there = edit(&text, |edit| { edit.set("target", other.as_str()); });
            let back = edit(&there, |edit| { edit.set("target", value.as_str()); });
            prop_assert_eq!(back, text);
        }

        #[test]
        fn what_comes_out_is_json(
            text in arbitrary::object_of(arbitrary::json()),
            keys in prop::collection::vec(prop::sample::select(vec!["", "a", "name", "A", "é", "zz"]), 0..4),
            remove in any::<bool>(),
        ) {
            let after = edit(&text, |edit| {
                for key in &keys {
                    if remove { edit.remove(key); } else { edit.set(key, "[]"); }
                }
            });
            prop_assert!(Raw::parse(&after).is_ok(), "{} -> {}", text, after);
        }
    }
}
