//! An MCP client that walks the authorization flow of any deployment and explains what it saw.
//!
//! It is an outsider: it sees neither the model nor the store, and learns everything over HTTP. The map:
//!
//! | module | what it holds |
//! |---|---|
//! | [`checks`] | the one table of questions, in the order of asking |
//! | [`check`] | what a question may answer, and the report |
//! | [`session`] | what the walk was told, and what it has learned |
//! | [`report`] | text, JSON, JUnit, Mermaid, SVG |
//!
//! To add a question: a function in a file of `checks/`, and its row in the table.

pub mod check;
pub mod checks;
pub mod report;
pub mod session;
pub mod verdict;
mod web;

mod browser;
mod forge;
mod host;
mod html;

use check::{About, Check, Finding, NotAsked, Report, Step, Unanswerable, Verdict};
use session::{Options, Session};
use web::Exchange;

/// Asks every question in order; `on_finding` sees each answer as it comes, but for those that can't apply.
pub async fn walk(options: Options, mut on_finding: impl FnMut(&Finding)) -> Report {
    let mut session = Session::new(options);
    let mut report = Report {
        target: session.options.url.to_string(),
        started: session.options.started.clone(),
        ..Report::default()
    };
    for check in checks::CHECKS {
        let finding = |verdict| Finding {
            id: check.id,
            cites: check.cites,
            verdict,
        };
        if session.open && check.about == About::Authorization {
            let why = "the endpoint asks for no token";
            report.findings.push(finding(Verdict::inapplicable(why)));
            continue;
        }
        let answer = match (check.run)(&mut session).await {
            Err(Unanswerable::Inapplicable(why)) => Ok(Verdict::inapplicable(why)),
            answer => answer,
        };
        match answer {
            Ok(verdict) => {
                let finding = finding(verdict);
                tracing::debug!(check = check.id, outcome = finding.verdict.word(), "asked");
                on_finding(&finding);
                report.findings.push(finding);
            }
            Err(why) => report.not_asked.push(NotAsked { id: check.id, why }),
        }
        report.keep(check, session.web.record.take());
    }
    session.end().await;
    report
}

impl Report {
    /// Keeps the exchanges that a check made.
    fn keep(&mut self, check: &Check, exchanges: Vec<Exchange>) {
        self.steps
            .extend(exchanges.into_iter().map(|exchange| Step {
                check: check.id,
                part: check.part,
                exchange,
            }));
    }
}
