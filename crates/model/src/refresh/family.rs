//! What came of one code.

use crate::clock::Timestamp;
use crate::granted::Granted;
use crate::id::Id;
use crate::lifetimes::Lifetimes;
use crate::secret::Secret;

/// Where a family stands, or what a token names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// How often the family was rotated.
    pub generation: u32,
    /// How often the successor of the previous generation was replaced.
    pub branch: u32,
}

/// Everything that came of one code: its refresh tokens, and by the prefix of their `jti` its access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name; the first part of the `jti` of its access tokens.
    pub id: Id<Self>,
    /// What was granted. Whether it is refreshed at all is among that.
    pub granted: Granted,
    /// Where it stands: the token of this position was handed out last.
    pub position: Position,
    /// Which position it came from; `None` before the first rotation.
    pub previous: Option<Position>,
    /// When it came to its position.
    pub rotated_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends unless it is used.
    pub idle_expires_at: Timestamp,
    /// When it ends.
    pub absolute_expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Goes into the tokens, so that whoever steals the server's key alone forges none.
    pub secret: Secret<[u8; 16]>,
}

impl Family {
    /// When nothing of the family can be alive any more, access tokens included.
    pub fn gone_at(&self, lifetimes: &Lifetimes) -> Timestamp {
        self.idle_expires_at.min(self.absolute_expires_at) + lifetimes.access_token
    }
}
