//! What a gateway says that it can do: made of what its targets offer and of what the client's era has.

use mcp::feature::Feature;

use crate::cx::Cx;

/// The `ServerCapabilities` of the gateway, an object. Tools are what gateways are for; anything else is said unless no target
/// can have it. Changes of every list are announced.
pub(crate) fn of(cx: &Cx) -> String {
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
    format!("{{{}}}", members.join(","))
}

/// Whether a target has it, as far as is known; one that was not asked may.
fn may_have(cx: &Cx, feature: Feature) -> bool {
    let mut targets = cx.behind.iter();
    targets.any(|one| one.target.offers(feature) != Some(false))
}
