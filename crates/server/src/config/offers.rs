//! What targets are declared to offer: definitions that can be used, and URIs that have one owner.

use std::collections::BTreeMap;

use mcp::era::Era;
use mcp::feature::Feature;
use mcp::raw::Raw;
use model::listing::{Listing, Offered};
use serde_json::{Map, Value};

use crate::config::gateway::Gateway;
use crate::config::problem::Problems;

/// Notes what is wrong about what the targets of a gateway offer.
pub(super) fn check(gateway: &Gateway, path: &str, problems: &mut Problems<'_>) {
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    for (at, target) in gateway.targets.iter().enumerate() {
        let path = format!("{path}.targets[{at}]");
        for (at, prefix) in target.uri_prefixes.iter().enumerate() {
            let path = format!("{path}.uri_prefixes[{at}]");
            if let Some(first) = owners.insert(prefix.as_str(), path.clone()) {
                problems.note(
                    path,
                    format!("`{prefix}` is declared twice"),
                    format!("the first is {first}"),
                );
            }
        }
        if let Listing::Static(offered) = &target.listing {
            check_offered(offered, &format!("{path}.listing.static"), problems);
        }
    }
}

fn check_offered(offered: &Offered, path: &str, problems: &mut Problems<'_>) {
    let Offered {
        tools,
        prompts,
        resources,
        resource_templates,
    } = offered;
    for (feature, key, definitions) in [
        (Feature::Tools, "tools", tools),
        (Feature::Prompts, "prompts", prompts),
        (Feature::Resources, "resources", resources),
        (
            Feature::ResourceTemplates,
            "resource_templates",
            resource_templates,
        ),
    ] {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, definition) in definitions.iter().enumerate() {
            let path = format!("{path}.{key}[{at}]");
            if let Err(reason) = usable(feature, definition) {
                problems.note(path.clone(), reason, None);
            }
            let name = definition.get(feature.key()).and_then(Value::as_str);
            if let Some(first) = name.and_then(|name| names.insert(name, at)) {
                let hint = format!("the first is {key}[{first}]");
                problems.note(path, "it is declared twice", hint);
            }
        }
    }
}

/// Whether clients can use a definition as it stands.
fn usable(feature: Feature, definition: &Map<String, Value>) -> Result<(), String> {
    let text = serde_json::to_string(definition).map_err(|error| error.to_string())?;
    let raw = Raw::parse(&text).map_err(|error| error.to_string())?;
    feature
        .parse(raw, Era::Stateless)
        .map(drop)
        .map_err(|error| error.to_string())
}
