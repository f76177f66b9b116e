//! Checks a document against the schema of the configuration and reports everything that does not fit, not just the first.
//!
//! The schema is the one that `config schema` prints, so what an editor accepts and what the program accepts are the same.
//! It understands the part of JSON Schema that our own types produce.

use serde_json::Value as Schema;

use crate::config::node::{Node, Value};
use crate::config::problem::{Problems, suggest};
use crate::config::scalar;

/// Notes in `problems` everything in `node` that `root` does not allow, and makes truth values of `yes`, `no`, `on` and `off`
/// where it wants them.
pub(crate) fn check(root: &Schema, node: &mut Node, problems: &mut Problems<'_>) {
    if matches!(node.value, Value::Null) {
        return problems.note_at(
            0,
            "",
            "the file is empty",
            "`sekisho init` writes one to start from".to_owned(),
        );
    }
    Walk { root, problems }.visit(root, node, "");
}

struct Walk<'w, 'p> {
    root: &'w Schema,
    problems: &'w mut Problems<'p>,
}

impl<'w> Walk<'w, '_> {
    fn visit(&mut self, schema: &'w Schema, node: &mut Node, path: &str) {
        let schema = self.resolve(schema);
        if let Some(alternatives) = alternatives_of(schema)
            && schema.get("properties").is_none()
        {
            return self.visit_alternatives(alternatives, node, path);
        }
        if let Some(words) = words_of(schema) {
            return self.visit_words(&words, node, path);
        }
        let types = types_of(schema);
        if types.contains(&"boolean") && !types.contains(&"string") {
            node.read_as_truth();
        }
        if !types.is_empty() && !types.iter().any(|name| fits(name, node)) {
            return self.wrong_kind(&types, schema, node, path);
        }
        if matches!(node.value, Value::Map(_)) {
            return self.visit_map(schema, node, path);
        }
        match &mut node.value {
            Value::List(items) => {
                if let Some(item_schema) = schema.get("items") {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.visit(item_schema, item, &format!("{path}[{index}]"));
                    }
                }
            }
            Value::Text(text) => {
                if let Some(format) = schema.get("format").and_then(Schema::as_str)
                    && let Err(unfit) = scalar::check(format, text)
                {
                    let message = format!("`{text}` is not {}", unfit.expected);
                    self.problems
                        .note_at(node.line, path, message, unfit.hint.map(str::to_owned));
                }
            }
            Value::Number(number) => self.visit_number(schema, number, node.line, path),
            Value::Null | Value::Bool(_) | Value::Map(_) => {}
        }
    }

    fn visit_map(&mut self, schema: &'w Schema, node: &mut Node, path: &str) {
        let Value::Map(entries) = &mut node.value else {
            return;
        };
        let properties = schema.get("properties").and_then(Schema::as_object);
        // Keys of which one says what kind of thing it is.
        let kinds = alternatives_of(schema).unwrap_or_default();
        let kinds: Vec<(&str, &'w Schema)> = kinds.iter().filter_map(tagged_variant).collect();
        let own = properties
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str());
        let known: Vec<&str> = own.chain(kinds.iter().map(|(key, _)| *key)).collect();
        let names = schema.get("propertyNames").map(|names| self.resolve(names));
        for (key, value) in entries.iter_mut() {
            let inner = join(path, &key.name);
            if let Some(format) = names.and_then(|names| names.get("format")?.as_str())
                && let Err(unfit) = scalar::check(format, &key.name)
            {
                let message = format!("`{}` is not {}", key.name, unfit.expected);
                let hint = unfit.hint.map(str::to_owned);
                self.problems.note_at(key.line, inner, message, hint);
            } else if let Some(property) = properties.and_then(|all| all.get(&key.name)) {
                if !matches!(value.value, Value::Null) {
                    self.visit(property, value, &inner);
                }
            } else if let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == key.name) {
                self.visit(kind, value, &inner);
            } else {
                let others = schema.get("additionalProperties");
                match others.or_else(|| schema.get("unevaluatedProperties")) {
                    Some(Schema::Bool(false)) => {
                        let message = format!("unknown key `{}`", key.name);
                        self.problems
                            .note_at(key.line, inner, message, suggest(&key.name, &known));
                    }
                    Some(rest) => self.visit(rest, value, &inner),
                    None => {}
                }
            }
        }
        for required in schema
            .get("required")
            .and_then(Schema::as_array)
            .into_iter()
            .flatten()
            .filter_map(Schema::as_str)
        {
            let present = entries
                .iter()
                .any(|(key, value)| key.name == required && !matches!(value.value, Value::Null));
            if !present {
                let hint = properties
                    .and_then(|all| all.get(required))
                    .and_then(|one| first_sentence(self.resolve(one), one));
                self.problems
                    .note_at(node.line, path, format!("`{required}` is missing"), hint);
            }
        }
        let names: Vec<&str> = kinds.iter().map(|(key, _)| *key).collect();
        let given = entries
            .iter()
            .filter(|(key, _)| names.contains(&key.name.as_str()))
            .count();
        if !names.is_empty() && given != 1 {
            let message = match names.as_slice() {
                [only] => format!("`{only}` is missing"),
                several => format!("exactly one of {} is expected", list(several)),
            };
            self.problems.note_at(node.line, path, message, None);
        }
    }

    fn visit_alternatives(&mut self, alternatives: &'w [Schema], node: &mut Node, path: &str) {
        let mut all = Vec::new();
        self.flatten(alternatives, &mut all);
        let nullable = all.iter().any(|one| types_of(one).contains(&"null"));
        if nullable && matches!(node.value, Value::Null) {
            return;
        }
        let rest: Vec<&'w Schema> = all
            .into_iter()
            .filter(|one| types_of(one) != ["null"])
            .collect();
        if let [only] = rest.as_slice() {
            return self.visit(only, node, path);
        }
        let words: Vec<&'w str> = rest
            .iter()
            .filter_map(|one| words_of(one))
            .flatten()
            .collect();
        let tagged: Vec<(&'w str, &'w Schema)> =
            rest.iter().filter_map(|one| tagged_variant(one)).collect();
        match &mut node.value {
            Value::Map(entries) if !tagged.is_empty() => {
                let keys: Vec<&str> = tagged.iter().map(|(key, _)| *key).collect();
                for (key, value) in entries.iter_mut() {
                    match tagged.iter().find(|(name, _)| *name == key.name) {
                        Some((_, inner)) => self.visit(inner, value, &join(path, &key.name)),
                        None => self.problems.note_at(
                            key.line,
                            join(path, &key.name),
                            format!("unknown key `{}`", key.name),
                            suggest(&key.name, &keys),
                        ),
                    }
                }
                if entries.len() != 1 {
                    let message = format!("exactly one of {} is expected", list(&keys));
                    self.problems.note_at(node.line, path, message, None);
                }
            }
            Value::Text(_) if !words.is_empty() => self.visit_words(&words, node, path),
            _ => {
                if let Some(fitting) = rest
                    .iter()
                    .find(|one| types_of(one).iter().any(|name| fits(name, node)))
                {
                    return self.visit(fitting, node, path);
                }
                let keys: Vec<String> = tagged
                    .iter()
                    .map(|(key, _)| format!("{{ {key}: … }}"))
                    .collect();
                let kinds = rest.iter().flat_map(|one| types_of(one)).map(spoken);
                let expected = if keys.is_empty() {
                    kinds.collect::<Vec<_>>().join(" or ")
                } else {
                    keys.join(" or ")
                };
                let message = format!("expected {expected}, found {}", node.kind());
                self.problems.note_at(node.line, path, message, None);
            }
        }
    }

    /// The alternatives, with those that are choices themselves replaced by what they choose from.
    fn flatten(&self, alternatives: &'w [Schema], all: &mut Vec<&'w Schema>) {
        for one in alternatives.iter().map(|one| self.resolve(one)) {
            match alternatives_of(one) {
                Some(inner) => self.flatten(inner, all),
                None => all.push(one),
            }
        }
    }

    fn visit_words(&mut self, words: &[&str], node: &Node, path: &str) {
        let Value::Text(text) = &node.value else {
            let message = format!("expected one of {}, found {}", list(words), node.kind());
            return self.problems.note_at(node.line, path, message, None);
        };
        if !words.contains(&text.as_str()) {
            let message = format!("`{text}` is not one of {}", list(words));
            let hint = crate::config::problem::closest(text, words.iter().copied());
            self.problems.note_at(
                node.line,
                path,
                message,
                hint.map(|meant| format!("did you mean `{meant}`?")),
            );
        }
    }

    fn visit_number(
        &mut self,
        schema: &Schema,
        number: &serde_json::Number,
        line: u64,
        path: &str,
    ) {
        let least = schema.get("minimum").and_then(Schema::as_f64);
        let most = schema.get("maximum").and_then(Schema::as_f64);
        let outside = number.as_f64().is_some_and(|value| {
            least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most)
        });
        if outside {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("between {least} and {most}"),
                (Some(least), None) => format!("at least {least}"),
                (None, Some(most)) => format!("at most {most}"),
                (None, None) => "within its range".to_owned(),
            };
            self.problems.note_at(
                line,
                path,
                format!("`{number}` is out of range: expected {range}"),
                None,
            );
        }
    }

    fn wrong_kind(&mut self, types: &[&str], schema: &Schema, node: &Node, path: &str) {
        let expected: Vec<&str> = types
            .iter()
            .filter(|name| **name != "null")
            .map(|name| spoken(name))
            .collect();
        let duration = schema.get("format").and_then(Schema::as_str) == Some("duration");
        let hint = match (&node.value, types.first().copied()) {
            (Value::Number(number), _) if duration => Some(format!("add the unit: `{number}s`")),
            (Value::Number(number), Some("string")) => {
                Some(format!("put it in quotes: \"{number}\""))
            }
            (Value::Bool(value), Some("string")) => Some(format!("put it in quotes: \"{value}\"")),
            (Value::Text(text), Some("array")) => Some(format!("write it as a list: [ {text} ]")),
            (Value::Map(_), Some("array")) => {
                Some("write it as a list: begin the entry with `- `".to_owned())
            }
            _ => schema
                .get("description")
                .and_then(Schema::as_str)
                .and_then(sentence),
        };
        let message = format!("expected {}, found {}", expected.join(" or "), node.kind());
        self.problems.note_at(node.line, path, message, hint);
    }

    fn resolve(&self, schema: &'w Schema) -> &'w Schema {
        let mut schema = schema;
        // A chain of references longer than this is a circle.
        for _ in 0..16 {
            let Some(reference) = schema.get("$ref").and_then(Schema::as_str) else {
                break;
            };
            let Some(found) = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer))
            else {
                break;
            };
            schema = found;
        }
        schema
    }
}

