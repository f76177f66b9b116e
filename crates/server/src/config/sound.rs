//! What is left of a document whose shape is wrong somewhere: all but the smallest parts that have the faults. It is looked
//! into like any other, so that its author mends everything in one go; what is missing in it is blamed on nobody.

use std::collections::BTreeMap;

use crate::config::node::{Node, Value};

/// The entries of these lists stand each for itself, and the whole lists may be left out.
const LISTS: [&str; 11] = [
    "listeners",
    "realms",
    "realms[].scopes",
    "realms[].resources",
    "realms[].users",
    "realms[].clients",
    "documents",
    "gateways",
    "gateways[].targets",
    "gateways[].targets[].headers",
    "proxies",
];

/// Sections within entries that have defaults, and on which no other part depends.
const SECTIONS: [&str; 8] = [
    "realms[].lifetimes",
    "realms[].cimd",
    "realms[].registration",
    "gateways[].caller_limits",
    "gateways[].limits",
    "gateways[].targets[].timeouts",
    "gateways[].targets[].limits",
    "gateways[].targets[].circuit_breaker",
];

/// What was left out of a document, and where the rest stands in it. The default: nothing was.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    /// The paths of the parts.
    parts: Vec<String>,
    /// By the path of a list in the rest: where its entries stand in the document.
    positions: BTreeMap<String, Vec<usize>>,
}

impl LeftOut {
    /// The path in the document of something that has this path in the rest.
    pub(crate) fn written(&self, path: &str) -> String {
        let mut steps = path.split('[');
        let mut rest = steps.next().unwrap_or_default().to_owned();
        let mut written = rest.clone();
        for step in steps {
            let (index, tail) = step.split_once(']').unwrap_or((step, ""));
            let position = index
                .parse::<usize>()
                .ok()
                .and_then(|index| self.positions.get(&rest)?.get(index));
            let position = position.map_or_else(|| index.to_owned(), ToString::to_string);
            for (to, index) in [(&mut written, position.as_str()), (&mut rest, index)] {
                to.extend(["[", index, "]", tail]);
            }
        }
        written
    }

    /// Whether the section or list at this path of the document was left out, or an entry of that list. A section that is
    /// not there may be what a key stands for that nobody knows.
    pub(crate) fn has_some_of(&self, path: &str, document: &Node) -> bool {
        let is_of = |part: &String| match part.strip_prefix(path) {
            Some("") => true,
            Some(rest) => {
                let index = rest
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                index.is_some_and(|index| index.parse::<usize>().is_ok())
            }
            None => false,
        };
        let may_be_misspelt = is_section(path) && !document.has(path);
        self.parts.iter().any(is_of)
            || (may_be_misspelt && self.parts.iter().any(|part| is_section(part)))
    }
}

/// The document without the smallest parts that have something at one of the paths `faults`.
pub(crate) fn rest_of(document: &Node, faults: &[&str]) -> Option<(Node, LeftOut)> {
    let mut taking = Taking {
        faults,
        left_out: LeftOut::default(),
    };
    let rest = taking.rest(document, ("", ""), "")?;
    Some((rest, taking.left_out))
}

struct Taking<'f> {
    faults: &'f [&'f str],
    left_out: LeftOut,
}

impl Taking<'_> {
    /// What is left of a node; nothing, if it can't do without what has to go. Its path is told in the document, with and
    /// without the positions in lists, and in the rest.
    fn rest(&mut self, node: &Node, (path, kind): (&str, &str), in_rest: &str) -> Option<Node> {
        if self.faults.contains(&path) {
            return None;
        }
        let value = match &node.value {
            Value::Map(entries) => {
                let mut kept = Vec::new();
                for (key, value) in entries {
                    let [path, kind, in_rest] = [path, kind, in_rest].map(|to| join(to, &key.name));
                    if let Some(value) = self.rest(value, (&path, &kind), &in_rest) {
                        kept.push((key.clone(), value));
                    } else {
                        self.leave_out(path, &kind, &in_rest)?;
                    }
                }
                Value::Map(kept)
            }
            Value::List(items) => {
                let (mut kept, mut positions) = (Vec::new(), Vec::new());
                let kind = format!("{kind}[]");
                for (position, item) in items.iter().enumerate() {
                    let path = format!("{path}[{position}]");
                    let in_rest = format!("{in_rest}[{}]", kept.len());
                    if let Some(item) = self.rest(item, (&path, &kind), &in_rest) {
                        kept.push(item);
                        positions.push(position);
                    } else {
                        self.leave_out(path, &kind, &in_rest)?;
                    }
                }
                if kept.len() < items.len() {
                    self.left_out
                        .positions
                        .insert(in_rest.to_owned(), positions);
                }
                Value::List(kept)
            }
            other => other.clone(),
        };
        Some(Node {
            line: node.line,
            value,
        })
    }

    /// Leaves a part out, if what is around it makes sense without.
    fn leave_out(&mut self, path: String, kind: &str, in_rest: &str) -> Option<()> {
        let list = kind.strip_suffix("[]").unwrap_or(kind);
        if !is_section(kind) && !LISTS.contains(&list) && !SECTIONS.contains(&kind) {
            return None;
        }
        // What comes next has its place in the rest.
        let positions = &mut self.left_out.positions;
        positions.retain(|list, _| !list.starts_with(in_rest));
        self.left_out.parts.push(path);
        Some(())
    }
}

/// Whether a path is that of a section of the document.
fn is_section(path: &str) -> bool {
    !path.contains(['.', '['])
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
