//! The exchanges as a Mermaid sequence diagram.

use std::fmt::Write as _;

use crate::check::Report;
use crate::web::Actor;

/// The sequence that really happened, as Mermaid text.
pub fn render(report: &Report) -> String {
    let mut out = String::from("sequenceDiagram\n");
    for actor in Actor::ALL {
        if report
            .exchanges
            .iter()
            .any(|hop| hop.from == actor || hop.to == actor)
        {
            let _ = writeln!(out, "  participant {} as {}", actor.key(), actor.name());
        }
    }
    for hop in &report.exchanges {
        let (from, to) = (hop.from.key(), hop.to.key());
        let _ = writeln!(out, "  {from}->>{to}: {}", escaped(&hop.request));
        let _ = writeln!(out, "  {to}-->>{from}: {}", escaped(&hop.answer));
    }
    out
}

/// Mermaid ends a message at `;` or a line break and reads `#` as an entity.
fn escaped(text: &str) -> String {
    text.replace('#', "#35;")
        .replace(';', "#59;")
        .replace(['\n', '\r'], " ")
}