fn alternatives_of(schema: &Schema) -> Option<&[Schema]> {
    schema
        .get("anyOf")
        .or_else(|| schema.get("oneOf"))
        .and_then(Schema::as_array)
        .map(Vec::as_slice)
}

/// The words that are allowed, where the schema is a choice of words.
fn words_of(schema: &Schema) -> Option<Vec<&str>> {
    if let Some(word) = schema.get("const").and_then(Schema::as_str) {
        return Some(vec![word]);
    }
    schema
        .get("enum")
        .and_then(Schema::as_array)
        .map(|all| all.iter().filter_map(Schema::as_str).collect())
}

/// `{ key: … }`, where the schema is one variant of an externally tagged choice.
fn tagged_variant(schema: &Schema) -> Option<(&str, &Schema)> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required")?.as_array()?;
    let mut entries = properties.iter();
    match (entries.next(), entries.next(), required.as_slice()) {
        (Some((key, inner)), None, [_]) => Some((key, inner)),
        _ => None,
    }
}

fn types_of(schema: &Schema) -> Vec<&str> {
    match schema.get("type") {
        Some(Schema::String(name)) => vec![name],
        Some(Schema::Array(names)) => names.iter().filter_map(Schema::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits(name: &str, node: &Node) -> bool {
    match (&node.value, name) {
        (Value::Null, "null")
        | (Value::Bool(_), "boolean")
        | (Value::Number(_), "number")
        | (Value::Text(_), "string")
        | (Value::List(_), "array")
        | (Value::Map(_), "object") => true,
        (Value::Number(number), "integer") => !number.is_f64(),
        _ => false,
    }
}

fn spoken(name: &str) -> &'static str {
    match name {
        "boolean" => "true or false",
        "number" => "a number",
        "integer" => "a whole number",
        "string" => "text",
        "array" => "a list",
        "object" => "a map",
        _ => "something else",
    }
}

fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn first_sentence(resolved: &Schema, direct: &Schema) -> Option<String> {
    let description = direct
        .get("description")
        .or_else(|| resolved.get("description"))?;
    sentence(description.as_str()?)
}

/// The first sentence of a description, as a hint: on one line and without the period.
fn sentence(description: &str) -> Option<String> {
    let paragraph = description.split("\n\n").next()?;
    let first = paragraph.split(". ").next()?.trim_end_matches('.');
    Some(first.split_whitespace().collect::<Vec<_>>().join(" "))
}
