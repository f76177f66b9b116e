//! Changes single members of a JSON object and leaves every other byte of it as it was.

use crate::raw::{Kind, Members, Raw, write_string};

/// What is to become of one member of an object.
///
/// A member that is set keeps its place if it was there, and is appended otherwise. A key that occurs more than once
/// is changed at its first occurrence, and its other occurrences are dropped: what comes out has one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    key: &'a str,
    action: Action<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Action<'a> {
    Remove,
    /// JSON text.
    Set(&'a str),
    /// Characters, not JSON yet.
    SetText(&'a str),
    /// JSON text, for a member that is not there, or null.
    Default(&'a str),
    /// JSON text, for a member that is not there, or of another kind.
    DefaultOf(&'a str, Kind),
    /// The member goes if it is of another kind.
    Only(Kind),
    /// The member goes if it is null.
    NotNull,
    /// Changes of the object that the member is; of `{}` if it is absent or no object.
    Within(&'a [Change<'a>]),
    /// The same, and the member goes if nothing is left in it.
    WithinIfAny(&'a [Change<'a>]),
}

impl<'a> Change<'a> {
    const fn new(key: &'a str, action: Action<'a>) -> Self {
        Self { key, action }
    }

    /// Gives the member `key` the value `json`, which must be JSON text.
    pub const fn set(key: &'a str, json: &'a str) -> Self {
        Self::new(key, Action::Set(json))
    }

    /// Gives the member `key` the string `text`.
    pub const fn set_text(key: &'a str, text: &'a str) -> Self {
        Self::new(key, Action::SetText(text))
    }

    /// Gives the member `key` the value `json`, which must be JSON text, unless it has one that is not null.
    pub const fn default(key: &'a str, json: &'a str) -> Self {
        Self::new(key, Action::Default(json))
    }

    /// Gives the member `key` the value `json`, which must be JSON text, unless it has one of the kind.
    pub const fn default_of(key: &'a str, json: &'a str, kind: Kind) -> Self {
        Self::new(key, Action::DefaultOf(json, kind))
    }

    /// Takes the member `key` out, unless it is of the kind.
    pub const fn only(key: &'a str, kind: Kind) -> Self {
        Self::new(key, Action::Only(kind))
    }

    /// Takes the member `key` out, if it is null.
    pub const fn not_null(key: &'a str) -> Self {
        Self::new(key, Action::NotNull)
    }

    /// Takes the member `key` out, if it is there.
    pub const fn remove(key: &'a str) -> Self {
        Self::new(key, Action::Remove)
    }

    /// Changes members of the object `key`. What is absent or no object counts as `{}`.
    pub const fn within(key: &'a str, changes: &'a [Self]) -> Self {
        Self::new(key, Action::Within(changes))
    }

    /// Like [`Self::within`], but `key` goes if no member of it is left.
    pub const fn within_if_any(key: &'a str, changes: &'a [Self]) -> Self {
        Self::new(key, Action::WithinIfAny(changes))
    }

    /// Bytes that the change adds at most, nearly.
    fn weight(&self) -> usize {
        self.key.len()
            + 4
            + match self.action {
                Action::Remove | Action::Only(_) | Action::NotNull => 0,
                Action::Set(json) | Action::Default(json) | Action::DefaultOf(json, _) => {
                    json.len()
                }
                Action::SetText(text) => text.len() + 2,
                Action::Within(changes) | Action::WithinIfAny(changes) => weight(changes) + 2,
            }
    }
}

impl Action<'_> {
    /// Whether a member that is not there stays away.
    const fn is_nothing_to_the_absent(&self) -> bool {
        matches!(self, Self::Remove | Self::Only(_) | Self::NotNull)
    }
}

/// Bytes that `changes` add at most, nearly: what to reserve beside the object's own length.
pub fn weight(changes: &[Change<'_>]) -> usize {
    changes.iter().map(Change::weight).sum()
}

/// `object` with `changes`. What is no object counts as `{}`. A key stands in `changes` once.
pub fn changed(object: Raw<'_>, changes: &[Change<'_>]) -> String {
    let mut out = String::with_capacity(object.as_str().len() + weight(changes));
    write(&mut out, object, changes);
    out
}

/// Appends `object` with `changes` to `out`. What is no object counts as `{}`. A key stands in `changes` once, and there
/// are 64 of them at most. Says whether the object has members then.
pub fn write(out: &mut String, object: Raw<'_>, changes: &[Change<'_>]) -> bool {
    let object = if object.is_object() {
        object
    } else {
        Raw::EMPTY_OBJECT
    };
    write_at_start(out, object.as_str(), changes).any
}

