//! The report as JSON, for pipelines.

use serde::Serialize;

use crate::check::Report;

#[derive(Serialize)]
struct Document<'a> {
    passed: bool,
    findings: Vec<Line<'a>>,
    not_asked: Vec<Skipped<'a>>,
    exchanges: Vec<Hop<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    outcome: &'a str,
    seen: &'a str,
    cites: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

#[derive(Serialize)]
struct Skipped<'a> {
    id: &'a str,
    missing: &'a str,
}

#[derive(Serialize)]
struct Hop<'a> {
    from: &'a str,
    to: &'a str,
    request: &'a str,
    answer: &'a str,
}

/// The whole report as one JSON object with `passed`, `findings`, `not_asked` and `exchanges`.
///
/// # Errors
/// Only if serialization fails, which the types above do not allow.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Document {
        passed: report.passed(),
        findings: report
            .findings
            .iter()
            .map(|finding| Line {
                id: finding.id,
                outcome: finding.verdict.word(),
                seen: finding.verdict.seen(),
                cites: finding.cites,
                hint: finding.verdict.hint(),
            })
            .collect(),
        not_asked: report
            .not_asked
            .iter()
            .map(|skipped| Skipped {
                id: skipped.id,
                missing: skipped.why.missing,
            })
            .collect(),
        exchanges: report
            .exchanges
            .iter()
            .map(|exchange| Hop {
                from: exchange.from.name(),
                to: exchange.to.name(),
                request: &exchange.request,
                answer: &exchange.answer,
            })
            .collect(),
    })
}
