//! What a check may find, and why it may find nothing.

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As the specifications want it.
    Ok(String),
    /// The deployment has not what the question is about, and need not have it.
    Inapplicable(String),
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

    /// Nothing to judge: says why.
    pub fn inapplicable(why: impl Into<String>) -> Self {
        Self::Inapplicable(why.into())
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

    /// `ok`, `n/a`, `warn` or `fail`, as printed.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Inapplicable(_) => "n/a",
            Self::Warn { .. } => "warn",
            Self::Fail { .. } => "fail",
        }
    }

    /// The sentence that says what was seen.
    pub fn seen(&self) -> &str {
        match self {
            Self::Ok(seen)
            | Self::Inapplicable(seen)
            | Self::Warn { seen, .. }
            | Self::Fail { seen, .. } => seen,
        }
    }

    /// The advice, where there is any to give.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Ok(_) | Self::Inapplicable(_) => None,
            Self::Warn { hint, .. } | Self::Fail { hint, .. } => Some(hint),
        }
    }
}

/// Why a question was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// An earlier check would have had to find this.
    #[error("needs {0}")]
    Missing(&'static str),
    /// The deployment has not what the question is about, and need not have it.
    #[error("{0}")]
    Inapplicable(&'static str),
}