/// What was written.
struct Written {
    /// Whether the object has members.
    any: bool,
    /// Where it ended in the source.
    end: usize,
}

/// The same for the object that `text` begins with.
fn write_at_start(out: &mut String, text: &str, changes: &[Change<'_>]) -> Written {
    debug_assert!(changes.len() <= 64, "more changes than the mask has bits");
    let between = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let mut met = 0_u64;
    let mut any = false;
    let mut previous_end = 1;
    out.push('{');
    let mut members = Members::of(text);
    while let Some(begun) = members.begin() {
        // What lies before a member is a comma, unless it is the first of the source.
        let from = if any || previous_end == 1 {
            previous_end
        } else {
            begun.start
        };
        let change = (0_u32..)
            .zip(changes)
            .find(|(_, change)| begun.is(change.key));
        let Some((index, change)) = change else {
            let member = members.finish(&begun, None);
            previous_end = member.end;
            out.push_str(between(from, member.end));
            any = true;
            continue;
        };
        let before = out.len();
        out.push_str(between(from, begun.value_start));
        let again = met & (1 << index) != 0;
        met |= 1 << index;
        let value = between(begun.value_start, text.len());
        let stays = match change.action {
            // Written as it is walked, so that it is walked once.
            Action::Within(inner) | Action::WithinIfAny(inner)
                if value.starts_with('{') && !again =>
            {
                let written = write_at_start(out, value, inner);
                previous_end = begun.value_start + written.end;
                members.finish(&begun, Some(previous_end));
                written.any || matches!(change.action, Action::Within(_))
            }
            _ => {
                let member = members.finish(&begun, None);
                previous_end = member.end;
                !again && write_value(out, Some(member.value), &change.action)
            }
        };
        if stays {
            any = true;
        } else {
            out.truncate(before);
        }
    }
    for (index, change) in (0_u32..).zip(changes) {
        if met & (1 << index) != 0 || change.action.is_nothing_to_the_absent() {
            continue;
        }
        let before = out.len();
        if any {
            out.push(',');
        }
        write_string(out, change.key);
        out.push(':');
        if write_value(out, None, &change.action) {
            any = true;
        } else {
            out.truncate(before);
        }
    }
    let end = members.end();
    out.push_str(between(previous_end, end));
    Written { any, end }
}

/// Writes what the action makes of a value; `false` if the member is to go.
fn write_value(out: &mut String, value: Option<Raw<'_>>, action: &Action<'_>) -> bool {
    match action {
        Action::Remove => return false,
        Action::Set(json) => out.push_str(json),
        Action::SetText(text) => write_string(out, text),
        Action::Default(json) => {
            let there = value.filter(|value| !value.is_null());
            out.push_str(there.map_or(json, Raw::as_str));
        }
        Action::DefaultOf(json, kind) => {
            let fits = value.filter(|value| value.kind() == *kind);
            out.push_str(fits.map_or(json, Raw::as_str));
        }
        Action::Only(kind) => return write_if(out, value, |value| value.kind() == *kind),
        Action::NotNull => return write_if(out, value, |value| !value.is_null()),
        // An object is written by the walk; this is none.
        Action::Within(changes) => {
            write(out, Raw::EMPTY_OBJECT, changes);
        }
        Action::WithinIfAny(changes) => return write(out, Raw::EMPTY_OBJECT, changes),
    }
    true
}

/// Writes the value if it fits; `false` if the member is to go.
fn write_if(out: &mut String, value: Option<Raw<'_>>, fits: impl Fn(Raw<'_>) -> bool) -> bool {
    let fitting = value.filter(|value| fits(*value));
    out.push_str(fitting.map_or("", Raw::as_str));
    fitting.is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raw::arbitrary;

    fn edit(text: &str, changes: &[Change<'_>]) -> String {
        changed(Raw::parse(text).unwrap(), changes)
    }

    #[test]
    fn a_replaced_value_leaves_every_other_byte_alone() {
        let text = r#"{ "x" : 1.0e2 ,"name":"a___b", "z":{"name" : "a___b"}, "é":null }"#;
        insta::assert_snapshot!(
            edit(text, &[Change::set_text("name", "b")]),
            @r#"{ "x" : 1.0e2 ,"name":"b", "z":{"name" : "a___b"}, "é":null }"#
        );
    }

    #[test]
    fn members_can_be_removed_anywhere() {
        let text = r#"{"a":1, "b":2, "c":3}"#;
        let without = |keys: &[&'static str]| {
            let changes: Vec<Change<'_>> = keys.iter().map(|key| Change::remove(key)).collect();
            edit(text, &changes)
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
        let added = [Change::set("a", "1"), Change::set_text("b", "\"")];
        assert_eq!(edit("{}", &added), r#"{"a":1,"b":"\""}"#);
        assert_eq!(edit("[1]", &added), r#"{"a":1,"b":"\""}"#);
    }

    #[test]
    fn a_key_that_occurs_twice_occurs_once_after_being_set() {
        assert_eq!(
            edit(r#"{"a":1,"b":2,"a":3}"#, &[Change::set("a", "9")]),
            r#"{"a":9,"b":2}"#
        );
    }

    #[test]
    fn members_that_do_not_fit_go_or_give_way() {
        let changes = [
            Change::only("a", Kind::Bool),
            Change::not_null("b"),
            Change::default_of("c", "[]", Kind::Array),
            Change::default("d", "1"),
        ];
        assert_eq!(
            edit(r#"{"a":null,"b":null,"c":null,"d":null}"#, &changes),
            r#"{"c":[],"d":1}"#
        );
        assert_eq!(
            edit(r#"{"a":"true","c":{}}"#, &changes),
            r#"{"c":[],"d":1}"#
        );
        let fitting = r#"{"a":true, "b":[ ],"c":[1] ,"d":2}"#;
        assert_eq!(edit(fitting, &changes), fitting);
    }

    #[test]
    fn a_default_gives_way_to_what_is_there() {
        let default = [Change::default("a", "9")];
        assert_eq!(edit(r#"{"b":2}"#, &default), r#"{"b":2,"a":9}"#);
        assert_eq!(edit(r#"{"a" : 1}"#, &default), r#"{"a" : 1}"#);
    }

    #[test]
    fn members_of_members_are_changed_in_place() {
        let inner = [Change::remove("x"), Change::set("y", "2")];
        let within = [Change::within("m", &inner)];
        let text = r#"{"m" : {"x":1, "z":3}, "a":1}"#;
        assert_eq!(edit(text, &within), r#"{"m" : {"z":3,"y":2}, "a":1}"#);
        assert_eq!(edit(r#"{"a":1}"#, &within), r#"{"a":1,"m":{"y":2}}"#);
        assert_eq!(edit(r#"{"m":null}"#, &within), r#"{"m":{"y":2}}"#);
    }

    #[test]
    fn a_member_that_nothing_is_left_of_can_go() {
        let inner = [Change::remove("x")];
        let within = [Change::within_if_any("m", &inner)];
        assert_eq!(edit(r#"{"m":{"x":1}, "a":1}"#, &within), r#"{"a":1}"#);
        assert_eq!(
            edit(r#"{"a":1,"m":{"x":1,"y":2}}"#, &within),
            r#"{"a":1,"m":{"y":2}}"#
        );
        assert_eq!(edit(r#"{"a":1}"#, &within), r#"{"a":1}"#);
    }

    proptest! {
        #[test]
        fn no_change_changes_nothing(text in arbitrary::object_of(arbitrary::json())) {
            prop_assert_eq!(edit(&text, &[]), text);
        }

        #[test]
        fn setting_one_member_changes_nothing_else(
            before in arbitrary::object_of(arbitrary::json()),
            value in arbitrary::json(),
        ) {
            let after = edit(&before, &[Change::set("target", &value)]);
            let raw = Raw::parse(&after).unwrap();
            prop_assert_eq!(raw.get("target").unwrap().as_str(), value.as_str());
            let restored = edit(&after, &[Change::remove("target")]);
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
            let there = edit(&text, &[Change::set("target", &other)]);
            let back = edit(&there, &[Change::set("target", &value)]);
            prop_assert_eq!(back, text);
        }

        #[test]
        fn what_comes_out_is_json(
            text in arbitrary::object_of(arbitrary::json()),
            keys in prop::sample::subsequence(vec!["", "a", "name", "A", "é", "zz"], 0..=6),
            kind in 0_u8..5,
        ) {
            let inner = [Change::remove("a"), Change::remove("")];
            let change = |key| match kind {
                0 => Change::remove(key),
                1 => Change::set(key, "[]"),
                2 => Change::default(key, "[]"),
                3 => Change::within(key, &inner),
                _ => Change::within_if_any(key, &inner),
            };
            let changes: Vec<Change<'_>> = keys.into_iter().map(change).collect();
            let after = edit(&text, &changes);
            let members = Raw::parse(&after).unwrap().members().unwrap().count();
            let mut out = String::new();
            prop_assert_eq!(write(&mut out, Raw::parse(&text).unwrap(), &changes), members > 0);
            prop_assert_eq!(out, after);
        }
    }
}
