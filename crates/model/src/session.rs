//! A login session: the browser proved who its user is (SEC-55).

use crate::clock::Timestamp;
use crate::id::Id;
use crate::lifetimes::Lifetimes;
use crate::realm_name::RealmName;
use crate::user::User;

/// The session behind a cookie. The cookie holds a random token of which only the hash is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `sid` in tokens; not the secret of the cookie.
    pub id: Id<Self>,
    /// The realm it belongs to.
    pub realm: RealmName,
    /// Who logged in.
    pub user: Id<User>,
    /// When they last proved it; `auth_time` in tokens.
    pub auth_time: Timestamp,
    /// When the session began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was not used for too long.
    #[error("the session was idle for too long")]
    Idle,
    /// It lasted too long.
    #[error("the session reached its end")]
    Absolute,
}

impl Session {
    /// A session that begins now, with a login.
    pub const fn begin(id: Id<Self>, realm: RealmName, user: Id<User>, now: Timestamp) -> Self {
        Self {
            id,
            realm,
            user,
            auth_time: now,
            created_at: now,
            last_seen_at: now,
        }
    }

    /// Whether it still holds.
    pub fn check(&self, lifetimes: &Lifetimes, now: Timestamp) -> Result<(), Ended> {
        if now >= self.created_at + lifetimes.session_absolute {
            Err(Ended::Absolute)
        } else if now >= self.last_seen_at + lifetimes.session_idle {
            Err(Ended::Idle)
        } else {
            Ok(())
        }
    }

    /// When it ends if it is not used again.
    pub fn expires_at(&self, lifetimes: &Lifetimes) -> Timestamp {
        (self.last_seen_at + lifetimes.session_idle)
            .min(self.created_at + lifetimes.session_absolute)
    }

    /// Whether its use should be written down: often enough to keep it alive, not with every request.
    pub fn needs_touch(&self, lifetimes: &Lifetimes, now: Timestamp) -> bool {
        now.since(self.last_seen_at) > lifetimes.session_idle / 10
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // SEC-55
    #[test]
    fn a_session_ends_by_idleness_and_by_age() {
        let lifetimes = Lifetimes::default();
        let start = Timestamp::from_seconds(1_000_000);
        let mut session = Session::begin(
            Id::from_bytes([1; 16]),
            "a".parse().unwrap(),
            Id::from_bytes([2; 16]),
            start,
        );
        let idle = start + lifetimes.session_idle;
        assert_eq!(
            session.check(&lifetimes, idle - Duration::from_millis(1)),
            Ok(())
        );
        assert_eq!(session.check(&lifetimes, idle), Err(Ended::Idle));
        let end = start + lifetimes.session_absolute;
        session.last_seen_at = end - Duration::from_millis(1);
        assert_eq!(session.check(&lifetimes, session.last_seen_at), Ok(()));
        assert_eq!(session.check(&lifetimes, end), Err(Ended::Absolute));
        assert_eq!(session.expires_at(&lifetimes), end);
    }

    #[test]
    fn not_every_request_is_written_down() {
        let lifetimes = Lifetimes::default();
        let start = Timestamp::from_seconds(0);
        let session = Session::begin(
            Id::from_bytes([1; 16]),
            "a".parse().unwrap(),
            Id::from_bytes([2; 16]),
            start,
        );
        assert!(!session.needs_touch(&lifetimes, start + Duration::from_mins(3)));
        assert!(session.needs_touch(&lifetimes, start + Duration::from_secs(181)));
    }
}
