//! The exchanges as a Mermaid sequence diagram.

use std::fmt::Write as _;

use crate::check::Step;
use crate::web::{Actor, Exchange};

/// The sequence that really happened, as Mermaid text.
pub fn render(steps: &[&Step]) -> String {
    let mut out = String::from("sequenceDiagram\n");
    for actor in Actor::ALL {
        if hops(steps).any(|hop| hop.from == actor || hop.to == actor) {
            let _ = writeln!(out, "  participant {} as {}", actor.key(), actor.name());
        }
    }
    for hop in hops(steps) {
        let (from, to) = (hop.from.key(), hop.to.key());
        let _ = writeln!(out, "  {from}->>{to}: {}", escaped(&hop.request));
        let _ = writeln!(out, "  {to}-->>{from}: {}", escaped(&hop.answer));
    }
    out
}

fn hops<'a>(steps: &'a [&Step]) -> impl Iterator<Item = &'a Exchange> {
    steps.iter().map(|step| &step.exchange)
}

/// Mermaid ends a message at `;` or a line break and reads `#` as an entity.
fn escaped(text: &str) -> String {
    text.replace('#', "#35;")
        .replace(';', "#59;")
        .replace(['\n', '\r'], " ")
}
