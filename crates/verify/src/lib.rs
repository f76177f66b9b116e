//! An MCP client that walks the authorization flow of any deployment and explains what it saw.
//!
//! It is an outsider: it sees neither the model nor the store, and learns everything over HTTP. The map:
//!
//! | module | what it holds |
//! |---|---|
//! | [`checks`] | the one table of questions, in the order of asking |
//! | [`check`] | what a question may answer, and the report |
//! | [`session`] | what the walk was told, and what it has learned |
//! | [`report`] | text, JSON, Mermaid, SVG |
//!
//! To add a question: a function in a file of `checks/`, and its row in the table.

pub mod check;
pub mod checks;
pub mod report;
pub mod session;
pub mod web;

mod browser;
mod forge;
mod host;
mod html;

use check::{Finding, NotAsked, Report};
use session::{Options, Session};

/// Asks every question in order; `on_finding` sees each answer as it comes.
pub async fn walk(options: Options, mut on_finding: impl FnMut(&Finding)) -> Report {
    let mut session = Session::new(options);
    let mut report = Report::default();
    for check in checks::CHECKS {
        match (check.run)(&mut session).await {
            Ok(verdict) => {
                let finding = Finding {
                    id: check.id,
                    cites: check.cites,
                    verdict,
                };
                tracing::debug!(check = check.id, outcome = finding.verdict.word(), "asked");
                on_finding(&finding);
                report.findings.push(finding);
            }
            Err(why) => report.not_asked.push(NotAsked { id: check.id, why }),
        }
        report.exchanges.extend(session.web.record.take());
    }
    report
}
