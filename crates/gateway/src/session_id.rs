//! Sessions of legacy clients by their ids, and what seals these.

use aws_lc_rs::rand;
use mcp::capability::ClientCapabilities;
use mcp::era::ProtocolVersion;
use model::clock::Timestamp;
use model::secret::Secret;

/// What seals session ids. Nodes that share it serve each other's sessions.
#[derive(Clone, Debug)]
pub struct SessionKey(pub(crate) Secret<[u8; 32]>);

impl SessionKey {
    /// From 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// A key that nobody else has: sessions end with the process.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).ok()?;
        Some(Self::new(bytes))
    }
}

/// The random id of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) [u8; 16]);

/// A session that was recognized as the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) version: ProtocolVersion,
    /// What its client can be asked in the middle of a call.
    pub(crate) declared: ClientCapabilities,
    pub(crate) id: SessionId,
    pub(crate) expires_at: Timestamp,
}
