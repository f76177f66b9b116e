//! The switches of a configuration that weaken it, for the warning at start-up.

use crate::config::node::{Node, Value};
use crate::config::store;

/// A switch that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Danger {
    /// Where it stands: `realms[0].cimd.danger_any_port`.
    pub(crate) path: String,
    /// What it means.
    pub(crate) meaning: &'static str,
}

/// All switches that are on in the document, each kind once: the place of the first, and how many more there are.
pub(crate) fn dangers(document: &Node) -> Vec<Danger> {
    let mut found = Vec::new();
    visit(document, "", &mut found);
    let mut kinds: Vec<(&str, Danger, usize)> = Vec::new();
    for danger in &found {
        let kind = danger.path.rsplit('.').next().unwrap_or_default();
        match kinds.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, _, more)) => *more += 1,
            None => kinds.push((kind, danger.clone(), 0)),
        }
    }
    kinds
        .into_iter()
        .map(|(_, mut danger, more)| {
            if more > 0 {
                danger.path = format!("{} and {more} more", danger.path);
            }
            danger
        })
        .collect()
}

fn visit(node: &Node, path: &str, found: &mut Vec<Danger>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let inner = if path.is_empty() {
                    key.name.clone()
                } else {
                    format!("{path}.{}", key.name)
                };
                if inner == "store.url"
                    && let Value::Text(url) = &value.value
                    && store::holds_password(url)
                {
                    found.push(Danger {
                        path: inner,
                        meaning: LITERAL,
                    });
                    continue;
                }
                match meaning(&key.name) {
                    Some(meaning) if is_on(value) => found.push(Danger {
                        path: inner,
                        meaning,
                    }),
                    _ if is_free_form(&key.name) => {}
                    _ => visit(value, &inner, found),
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// What it means to write a secret into the file.
const LITERAL: &str = "a secret stands in the configuration itself";

fn meaning(key: &str) -> Option<&'static str> {
    Some(match key {
        "danger_literal" => LITERAL,
        "danger_pkce_optional" => "authorization requests without PKCE are accepted",
        "danger_any_audience" => "tokens that were made for somebody else are accepted",
        "danger_no_authorization" => "every program on this machine may call, without a token",
        "danger_any_port" => "client metadata is fetched from any port",
        "danger_allow_networks" => "strangers can make this program call these networks",
        "allow_http" => "client identifiers may be plain http",
        "allow_networks" => "URLs of this configuration may lead to these networks",
        other if other.starts_with("danger_") => "a safeguard is off",
        _ => return None,
    })
}

fn is_on(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => false,
        Value::List(items) => !items.is_empty(),
        _ => true,
    }
}

/// Sections whose content is somebody else's and has no switches of ours.
fn is_free_form(key: &str) -> bool {
    matches!(key, "document" | "resource_policy" | "jwks")
}
