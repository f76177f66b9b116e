//! What a gateway says that it can do: made of what its targets offer and of what the client's era has.

use std::collections::BTreeMap;

use mcp::capability::TASKS;
use mcp::era::Era;
use mcp::feature::Feature;
use mcp::raw::quote;

use crate::cx::Cx;

/// The `ServerCapabilities` of the gateway, an object. Tools are what gateways are for; anything else is said unless no target
/// can have it. Changes of every list are announced.
pub(crate) fn of(cx: &Cx, era: Era) -> String {
    let mut targets = cx.behind.iter();
    let may_subscribe = targets.any(|one| one.target.subscribes() != Some(false));
    let mut members: Vec<String> = Feature::ANNOUNCED
        .into_iter()
        .filter(|feature| *feature == Feature::Tools || may_have(cx, *feature))
        .map(|feature| {
            let subscribe = match feature {
                Feature::Resources if may_subscribe => r#","subscribe":true"#,
                _ => "",
            };
            let capability = feature.capability();
            format!(r#""{capability}":{{"listChanged":true{subscribe}}}"#)
        })
        .collect();
    if cx
        .behind
        .iter()
        .any(|one| one.target.completes() != Some(false))
    {
        members.push(r#""completions":{}"#.to_owned());
    }
    members.push(r#""logging":{}"#.to_owned());
    if let Some(extensions) = extensions(cx, era) {
        members.push(format!(r#""extensions":{extensions}"#));
    }
    format!("{{{}}}", members.join(","))
}

/// The extensions that targets declare: of each, what the first of them says of it. Tasks of the extension are of the stateless
/// era.
fn extensions(cx: &Cx, era: Era) -> Option<String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for declared in cx.behind.iter().filter_map(|one| one.target.extensions()) {
        let members = declared.borrow().members();
        for member in members.into_iter().flatten() {
            if let Some(name) = member.key()
                && member.value.is_object()
                && !(era == Era::Session && name == TASKS)
            {
                let text = || member.value.as_str().to_owned();
                all.entry(name.into_owned()).or_insert_with(text);
            }
        }
    }
    let members = all
        .iter()
        .map(|(name, value)| format!("{}:{value}", quote(name)));
    (!all.is_empty()).then(|| format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

/// Whether a target has it, as far as is known; one that was not asked may.
fn may_have(cx: &Cx, feature: Feature) -> bool {
    let mut targets = cx.behind.iter();
    targets.any(|one| one.target.offers(feature) != Some(false))
}
