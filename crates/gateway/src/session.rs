//! Sessions of legacy clients: sealed tokens that any node can serve and none stores (TL-3, TL-10, SEC-66).

use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp::capability::ClientCapabilities;
use mcp::era::{Era, ProtocolVersion};
use model::clock::Timestamp;

use crate::caller::Caller;
use net::body::BoxError;

use crate::memory::{Memory, OpenStream};
use crate::revocation::{Revoke, Revoked};
use crate::seal::{Purpose, Seal};
pub(crate) use crate::session_id::Session;
use crate::session_id::SessionId;
pub use crate::session_id::SessionKey;

/// The first byte of a sealed session, so that its form can change.
const FORM: u8 = 2;
const PLAIN: usize = 1 + 8 + 1 + 2 + 32 + 16;

/// Makes sessions and recognizes them.
pub(crate) struct Sessions {
    seal: Arc<Seal>,
    lifetime: std::time::Duration,
    memory: Arc<Memory>,
    revocation: Revocation,
}

/// Sessions that ended, as all nodes know them.
pub(crate) struct Revocation {
    pub(crate) revoked: Revoked,
    pub(crate) revoke: Revoke,
}

/// What a session is revoked under: a name that no token has for its id. Looked up with each request, so nothing is allocated.
struct Name([u8; Self::PREFIX.len() + 22]);

impl Name {
    const PREFIX: &[u8; 8] = b"session:";

    fn of(SessionId(id): &SessionId) -> Self {
        let mut name = [0; Self::PREFIX.len() + 22];
        let (prefix, encoded) = name.split_at_mut(Self::PREFIX.len());
        prefix.copy_from_slice(Self::PREFIX);
        // 16 bytes are 22 letters.
        let _ = URL_SAFE_NO_PAD.encode_slice(id, encoded);
        Self(name)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sessions")
            .field("seal", &self.seal)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    pub(crate) fn new(
        seal: Arc<Seal>,
        lifetime: std::time::Duration,
        memory: Arc<Memory>,
        revocation: Revocation,
    ) -> Self {
        Self {
            seal,
            lifetime,
            memory,
            revocation,
        }
    }

    /// A new session id for a caller: visible ASCII, random, bound to who called (TL-3, TL-10). What the client declared stands
    /// in it, so that nobody has to keep that.
    pub(crate) fn begin(
        &self,
        caller: &Caller,
        version: ProtocolVersion,
        declared: ClientCapabilities,
        now: Timestamp,
    ) -> Option<String> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let mut plain = Vec::with_capacity(PLAIN);
        plain.push(FORM);
        plain.extend_from_slice(&(now + self.lifetime).millis().to_be_bytes());
        plain.push(version_byte(version));
        plain.extend_from_slice(&declared.bits().to_be_bytes());
        plain.extend_from_slice(&caller.fingerprint);
        plain.extend_from_slice(&id);
        self.seal.seal(Purpose::Session, &plain)
    }

    /// The session of an id, if we made it, for this caller, and it is neither over nor ended. All other ids look alike.
    pub(crate) fn find(&self, text: &[u8], caller: &Caller, now: Timestamp) -> Option<Session> {
        if text.len() > 200 {
            return None;
        }
        let plain = self.seal.open(Purpose::Session, text)?;
        let session = read(&plain, &caller.fingerprint)?;
        (!self.is_over(&session, now)).then_some(session)
    }

    /// Whether its time has come, or somebody ended it, here or at another node.
    pub(crate) fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        session.expires_at <= now
            || self.memory.has_ended(&session.id)
            || (self.revocation.revoked)(Name::of(&session.id).as_str())
    }

    /// Ends a session for good, and its stream with it: on this node at once, and everywhere when this returns well.
    pub(crate) async fn end(&self, session: &Session, now: Timestamp) -> Result<(), BoxError> {
        self.memory.end(session, now);
        let name = Name::of(&session.id).as_str().to_owned();
        (self.revocation.revoke)(name, session.expires_at).await
    }

    /// Opens the standalone stream of a session. A session has one: the one before it ends (TL-7).
    pub(crate) fn open_stream(&self, session: &Session) -> OpenStream {
        self.memory.open_stream(*session)
    }
}

fn read(plain: &[u8], fingerprint: &[u8; 32]) -> Option<Session> {
    let (form, rest) = plain.split_first()?;
    let (expires_at, rest) = rest.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first()?;
    let (declared, rest) = rest.split_first_chunk::<2>()?;
    let (owner, id) = rest.split_first_chunk::<32>()?;
    let session = Session {
        version: ProtocolVersion::ALL
            .into_iter()
            .find(|known| version_byte(*known) == *version)?,
        declared: ClientCapabilities::from_bits(u16::from_be_bytes(*declared)),
        id: SessionId(id.try_into().ok()?),
        expires_at: Timestamp::from_millis(i64::from_be_bytes(*expires_at)),
    };
    let ours = *form == FORM && owner == fingerprint && session.version.era() == Era::Session;
    ours.then_some(session)
}

