//! What is remembered of clients of the session era, whichever configuration serves them: it outlives a reload.

use std::collections::HashMap;
use std::sync::Arc;

use model::clock::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::flights::Flights;
use crate::session_id::{Session, SessionId};

/// How many ended sessions are remembered; beyond it, those that expire first are forgotten.
const REMEMBERED: usize = 100_000;

/// Sessions that ended, their open streams, and calls under way; for all gateways of a process.
#[derive(Debug, Default)]
pub struct Memory {
    ended: Mutex<HashMap<SessionId, Timestamp>>,
    streams: Mutex<HashMap<SessionId, CancellationToken>>,
    pub(crate) flights: Arc<Flights>,
}

/// What clients of the session era have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Calls that have no answer yet.
    pub calls: usize,
    /// Standalone streams of sessions.
    pub streams: usize,
}

/// A session's standalone stream, as long as it is open.
pub(crate) struct OpenStream {
    memory: Arc<Memory>,
    session: Session,
    /// Becomes cancelled when the session ends or has another stream.
    over: CancellationToken,
}

impl Memory {
    /// What clients have open now; nothing of it outlasts its request.
    pub fn open(&self) -> Open {
        Open {
            calls: self.flights.under_way(),
            streams: self.streams.lock().len(),
        }
    }

    pub(crate) fn has_ended(&self, session: &SessionId) -> bool {
        self.ended.lock().contains_key(session)
    }

    /// Notes that a session ended, and ends its stream.
    pub(crate) fn end(&self, session: &Session, now: Timestamp) {
        self.note_end(session, now);
        if let Some(stream) = self.streams.lock().remove(&session.id) {
            stream.cancel();
        }
    }

    fn note_end(&self, session: &Session, now: Timestamp) {
        let mut ended = self.ended.lock();
        if ended.len() >= REMEMBERED {
            ended.retain(|_, expires_at| *expires_at > now);
        }
        if ended.len() >= REMEMBERED
            && let Some(first) = ended
                .iter()
                .min_by_key(|(_, expiry)| **expiry)
                .map(|(id, _)| *id)
        {
            ended.remove(&first);
        }
        ended.insert(session.id, session.expires_at);
    }

    /// Opens the stream of a session, and ends the one that it had.
    pub(crate) fn open_stream(self: &Arc<Self>, session: Session) -> OpenStream {
        let over = CancellationToken::new();
        {
            let mut streams = self.streams.lock();
            // Before the lock is given back: a stream that ends now must not take its successor out.
            if let Some(before) = streams.insert(session.id, over.clone()) {
                before.cancel();
            }
        }
        // It may have ended since somebody asked.
        if self.has_ended(&session.id) {
            over.cancel();
        }
        OpenStream {
            memory: Arc::clone(self),
            session,
            over,
        }
    }
}

impl OpenStream {
    /// Waits until the session ends or has another stream.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// The session that it belongs to.
    pub(crate) const fn session(&self) -> &Session {
        &self.session
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.memory.streams.lock();
        // Whoever ended it has taken it out already.
        if !self.over.is_cancelled() {
            streams.remove(&self.session.id);
        }
    }
}
