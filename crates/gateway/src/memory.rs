//! What is remembered of clients of the session era, whichever configuration serves them: it outlives a reload.

use std::collections::HashMap;
use std::sync::Arc;

use mcp::meta::LogLevel;
use model::clock::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::asks::Asks;
use crate::flights::Flights;
use crate::parked::Parked;
use crate::resumable::Resumables;
use crate::session_id::{Session, SessionId};
use crate::subscribed::Subscribed;

/// How many ended sessions are remembered; beyond it, those that expire first are forgotten.
const REMEMBERED: usize = 100_000;

/// Sessions that ended, their open streams, and calls under way; for all gateways of a process.
#[derive(Debug, Default)]
pub struct Memory {
    ended: Mutex<HashMap<SessionId, Timestamp>>,
    streams: Mutex<HashMap<SessionId, CancellationToken>>,
    /// Of each session that chose one, the least level of log messages, and when the session is over.
    levels: Mutex<HashMap<SessionId, (LogLevel, Timestamp)>>,
    /// Of each session that has a stream open or is subscribed to a resource.
    subscribed: Mutex<HashMap<SessionId, Arc<Subscribed>>>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) asks: Arc<Asks>,
    pub(crate) parked: Arc<Parked>,
    pub(crate) resumables: Arc<Resumables>,
}

/// What clients of the session era have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Calls that have no answer yet.
    pub calls: usize,
    /// Standalone streams of sessions.
    pub streams: usize,
    /// What clients are being asked.
    pub asks: usize,
    /// Calls that wait for clients to come back.
    pub parked: usize,
    /// Sessions that want to hear of updates.
    pub subscribed: usize,
    /// Answers that are streams and can be taken up again.
    pub resumable: usize,
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
            asks: self.asks.open(),
            parked: self.parked.len(),
            subscribed: self.subscribed.lock().len(),
            resumable: self.resumables.len(),
        }
    }

    pub(crate) fn has_ended(&self, session: &SessionId) -> bool {
        self.ended.lock().contains_key(session)
    }

    /// Notes that a session ended, and ends its stream.
    pub(crate) fn end(&self, session: &Session, now: Timestamp) {
        self.resumables.end(&session.id);
        self.note_end(session, now);
        if let Some(stream) = self.streams.lock().remove(&session.id) {
            stream.cancel();
        }
    }

    /// The least level of the log messages that a session chose, if it chose one at this node.
    pub(crate) fn level(&self, session: &SessionId) -> Option<LogLevel> {
        let levels = self.levels.lock();
        levels.get(session).map(|(level, _)| *level)
    }

    /// Notes the level that a session chose. Where too many did, those that are over first are forgotten.
    pub(crate) fn set_level(&self, session: &Session, level: LogLevel, now: Timestamp) {
        let mut levels = self.levels.lock();
        make_room(&mut levels, now, |(_, expires_at)| *expires_at);
        levels.insert(session.id, (level, session.expires_at));
    }

    /// What a session is subscribed to. Sessions that are over are looked for now and then.
    pub(crate) fn subscribed(&self, session: &Session, now: Timestamp) -> Arc<Subscribed> {
        let mut subscribed = self.subscribed.lock();
        if let Some(known) = subscribed.get(&session.id) {
            return Arc::clone(known);
        }
        if subscribed.len().is_power_of_two() {
            subscribed.retain(|_, one| one.expires_at.is_none_or(|at| at > now));
        }
        let new = Arc::new(Subscribed::until(session.expires_at));
        subscribed.insert(session.id, Arc::clone(&new));
        new
    }

    /// Forgets it where it is subscribed to nothing and has no stream.
    pub(crate) fn forget_if_unused(&self, session: &Session) {
        let has_stream = self.streams.lock().contains_key(&session.id);
        let mut subscribed = self.subscribed.lock();
        let is_unused = |one: &Arc<Subscribed>| !has_stream && one.is_empty();
        if subscribed.get(&session.id).is_some_and(is_unused) {
            subscribed.remove(&session.id);
        }
    }

    fn note_end(&self, session: &Session, now: Timestamp) {
        self.levels.lock().remove(&session.id);
        let subscribed = self.subscribed.lock().remove(&session.id);
        drop(subscribed);
        let mut ended = self.ended.lock();
        make_room(&mut ended, now, |expires_at| *expires_at);
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

/// Forgets what is over where there is too much, and some of what is over first if that is not enough: not one at a time, which
/// would cost as much each time.
fn make_room<T>(
    remembered: &mut HashMap<SessionId, T>,
    now: Timestamp,
    expires_at: impl Fn(&T) -> Timestamp,
) {
    if remembered.len() < REMEMBERED {
        return;
    }
    remembered.retain(|_, one| expires_at(one) > now);
    if remembered.len() < REMEMBERED {
        return;
    }
    let mut expiries: Vec<Timestamp> = remembered.values().map(&expires_at).collect();
    let some = expiries.len() / 16;
    let (_, last_to_go, _) = expiries.select_nth_unstable(some);
    let last_to_go = *last_to_go;
    remembered.retain(|_, one| expires_at(one) > last_to_go);
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
        // Whoever ended it has taken it out already.
        if !self.over.is_cancelled() {
            self.memory.streams.lock().remove(&self.session.id);
        }
        self.memory.forget_if_unused(&self.session);
    }
}
