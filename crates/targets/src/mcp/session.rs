//! Sessions with a server of the session era: one per caller, made when first needed, never shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::mcp::era::ProtocolVersion;
use arc_swap::ArcSwapOption;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::agreement::{Agreement, Handshake};
use super::wire::{Head, Wire};
use super::{Ended, McpTarget};
use crate::error::CallError;
use crate::outward::Asker;

/// How long a server is given to take note of a session's end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How many sessions are ended at the same time.
const FAREWELLS: usize = 16;

/// What must be said with every request of a session. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Session {
    inner: Arc<Inner>,
    /// Whoever was given it to use it; it is not ended under their hands.
    _in_use: Option<TaskTrackerToken>,
}

#[derive(Debug)]
struct Inner {
    asker: Asker,
    version: ProtocolVersion,
    id: Option<HeaderValue>,
}

impl Session {
    pub(super) fn new(asker: Asker, version: ProtocolVersion, id: Option<HeaderValue>) -> Self {
        Self::of(Arc::new(Inner { asker, version, id }))
    }

    const fn of(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            _in_use: None,
        }
    }

    /// Whose it is.
    pub(super) fn asker(&self) -> &Asker {
        &self.inner.asker
    }

    pub(super) fn version(&self) -> ProtocolVersion {
        self.inner.version
    }

    /// `None` if the server does without.
    pub(super) fn id(&self) -> Option<&HeaderValue> {
        self.inner.id.as_ref()
    }
}

/// The sessions with one server.
#[derive(Debug)]
pub(super) struct Sessions {
    slots: Mutex<HashMap<Asker, Arc<Slot>>>,
    began: Instant,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            began: Instant::now(),
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    session: ArcSwapOption<Inner>,
    /// One handshake at a time, and how the last one ended.
    making: tokio::sync::Mutex<Option<Ended>>,
    /// Milliseconds since `Sessions::began`.
    used: AtomicU64,
    /// A token for everybody who uses the session or waits for it.
    users: TaskTracker,
}

impl Slot {
    fn session(&self) -> Option<Session> {
        self.session.load_full().map(Session::of)
    }

    /// The session of a slot that nobody finds any more, once those who use it are done, or after
    /// `patience`: who ends it earlier takes the answers away from calls under way.
    async fn once_unused(&self, patience: Duration) -> Option<Session> {
        self.users.close();
        let _ = tokio::time::timeout(patience, self.users.wait()).await;
        self.session()
    }
}

impl Sessions {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The slot of an owner who is going to use it, and one that had to make room for it.
    fn slot(
        &self,
        owner: &Asker,
        limit: usize,
    ) -> (Arc<Slot>, TaskTrackerToken, Option<Arc<Slot>>) {
        let now = self.now();
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(owner) {
            slot.used.store(now, Ordering::Relaxed);
            return (Arc::clone(slot), slot.users.token(), None);
        }
        let mut evicted = None;
        if slots.len() >= limit {
            let oldest = slots
                .iter()
                .min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed))
                .map(|(owner, _)| owner.clone());
            evicted = oldest.and_then(|oldest| slots.remove(&oldest));
        }
        let slot = Arc::<Slot>::default();
        slot.used.store(now, Ordering::Relaxed);
        slots.insert(owner.clone(), Arc::clone(&slot));
        let in_use = slot.users.token();
        (slot, in_use, evicted)
    }

    /// Remembers a session that was made already; returns the one it replaces.
    pub(super) fn keep(&self, session: Session) -> Option<Session> {
        session.id()?;
        let (slot, _in_use, _) = self.slot(session.asker(), usize::MAX);
        slot.session.swap(Some(session.inner)).map(Session::of)
    }

    /// The server does not know this session any more: the next request makes another.
    pub(super) fn forget(&self, session: &Session) {
        let slot = self.slots.lock().get(session.asker()).cloned();
        let Some(slot) = slot else { return };
        if slot
            .session
            .load()
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &session.inner))
        {
            slot.session.store(None);
        }
    }

    pub(super) fn forget_all(&self) {
        self.slots.lock().clear();
    }

    fn take_idle(&self, limit: Duration) -> Vec<Arc<Slot>> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let oldest = self.now().saturating_sub(limit);
        let mut idle = Vec::new();
        self.slots.lock().retain(|_, slot| {
            let used = !slot.users.is_empty() || slot.used.load(Ordering::Relaxed) >= oldest;
            if !used {
                idle.push(Arc::clone(slot));
            }
            used
        });
        idle
    }

    fn take_all(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().drain().map(|(_, slot)| slot).collect()
    }
}

