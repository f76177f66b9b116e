//! Resource policies of a gateway, in AWS's JSON form: what they are and what they decide.
//!
//! The subset is that of a gateway with a token authorizer: `Principal` is everybody, the action
//! is to use the gateway, and conditions look at where a request comes from. Anything else is
//! refused by [`ResourcePolicy::parse`] rather than ignored: a condition that is silently not
//! checked would be a hole.
//!
//! Evaluation is AWS's: an explicit deny first, then any allow, otherwise denied.

pub mod condition;
pub mod fault;
mod json;
mod parse;
mod statement;
#[cfg(test)]
mod tests;

use self::fault::Faults;
pub use self::statement::ResourcePolicy;
use self::statement::{Effect, Statement};
use crate::facts::CallerFacts;
use crate::permitted::StatementId;

/// What a resource policy says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No statement denies it, and this one allows it.
    Allowed(StatementId),
    /// This statement denies it, whatever others say.
    Denied(StatementId),
    /// No statement speaks of it, which means no.
    NothingApplies,
}

impl ResourcePolicy {
    /// Parses a policy from JSON text.
    ///
    /// # Errors
    /// All faults of the document at once, each with its place and what would be right.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        parse::from_text(text)
    }

    /// Takes a policy from JSON (or YAML) that was already parsed. Prefer [`Self::parse`] where
    /// the text is at hand: only that sees a name written twice.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_value(value: &serde_json::Value) -> Result<Self, Faults> {
        parse::from_value(value)
    }

    /// Evaluates the policy for a request from these surroundings.
    pub fn evaluate(&self, caller: &CallerFacts<'_>) -> Verdict {
        let mut allowed = None;
        for (index, statement) in self.statements.iter().enumerate() {
            let decided = statement.effect == Effect::Allow && allowed.is_some();
            if decided
                || !statement
                    .conditions
                    .iter()
                    .all(|condition| condition.holds(caller))
            {
                continue;
            }
            match statement.effect {
                Effect::Deny => return Verdict::Denied(statement.id(index)),
                Effect::Allow => allowed = Some((index, statement)),
            }
        }
        allowed.map_or(Verdict::NothingApplies, |(index, statement)| {
            Verdict::Allowed(statement.id(index))
        })
    }
}

impl Statement {
    fn id(&self, index: usize) -> StatementId {
        StatementId {
            index,
            sid: self.sid.clone(),
        }
    }
}
