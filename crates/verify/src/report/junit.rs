//! The report as JUnit XML, which most build servers show as tests.

use std::fmt::Write as _;

use crate::check::{Report, Verdict};

/// One suite, named after the endpoint; a question is a test, a question that could not be asked an error.
pub fn render(report: &Report) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{}\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
        escaped(&report.target),
        escaped(&report.started),
        report.findings.len() + report.not_asked.len(),
        report.count("fail"),
        report.not_asked.len(),
        report.count("n/a"),
    );
    for finding in &report.findings {
        let (verdict, seen) = (&finding.verdict, escaped(finding.verdict.seen()));
        let inner = match verdict {
            Verdict::Ok(_) => format!("<system-out>{seen}</system-out>"),
            Verdict::Inapplicable(_) => format!("<skipped message=\"{seen}\"/>"),
            Verdict::Warn { hint, .. } => {
                format!(
                    "<system-out>warning: {seen}; {}</system-out>",
                    escaped(hint)
                )
            }
            Verdict::Fail { hint, .. } => format!(
                "<failure message=\"{seen}\">{} [{}]</failure>",
                escaped(hint),
                escaped(finding.cites)
            ),
        };
        case(&mut out, finding.id, &inner);
    }
    for skipped in &report.not_asked {
        let why = escaped(&skipped.why.to_string());
        case(
            &mut out,
            skipped.id,
            &format!("<error message=\"not asked: {why}\"/>"),
        );
    }
    out.push_str("</testsuite>\n");
    out
}

fn case(out: &mut String, id: &str, inner: &str) {
    let (group, question) = id.split_once('.').unwrap_or(("", id));
    let _ = writeln!(
        out,
        "  <testcase classname=\"{group}\" name=\"{question}\">{inner}</testcase>"
    );
}

/// Text made safe in elements and attributes; what XML 1.0 can't carry is left out.
fn escaped(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                other => out.push(other),
            }
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Finding, NotAsked, Unanswerable};

    #[test]
    fn every_outcome_has_its_element() {
        let finding = |id, verdict| Finding {
            id,
            cites: "RS-2",
            verdict,
        };
        let report = Report {
            target: "http://127.0.0.1/mcp?a&b".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            findings: vec![
                finding("a.good", Verdict::ok("as it should be")),
                finding("a.odd", Verdict::warn("\u{1b}[31mno \"scope\"", "send it")),
                finding("a.bad", Verdict::fail("1 < 2", "mend it")),
                finding("a.none", Verdict::inapplicable("nothing there")),
            ],
            not_asked: vec![NotAsked {
                id: "b.unasked",
                why: Unanswerable::Missing("a code"),
            }],
            steps: Vec::new(),
        };
        insta::assert_snapshot!(render(&report), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuite name="http://127.0.0.1/mcp?a&amp;b" timestamp="2026-01-02T03:04:05Z" tests="5" failures="1" errors="1" skipped="1">
          <testcase classname="a" name="good"><system-out>as it should be</system-out></testcase>
          <testcase classname="a" name="odd"><system-out>warning: [31mno &quot;scope&quot;; send it</system-out></testcase>
          <testcase classname="a" name="bad"><failure message="1 &lt; 2">mend it [RS-2]</failure></testcase>
          <testcase classname="a" name="none"><skipped message="nothing there"/></testcase>
          <testcase classname="b" name="unasked"><error message="not asked: needs a code"/></testcase>
        </testsuite>
        "#);
    }
}
