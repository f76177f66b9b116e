//! The report as lines for a person.

use std::fmt::Write as _;

use crate::check::{Finding, Report};

/// One finding as it is printed: `ok  discovery.challenge  sentence  [ids]`, and its hint on a line of its own.
pub fn line(finding: &Finding) -> String {
    let verdict = &finding.verdict;
    let mut out = format!(
        "{:<4}  {:<32}  {}  [{}]",
        verdict.word(),
        finding.id,
        verdict.seen(),
        finding.cites
    );
    if let Some(hint) = verdict.hint() {
        let _ = write!(out, "\n      hint: {hint}");
    }
    out
}

/// What follows the findings: the questions that could not be asked, and the sum.
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    for skipped in &report.not_asked {
        let _ = writeln!(out, "----  {:<32}  not asked: {}", skipped.id, skipped.why);
    }
    let inapplicable = match report.count("n/a") {
        0 => String::new(),
        count => format!("{count} n/a, "),
    };
    let _ = write!(
        out,
        "{} ok, {inapplicable}{} warn, {} fail, {} not asked",
        report.count("ok"),
        report.count("warn"),
        report.count("fail"),
        report.not_asked.len()
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{NotAsked, Unanswerable, Verdict};

    #[test]
    fn a_report_reads_line_by_line() {
        let report = Report {
            findings: vec![
                Finding {
                    id: "discovery.challenge",
                    cites: "RS-2; RFC 9728 §5.1",
                    verdict: Verdict::ok("401 with `resource_metadata`"),
                },
                Finding {
                    id: "token.audience",
                    cites: "RS-7",
                    verdict: Verdict::fail("a token for somebody else was accepted", "check `aud`"),
                },
            ],
            not_asked: vec![NotAsked {
                id: "tools.call",
                why: Unanswerable::Missing("an access token"),
            }],
            ..Report::default()
        };
        let text = report
            .findings
            .iter()
            .map(line)
            .chain([summary(&report)])
            .collect::<Vec<_>>()
            .join("\n");
        insta::assert_snapshot!(text, @r"
        ok    discovery.challenge               401 with `resource_metadata`  [RS-2; RFC 9728 §5.1]
        fail  token.audience                    a token for somebody else was accepted  [RS-7]
              hint: check `aud`
        ----  tools.call                        not asked: needs an access token
        1 ok, 0 warn, 1 fail, 1 not asked
        ");
        assert!(!report.passed());
    }
}