fn version_byte(version: ProtocolVersion) -> u8 {
    match version {
        ProtocolVersion::V2024_11_05 => 0,
        ProtocolVersion::V2025_03_26 => 1,
        ProtocolVersion::V2025_06_18 => 2,
        ProtocolVersion::V2025_11_25 => 3,
        ProtocolVersion::V2026_07_28 => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::caller::testing::caller;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn sessions(keys: &[u8], gateway: &str) -> Sessions {
        let keys: Vec<SessionKey> = keys
            .iter()
            .map(|byte| SessionKey::new([*byte; 32]))
            .collect();
        let revocation = Revocation {
            revoked: Arc::new(|_| false),
            revoke: Arc::new(|_, _| Box::pin(async { Ok(()) })),
        };
        let seal = Arc::new(Seal::new(&keys, gateway));
        Sessions::new(seal, HOUR, Arc::default(), revocation)
    }

    fn begun(sessions: &Sessions, subject: &str) -> String {
        sessions
            .begin(
                &caller(subject),
                ProtocolVersion::V2025_06_18,
                ClientCapabilities::ROOTS,
                NOW,
            )
            .unwrap()
    }

    // TL-3
    #[test]
    fn an_id_is_visible_ascii_unique_and_knows_its_version() {
        let sessions = sessions(&[1], "demo");
        let (one, other) = (begun(&sessions, "alice"), begun(&sessions, "alice"));
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        let found = sessions
            .find(one.as_bytes(), &caller("alice"), NOW)
            .unwrap();
        assert_eq!(found.version, ProtocolVersion::V2025_06_18);
        assert_eq!(found.declared, ClientCapabilities::ROOTS);
    }

    // TL-10, SEC-66, BP-7
    #[test]
    fn the_session_of_somebody_else_is_unknown() {
        let sessions = sessions(&[1], "demo");
        let id = begun(&sessions, "alice");
        assert!(
            sessions
                .find(id.as_bytes(), &caller("mallory"), NOW)
                .is_none()
        );
    }

    #[test]
    fn an_id_of_another_gateway_or_another_key_is_unknown() {
        let id = begun(&sessions(&[1], "demo"), "alice");
        for other in [sessions(&[2], "demo"), sessions(&[1], "other")] {
            assert!(other.find(id.as_bytes(), &caller("alice"), NOW).is_none());
        }
    }

    #[test]
    fn an_id_sealed_with_the_previous_key_is_still_known() {
        let id = begun(&sessions(&[1], "demo"), "alice");
        assert!(
            sessions(&[2, 1], "demo")
                .find(id.as_bytes(), &caller("alice"), NOW)
                .is_some()
        );
    }

    #[test]
    fn a_session_is_revoked_under_a_name_of_its_own() {
        assert_eq!(
            Name::of(&SessionId([0xff; 16])).as_str(),
            "session:_____________________w"
        );
        assert_ne!(
            Name::of(&SessionId([1; 16])).as_str(),
            Name::of(&SessionId([2; 16])).as_str()
        );
    }

    // TL-3
    #[tokio::test]
    async fn sessions_that_ended_or_expired_are_unknown() {
        let sessions = sessions(&[1], "demo");
        let id = begun(&sessions, "alice");
        let found = |now| sessions.find(id.as_bytes(), &caller("alice"), now);
        assert!(found(NOW + HOUR).is_none());
        let session = found(NOW).unwrap();
        sessions.end(&session, NOW).await.unwrap();
        assert!(found(NOW).is_none());
    }

    #[test]
    fn a_changed_id_is_unknown() {
        let sessions = sessions(&[1], "demo");
        let id = begun(&sessions, "alice");
        for position in 0..id.len() {
            let mut changed = id.clone().into_bytes();
            changed[position] = if changed[position] == b'A' {
                b'B'
            } else {
                b'A'
            };
            let found = sessions.find(&changed, &caller("alice"), NOW);
            // The last character has bits that mean nothing; a strict decoder refuses those, too.
            assert!(found.is_none(), "{position}");
        }
        for text in ["", "x", "AAAA", &"A".repeat(5000)] {
            assert!(
                sessions
                    .find(text.as_bytes(), &caller("alice"), NOW)
                    .is_none()
            );
        }
    }
}
