//! What a check is, what it may answer, and the report that the answers make.

use futures_util::future::BoxFuture;

use crate::session::Session;
use crate::web::Exchange;

/// One question put to the deployment.
pub struct Check {
    /// A stable name, `group.question`.
    pub id: &'static str,
    /// Requirement ids and sections of the specifications that the answer is judged by.
    pub cites: &'static str,
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

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the specifications want it.
    Ok(String),
    /// Allowed, but some client or some attacker will care.
    Warn {
        /// What was seen.
        seen: String,
        /// What to do about it.
        hint: String,
    },
    /// Against the specifications.
    Fail {
        /// What was seen.
        seen: String,
        /// What to do about it.
        hint: String,
    },
}

impl Verdict {
    /// As it should be: says what was seen.
    pub fn ok(seen: impl Into<String>) -> Self {
        Self::Ok(seen.into())
    }

    /// Allowed, but worth a look.
    pub fn warn(seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Warn {
            seen: seen.into(),
            hint: hint.into(),
        }
    }

    /// Wrong: says what was seen and what to do.
    pub fn fail(seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Fail {
            seen: seen.into(),
            hint: hint.into(),
        }
    }

    /// `ok`, `warn` or `fail`, as printed.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Warn { .. } => "warn",
            Self::Fail { .. } => "fail",
        }
    }

    /// The sentence that says what was seen.
    pub fn seen(&self) -> &str {
        match self {
            Self::Ok(seen) | Self::Warn { seen, .. } | Self::Fail { seen, .. } => seen,
        }
    }

    /// The advice, where there is any to give.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Ok(_) => None,
            Self::Warn { hint, .. } | Self::Fail { hint, .. } => Some(hint),
        }
    }
}

/// A question that can't be put any more, because an earlier one was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("needs {missing}")]
pub struct Unanswerable {
    /// What an earlier check would have had to find.
    pub missing: &'static str,
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

/// All that a walk found out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Answers, in the order of asking.
    pub findings: Vec<Finding>,
    /// Questions that could not be asked.
    pub not_asked: Vec<NotAsked>,
    /// Every HTTP exchange that took place, in order.
    pub exchanges: Vec<Exchange>,
}

impl Report {
    /// Whether nothing failed and every question could be asked.
    pub fn passed(&self) -> bool {
        self.not_asked.is_empty() && self.count("fail") == 0
    }

    /// How many findings are `word` (`ok`, `warn`, `fail`).
    pub fn count(&self, word: &str) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.verdict.word() == word)
            .count()
    }
}
