//! The report as JSON, for pipelines.

use serde::Serialize;

use crate::check::{Finding, Report};

#[derive(Serialize)]
struct Document<'a> {
    target: &'a str,
    started: &'a str,
    sekisho: &'a str,
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
    requirements: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Places in the list of exchanges.
    exchanges: Vec<usize>,
}

#[derive(Serialize)]
struct Skipped<'a> {
    id: &'a str,
    why: String,
}

#[derive(Serialize)]
struct Hop<'a> {
    check: &'a str,
    from: &'a str,
    to: &'a str,
    request: &'a str,
    answer: &'a str,
}

/// The whole report as one JSON object: `target`, `started`, `sekisho` (the version), `passed`, `findings`, `not_asked` and
/// `exchanges`. A finding lists the places of its exchanges, an exchange names its check.
///
/// # Errors
/// Only if serialization fails, which the types above do not allow.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Document {
        target: &report.target,
        started: &report.started,
        sekisho: env!("CARGO_PKG_VERSION"),
        passed: report.passed(),
        findings: report
            .findings
            .iter()
            .map(|finding| line(report, finding))
            .collect(),
        not_asked: report
            .not_asked
            .iter()
            .map(|skipped| Skipped {
                id: skipped.id,
                why: skipped.why.to_string(),
            })
            .collect(),
        exchanges: report
            .steps
            .iter()
            .map(|step| Hop {
                check: step.check,
                from: step.exchange.from.name(),
                to: step.exchange.to.name(),
                request: &step.exchange.request,
                answer: &step.exchange.answer,
            })
            .collect(),
    })
}

fn line<'a>(report: &Report, finding: &'a Finding) -> Line<'a> {
    Line {
        id: finding.id,
        outcome: finding.verdict.word(),
        seen: finding.verdict.seen(),
        requirements: finding.cites.split([',', ';']).map(str::trim).collect(),
        hint: finding.verdict.hint(),
        exchanges: report
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.check == finding.id)
            .map(|(place, _)| place)
            .collect(),
    }
}
