//! Refresh rotation: strict, and safe against lost answers. One family per grant; each refresh moves it on.
//!
//! A family has a position: a generation and, within it, a branch. A token names its family and a position. What
//! happens to a token depends on where the family stands:
//!
//! 1. The current position: the family moves to the next generation, and the token of that is the successor. All who
//!    race with one token compute the same successor.
//! 2. The previous position, within the grace: the same successor again.
//! 3. The previous position, after the grace: as the family still stands right behind it, the successor was never
//!    presented; its answer was lost. A new branch replaces it.
//! 4. Anything else was used before: the family is revoked (SEC-48).
//!
//! One exception: a genuine token ahead of the family. Positions only grow, and a token is only made for a position that
//! the family takes: so the database lost what it knew, because a backup was restored, or a write before a failover. The
//! family follows the token instead of being revoked (SEC-48). Who kept a token that was used before that loss gains what
//! any thief gains: the family follows one holder, and at the third change of hands at the latest the other is found out.
//!
//! What remains: a thief who replays every token within the grace shadows its owner unseen. Short graces and
//! sender-constrained tokens are the remedies.

mod family;
mod token;

use oauth::client_id::ClientId;

use crate::clock::Timestamp;
use crate::lifetimes::Lifetimes;

pub use family::{Family, Position};
pub use token::{BadToken, Presented, TokenKey, UnverifiedToken};

/// Which of the rules let a refresh pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Rule 1: the current token.
    Rotate,
    /// Rule 2: the previous token, within the grace. Nothing changes.
    Repeat,
    /// Rule 3: the previous token, after the grace.
    Branch,
    /// A token ahead of the family: the database was set back.
    FastForward,
}

/// A refresh that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Why it passes.
    pub rule: Rule,
    /// Where the family stands afterwards; the token of this position is the answer.
    pub to: Position,
    /// The position that is acceptable as the previous one afterwards.
    pub previous: Position,
}

/// A refresh that does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token belongs to somebody else. Nothing may change (SEC-49).
    #[error("the refresh token was issued to another client")]
    OtherClient,
    /// The family was revoked.
    #[error("the refresh token has been revoked")]
    Revoked,
    /// The family was not used for too long, or is too old (SEC-45).
    #[error("the refresh token has expired")]
    Expired,
    /// The token was used before: rule 4. The family is to be revoked (SEC-48).
    #[error("the refresh token was used before")]
    Reused,
}

/// Decides about a refresh token that is genuine.
pub fn decide(
    family: &Family,
    presented: &Presented,
    client_id: &ClientId,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> Result<Advance, Refusal> {
    if family.granted.terms.client_id != *client_id || family.id != presented.family() {
        return Err(Refusal::OtherClient);
    }
    if family.revoked_at.is_some() {
        return Err(Refusal::Revoked);
    }
    if !family.granted.may_refresh
        || now >= family.absolute_expires_at
        || now >= family.idle_expires_at
    {
        return Err(Refusal::Expired);
    }
    let (current, token) = (family.position, presented.position());
    let rotate = |rule| Advance {
        rule,
        to: Position {
            generation: token.generation.saturating_add(1),
            branch: 0,
        },
        previous: token,
    };
    if token == current {
        return Ok(rotate(Rule::Rotate));
    }
    if family.previous == Some(token) {
        let in_grace = now < family.rotated_at + lifetimes.refresh_grace;
        let to = Position {
            branch: current.branch.saturating_add(u32::from(!in_grace)),
            ..current
        };
        return Ok(Advance {
            rule: if in_grace { Rule::Repeat } else { Rule::Branch },
            to,
            previous: token,
        });
    }
    if token > current {
        return Ok(rotate(Rule::FastForward));
    }
    Err(Refusal::Reused)
}

/// The family after a refresh that passed.
pub fn advance(family: Family, advance: &Advance, lifetimes: &Lifetimes, now: Timestamp) -> Family {
    match advance.rule {
        Rule::Repeat => family,
        Rule::Rotate | Rule::Branch | Rule::FastForward => Family {
            position: advance.to,
            previous: Some(advance.previous),
            rotated_at: now,
            idle_expires_at: now + lifetimes.refresh_idle,
            ..family
        },
    }
}

#[cfg(test)]
mod tests;
