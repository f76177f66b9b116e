//! The proof that the policies allowed something; only this crate can make one.

use std::sync::Arc;

/// A thing that the policies allowed.
///
/// The fields are private and there is no public constructor, so that a function which demands a
/// `Permitted<Call>` can only be reached through [`crate::decide::Policies::decide`]. The
/// value inside can be read, but not exchanged: what was decided about is what is carried out, and
/// [`Permitted::into_inner`] spends the permission. It is not `Clone`: one decision, one call.
///
/// ```compile_fail,E0451
/// use policy::permitted::{DecidedBy, Permitted};
/// let forged = Permitted { inner: "a call", decided_by: DecidedBy::NoPolicy };
/// ```
///
/// ```compile_fail,E0624
/// use policy::permitted::{DecidedBy, Permitted};
/// let forged = Permitted::new("a call", DecidedBy::NoPolicy);
/// ```
#[derive(Debug)]
pub struct Permitted<T> {
    inner: T,
    decided_by: DecidedBy,
}

impl<T> Permitted<T> {
    pub(crate) const fn new(inner: T, decided_by: DecidedBy) -> Self {
        Self { inner, decided_by }
    }

    /// What was allowed.
    pub const fn get(&self) -> &T {
        &self.inner
    }

    /// What was allowed, and the permission is spent.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Why it was allowed; for the record of the call.
    pub const fn decided_by(&self) -> &DecidedBy {
        &self.decided_by
    }
}

/// Which rule allowed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedBy {
    /// No policy is configured, so everything that got this far is allowed.
    NoPolicy,
    /// The first statement of the resource policy that allows it.
    Statement(StatementId),
}

/// A statement of a resource policy: its position, and its `Sid` if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementId {
    /// Position in `Statement`, from 0.
    pub index: usize,
    /// The statement's `Sid`.
    pub sid: Option<Arc<str>>,
}

impl std::fmt::Display for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.sid {
            Some(sid) => write!(f, "statement `{sid}`"),
            None => write!(f, "statement {}", self.index),
        }
    }
}
