//! The exchanges as a sequence diagram in SVG, drawn without any other program.

use std::fmt::Write as _;

use crate::check::Step;
use crate::web::Actor;

/// Distance between two lifelines, in user units (pixels at 100 %).
const COLUMN: usize = 260;
/// Distance between two messages.
const ROW: usize = 26;
/// Space above the first message, for the names.
const HEAD: usize = 76;
/// Space left of the first and right of the last lifeline.
const MARGIN: usize = 150;

/// The sequence that really happened, as an SVG document.
pub fn render(steps: &[&Step]) -> String {
    let actors: Vec<Actor> = Actor::ALL
        .into_iter()
        .filter(|actor| {
            steps
                .iter()
                .any(|step| step.exchange.from == *actor || step.exchange.to == *actor)
        })
        .collect();
    let column = |actor: Actor| {
        MARGIN + COLUMN * actors.iter().position(|known| *known == actor).unwrap_or(0)
    };
    let width = 2 * MARGIN + COLUMN * actors.len().saturating_sub(1);
    let height = HEAD + 2 * ROW * steps.len() + ROW;

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0 8 4 0 8z\" fill=\"#334155\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for actor in &actors {
        let x = column(*actor);
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"48\" x2=\"{x}\" y2=\"{height}\" stroke=\"#cbd5e1\"/>\
             <rect x=\"{}\" y=\"16\" width=\"200\" height=\"32\" rx=\"6\" fill=\"#e2e8f0\"/>\
             <text x=\"{x}\" y=\"36\" text-anchor=\"middle\" font-weight=\"600\">{}</text>",
            x.saturating_sub(100),
            escaped(actor.name())
        );
    }
    for (index, step) in steps.iter().enumerate() {
        let hop = &step.exchange;
        let y = HEAD + 2 * ROW * index;
        let (from, to) = (column(hop.from), column(hop.to));
        arrow(&mut out, (from, to), y, &hop.request, "");
        arrow(
            &mut out,
            (to, from),
            y + ROW,
            &hop.answer,
            " stroke-dasharray=\"4 3\"",
        );
    }
    out.push_str("</svg>\n");
    out
}

/// One message with its label above the line.
fn arrow(out: &mut String, (from, to): (usize, usize), y: usize, label: &str, style: &str) {
    let middle = usize::midpoint(from, to);
    let _ = writeln!(
        out,
        "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"#334155\" marker-end=\"url(#tip)\"{style}/>\
         <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        y.saturating_sub(5),
        escaped(label)
    );
}

/// Text made safe inside an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
