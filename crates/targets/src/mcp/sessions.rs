//! The sessions with a server of the session era: one per asker, made when first needed, never shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::mcp::era::ProtocolVersion;
use arc_swap::ArcSwapOption;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::agreement::Agreement;
use super::ended::Ended;
use super::handshake::{Handshake, shake_hands};
use super::link::Link;
use super::session::{self, Session};
use crate::error::CallError;
use crate::outward::Asker;

/// How many sessions are ended at the same time.
const FAREWELLS: usize = 16;

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

/// A session, and whether it was made just now.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) session: Session,
    pub(super) is_new: bool,
}

#[derive(Debug, Default)]
struct Slot {
    session: ArcSwapOption<session::Inner>,
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

    /// Ends the session of such a slot, without waiting for it.
    fn end_in_background(self: Arc<Self>, link: &Arc<Link>) {
        let (on, patience) = (Arc::clone(link), link.settings.timeouts.total);
        link.tracker.spawn(async move {
            if let Some(session) = self.once_unused(patience).await {
                on.end(&session).await;
            }
        });
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
    pub(super) fn keep(&self, session: &Session) -> Option<Session> {
        session.id()?;
        let (slot, _in_use, _) = self.slot(session.asker(), usize::MAX);
        let replaced = slot.session.swap(Some(Arc::clone(session.inner())));
        replaced.map(Session::of)
    }

    /// The server does not know this session any more: the next request makes another.
    pub(super) fn forget(&self, session: &Session) {
        let slot = self.slots.lock().get(session.asker()).cloned();
        let Some(slot) = slot else { return };
        if slot
            .session
            .load()
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, session.inner()))
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

    /// Ends the session of this asker, once nobody uses it.
    pub(super) fn end_of(&self, link: &Arc<Link>, asker: &Asker) {
        let slot = self.slots.lock().remove(asker);
        if let Some(slot) = slot {
            slot.end_in_background(link);
        }
    }

    fn take_all(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().drain().map(|(_, slot)| slot).collect()
    }

    /// The session of an asker, if it has one already.
    pub(super) fn known(&self, asker: &Asker) -> Option<Session> {
        self.slots.lock().get(asker)?.session()
    }

    /// The session of an asker, made now if there is none (UC-8).
    pub(super) async fn get(
        &self,
        link: &Arc<Link>,
        asker: &Asker,
        agreement: &Agreement,
    ) -> Result<Got, CallError> {
        if !agreement.has_sessions {
            let session = Session::new(asker.clone(), agreement.version, None);
            return Ok(Got {
                session,
                is_new: false,
            });
        }
        let (slot, in_use, evicted) = self.slot(asker, link.settings.limits.sessions);
        if let Some(evicted) = evicted {
            evicted.end_in_background(link);
        }
        let (session, is_new) = match slot.session() {
            Some(session) => (session, false),
            None => (Box::pin(make(link, asker, &slot)).await?, true),
        };
        Ok(Got {
            session: session.used(in_use),
            is_new,
        })
    }

    /// Ends sessions that nobody used for long, again and again.
    pub(super) async fn sweep(&self, link: &Link) {
        let limit = link.settings.timeouts.session_idle;
        loop {
            tokio::time::sleep(limit / 4).await;
            end(link, self.take_idle(limit)).await;
        }
    }

    /// Ends the sessions: those that nobody uses at once, the others when the calls in them are
    /// over. No call outlasts its total timeout.
    pub(super) async fn end_all(&self, link: &Link) {
        end(link, self.take_all()).await;
    }
}

async fn make(link: &Link, asker: &Asker, slot: &Slot) -> Result<Session, CallError> {
    let began = Instant::now();
    let mut making = slot.making.lock().await;
    if let Some(session) = slot.session() {
        return Ok(session);
    }
    if let Some(failure) = Ended::failure_since(making.as_ref(), began) {
        return Err(failure);
    }
    let made = match shake_hands(link, asker, ProtocolVersion::LATEST_SESSION).await {
        Ok(Handshake::Session(_, session)) => Ok(session),
        // It does not speak the session era any more: who asked finds out what it speaks.
        Ok(Handshake::Modern(agreement)) => Err(CallError::NoCommonVersion {
            supported: vec![agreement.version.as_str().into()],
        }),
        Err(error) => Err(error),
    };
    *making = Some(Ended::now(&made));
    let session = made?;
    slot.session.store(Some(Arc::clone(session.inner())));
    Ok(session)
}

async fn end(link: &Link, slots: Vec<Arc<Slot>>) {
    let patience = link.settings.timeouts.total;
    let unused: FuturesUnordered<_> = slots
        .iter()
        .map(|slot| slot.once_unused(patience))
        .collect();
    unused
        .for_each_concurrent(FAREWELLS, |session| async move {
            if let Some(session) = session {
                link.end(&session).await;
            }
        })
        .await;
}
