//! What a check is, what it may answer, and the report that the answers make.

use futures_util::future::BoxFuture;

use crate::session::Session;
pub use crate::verdict::{Unanswerable, Verdict};
use crate::web::Exchange;

/// One question put to the deployment.
pub struct Check {
    /// A stable name, `group.question`.
    pub id: &'static str,
    /// Requirement ids and sections of the specifications that the answer is judged by.
    pub cites: &'static str,
    /// What its exchanges are in the diagrams.
    pub part: Part,
    /// What it is about.
    pub about: About,
    /// Asks and judges.
    pub run: for<'a> fn(&'a mut Session) -> BoxFuture<'a, Result<Verdict, Unanswerable>>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What the exchanges of a check are in the story of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The flow of a client that does everything right.
    Flow,
    /// A look around: what is said, and at which places.
    Survey,
    /// What must be refused, and the proper requests that it is compared with.
    Denial,
}

/// Which deployments a check applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Only those that ask for a token (GE-1).
    Authorization,
    /// All of them.
    Protocol,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// [`Check::id`].
    pub id: &'static str,
    /// [`Check::cites`].
    pub cites: &'static str,
    /// What was found.
    pub verdict: Verdict,
}

/// A check that was not run, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAsked {
    /// [`Check::id`].
    pub id: &'static str,
    /// What was missing.
    pub why: Unanswerable,
}

/// One exchange, and the question that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// [`Check::id`].
    pub check: &'static str,
    /// [`Check::part`].
    pub part: Part,
    /// What was asked and answered.
    pub exchange: Exchange,
}

/// All that a walk found out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The MCP endpoint.
    pub target: String,
    /// When the walk began (RFC 3339).
    pub started: String,
    /// Answers, in the order of asking.
    pub findings: Vec<Finding>,
    /// Questions that could not be asked.
    pub not_asked: Vec<NotAsked>,
    /// Every HTTP exchange that took place, in order.
    pub steps: Vec<Step>,
}

impl Report {
    /// Whether nothing failed and every question could be asked.
    pub fn passed(&self) -> bool {
        self.not_asked.is_empty() && self.count("fail") == 0
    }

    /// The exchanges of a client that does everything right, or those of what must be refused.
    pub fn steps_of(&self, part: Part) -> Vec<&Step> {
        self.steps.iter().filter(|step| step.part == part).collect()
    }

    /// How many findings are `word` (`ok`, `n/a`, `warn`, `fail`).
    pub fn count(&self, word: &str) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.verdict.word() == word)
            .count()
    }
}