impl McpTarget {
    /// The session of an owner, made now if there is none (UC-8).
    pub(super) async fn session(
        &self,
        asker: &Asker,
        agreement: &Agreement,
    ) -> Result<Session, CallError> {
        if !agreement.has_sessions {
            return Ok(Session::new(asker.clone(), agreement.version, None));
        }
        let (slot, in_use, evicted) = self.sessions.slot(asker, self.settings.limits.sessions);
        if let Some(evicted) = evicted {
            let (wire, patience) = (self.wire.clone(), self.settings.timeouts.total);
            self.tracker.spawn(async move {
                if let Some(session) = evicted.once_unused(patience).await {
                    farewell(&wire, &session).await;
                }
            });
        }
        let session = match slot.session() {
            Some(session) => session,
            None => Box::pin(self.make_session(asker, &slot)).await?,
        };
        Ok(Session {
            _in_use: Some(in_use),
            ..session
        })
    }

    async fn make_session(&self, asker: &Asker, slot: &Slot) -> Result<Session, CallError> {
        let began = Instant::now();
        let mut making = slot.making.lock().await;
        if let Some(session) = slot.session() {
            return Ok(session);
        }
        if let Some(failure) = Ended::failure_since(making.as_ref(), began) {
            return Err(failure);
        }
        let made = match self
            .initialize(asker, ProtocolVersion::LATEST_SESSION)
            .await
        {
            Ok(Handshake::Session(_, session)) => Ok(session),
            // It does not speak the session era any more: who asked finds out what it speaks.
            Ok(Handshake::Modern(agreement)) => Err(CallError::NoCommonVersion {
                supported: vec![agreement.version.as_str().into()],
            }),
            Err(error) => Err(error),
        };
        *making = Some(Ended::now(&made));
        let session = made?;
        slot.session.store(Some(Arc::clone(&session.inner)));
        Ok(session)
    }

    /// Ends sessions that nobody used for long, again and again.
    pub(super) async fn sweep_sessions(&self) {
        let limit = self.settings.timeouts.session_idle;
        loop {
            tokio::time::sleep(limit / 4).await;
            self.end(self.sessions.take_idle(limit)).await;
        }
    }

    /// Ends the sessions: those that nobody uses at once, the others when the calls in them are
    /// over. No call outlasts its total timeout.
    pub(super) async fn end_all_sessions(&self) {
        self.end(self.sessions.take_all()).await;
    }

    pub(super) fn end_in_background(&self, session: Session) {
        let wire = self.wire.clone();
        self.tracker
            .spawn(async move { farewell(&wire, &session).await });
    }

    async fn end(&self, slots: Vec<Arc<Slot>>) {
        let patience = self.settings.timeouts.total;
        let unused: FuturesUnordered<_> = slots
            .iter()
            .map(|slot| slot.once_unused(patience))
            .collect();
        unused
            .for_each_concurrent(FAREWELLS, |session| async move {
                if let Some(session) = session {
                    farewell(&self.wire, &session).await;
                }
            })
            .await;
    }
}

async fn farewell(wire: &Wire, session: &Session) {
    if session.id().is_some() {
        let head = Head::in_session(session);
        let _ = tokio::time::timeout(FAREWELL, wire.delete(head, FAREWELL)).await;
    }
}
