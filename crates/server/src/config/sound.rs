//! What else is wrong with a document whose shape is wrong somewhere: the entries whose shape is right are looked into all
//! the same, each by itself, so that its author mends everything in one go. What goes together is asked when all has its shape.

use std::path::Path;

use crate::config::convert;
use crate::config::crosscheck::check_realm;
use crate::config::node::{Node, Value};
use crate::config::problem::Problems;

/// Notes what is wrong within realms, gateways and documents about which nothing was noted yet.
pub(crate) fn check(tree: &Node, directory: &Path, problems: &mut Problems<'_>) {
    let Value::Map(sections) = &tree.value else {
        return;
    };
    for (key, section) in sections {
        let Value::List(entries) = &section.value else {
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("{}[{index}]", key.name);
            if problems.touch(&path) {
                continue;
            }
            // What only serde knows is said when the shape is right.
            let content = entry.to_json();
            match key.name.as_str() {
                "realms" => {
                    if let Ok(realm) = serde_json::from_value(content) {
                        check_realm(&realm, &path, problems);
                        convert::realm::convert(&realm, &path, directory, problems);
                    }
                }
                "gateways" => {
                    if let Ok(gateway) = serde_json::from_value(content) {
                        convert::gateway::convert(&gateway, &path, problems);
                    }
                }
                "documents" => {
                    if let Ok(document) = serde_json::from_value(content) {
                        convert::document::convert(&document, &path, problems);
                    }
                }
                _ => {}
            }
        }
    }
}
