//! Answers to clients of the session era that are streams: whoever lost the connection gets the rest by naming the last event
//! that came (TL-6). They are kept at one node, within bounds, and for a moment.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::Stream;
use mcp::sse;
use parking_lot::Mutex;
use policy::call::Principal;
use tokio_util::sync::CancellationToken;

use crate::detach::{self, Background};
use crate::quota::Place;
use crate::session_id::SessionId;

/// Bytes of events that are kept for who may have missed them. One alone may be larger.
const KEPT: usize = 256 * 1024;
/// How long the rest of an answer is kept after its end for somebody who is gone.
const KEPT_FOR: Duration = Duration::from_mins(1);
/// Streams of one session that are kept; the oldest makes room.
const OF_SESSION: usize = 64;
/// How long clients are to wait before they come back, in milliseconds.
const RETRY: u32 = 1_000;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>;

/// All of them, by their sessions.
#[derive(Debug, Default)]
pub(crate) struct Resumables {
    of: Mutex<HashMap<SessionId, VecDeque<Arc<Kept>>>>,
}

/// Whose a stream is: nobody else hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The gateway's name.
    pub(crate) gateway: Arc<str>,
    pub(crate) principal: Principal,
    pub(crate) session: SessionId,
}

/// Where a stream goes on that nobody reads, until when at most.
#[derive(Clone, Debug)]
pub(crate) struct Carrying {
    pub(crate) all: Arc<Resumables>,
    pub(crate) background: Arc<Background>,
    pub(crate) stop: CancellationToken,
}

/// One stream.
struct Kept {
    id: Box<str>,
    owner: Owner,
    carrying: Carrying,
    state: Mutex<State>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// It is advanced by whoever reads it, or in the background while nobody does: the lock is held for a step of it and no longer.
#[derive(Default)]
struct State {
    /// `None` after its end.
    stream: Option<Pieces>,
    events: VecDeque<Bytes>,
    /// The number of the first of these. The event that primes a stream is number 0.
    first: u64,
    bytes: usize,
    /// The number of the one that is to be read next.
    next: u64,
    /// Counts those who came to read and those who left: only the last one to come does, until he leaves.
    turn: u64,
    /// Of who advances it.
    waker: Option<Waker>,
    /// Nobody can come back to it.
    is_abandoned: bool,
}

impl State {
    /// Takes the next event of the stream; one without data is not kept. `None` at its end.
    fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<Option<Advanced>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        match stream.as_mut().poll_next(cx) {
            Poll::Pending => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Poll::Ready(Some(Ok(event))) if event == sse::KEEP_ALIVE => {
                Poll::Ready(Some(Advanced::Nothing))
            }
            Poll::Ready(Some(Ok(event))) => {
                self.bytes += event.len();
                self.events.push_back(event);
                while self.bytes > KEPT && self.events.len() > 1 {
                    let gone = self.events.pop_front();
                    self.bytes -= gone.map_or(0, |gone| gone.len());
                    self.first += 1;
                }
                Poll::Ready(Some(Advanced::Event))
            }
            Poll::Ready(None) => {
                self.stream = None;
                Poll::Ready(None)
            }
        }
    }

    /// Somebody comes or leaves: who had his turn notices.
    fn begin_turn(&mut self) -> u64 {
        self.turn += 1;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.turn
    }

    fn end(&self) -> u64 {
        self.first + u64::try_from(self.events.len()).unwrap_or(0)
    }

    fn is_done(&self) -> bool {
        self.stream.is_none() && self.next >= self.end()
    }
}

/// What came of a step.
enum Advanced {
    Event,
    Nothing,
}

impl Kept {
    /// Somebody reads from the event with this number on, or from the first one that is left; whoever did so before does not.
    fn reader(self: &Arc<Self>, from: u64) -> Reading {
        let mut state = self.state.lock();
        state.next = from.clamp(state.first, state.end());
        Reading {
            kept: Arc::clone(self),
            turn: state.begin_turn(),
            ahead: None,
            place: None,
        }
    }

    fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_abandoned = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Whoever read it has left: it is carried on without him, if there is a place and somebody could come back.
    fn leave(self: &Arc<Self>, mut state: parking_lot::MutexGuard<'_, State>) {
        let turn = state.begin_turn();
        if state.is_done() {
            drop(state);
            return self.carrying.all.forget(self);
        }
        let place = if state.is_abandoned {
            None
        } else {
            self.carrying.background.place(&self.owner.principal)
        };
        let Some(place) = place else {
            // It says itself whether its call goes on.
            let stream = state.stream.take();
            drop(state);
            self.carrying.all.forget(self);
            return drop(stream);
        };
        drop(state);
        let kept = Arc::clone(self);
        self.carrying
            .background
            .spawn(async move { kept.carry_on(turn, place).await });
    }

    /// Keeps what it says until somebody reads it again, and its end for a moment.
    async fn carry_on(self: Arc<Self>, turn: u64, place: detach::Place) {
        let gone = std::future::poll_fn(|cx| {
            loop {
                let mut state = self.state.lock();
                if state.turn != turn {
                    return Poll::Ready(false);
                }
                if state.is_abandoned {
                    return Poll::Ready(true);
                }
                if ready!(state.poll_advance(cx)).is_none() {
                    return Poll::Ready(true);
                }
            }
        });
        if !gone.await {
            return;
        }
        drop(place);
        let stop = &self.carrying.stop;
        let is_abandoned = self.state.lock().is_abandoned;
        if !is_abandoned {
            let waiting = tokio::time::sleep(KEPT_FOR);
            let _ = stop
                .run_until_cancelled(self.until_taken_up(turn, waiting))
                .await;
        }
        let mut state = self.state.lock();
        if state.turn == turn {
            let stream = state.stream.take();
            drop(state);
            self.carrying.all.forget(&self);
            drop(stream);
        }
    }

    /// Waits for this time, or until somebody reads it or nobody can.
    async fn until_taken_up(&self, turn: u64, time: tokio::time::Sleep) {
        let mut time = std::pin::pin!(time);
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.turn != turn || state.is_abandoned {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            drop(state);
            time.as_mut().poll(cx)
        })
        .await;
    }
}

/// Somebody who reads a stream, piece by piece.
pub(crate) struct Reading {
    kept: Arc<Kept>,
    turn: u64,
    /// What is given out next: the first event, or the event whose id was given out.
    ahead: Option<Bytes>,
    /// Among the streams of its caller.
    place: Option<Place>,
}

impl Reading {
    /// The same, which takes up a place meanwhile.
    pub(crate) fn with(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same, whose first event has no data, for clients that expect that, and says how to come back.
    pub(crate) fn primed(mut self) -> Self {
        let id = format!("id: {}.0\nretry: {RETRY}\ndata: \n\n", self.kept.id);
        self.ahead = Some(id.into());
        self
    }
}

impl Stream for Reading {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        let kept = Arc::clone(&self.kept);
        let mut state = kept.state.lock();
        loop {
            if state.turn != self.turn {
                return Poll::Ready(None);
            }
            state.next = state.next.max(state.first);
            let place = usize::try_from(state.next - state.first).unwrap_or(usize::MAX);
            if let Some(event) = state.events.get(place) {
                self.ahead = Some(event.clone());
                state.next += 1;
                let id = format!("id: {}.{}\n", kept.id, state.next);
                return Poll::Ready(Some(Ok(id.into())));
            }
            match ready!(state.poll_advance(cx)) {
                Some(Advanced::Event) => {}
                Some(Advanced::Nothing) => {
                    return Poll::Ready(Some(Ok(Bytes::from_static(sse::KEEP_ALIVE))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        drop(self.place.take());
        let mut state = self.kept.state.lock();
        if state.turn != self.turn {
            return;
        }
        if self.ahead.is_some() {
            // It had the id of an event and not the event.
            state.next = state.next.saturating_sub(1);
        }
        self.kept.leave(state);
    }
}

impl Resumables {
    /// Makes a stream one that can be taken up again, and reads it. It is carried on in the background while nobody does, if
    /// there is a place.
    ///
    /// # Errors
    /// The stream, without randomness.
    pub(crate) fn begin<S>(owner: Owner, carrying: Carrying, stream: S) -> Result<Reading, S>
    where
        S: Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    {
        let mut id = [0; 16];
        if rand::fill(&mut id).is_err() {
            return Err(stream);
        }
        let kept = Arc::new(Kept {
            id: URL_SAFE_NO_PAD.encode(id).into(),
            owner,
            carrying,
            state: Mutex::new(State {
                stream: Some(Box::pin(stream)),
                ..State::default()
            }),
        });
        let oldest = {
            let mut of = kept.carrying.all.of.lock();
            let session = of.entry(kept.owner.session).or_default();
            let oldest = (session.len() >= OF_SESSION).then(|| session.pop_front());
            session.push_back(Arc::clone(&kept));
            oldest.flatten()
        };
        if let Some(oldest) = oldest {
            oldest.abandon();
        }
        Ok(kept.reader(0))
    }

    /// Goes on after the event with this id, which `owner` got, if that stream is still there.
    pub(crate) fn take_up(&self, owner: &Owner, last_event_id: &[u8]) -> Option<Reading> {
        let (id, number) = std::str::from_utf8(last_event_id).ok()?.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        let of = self.of.lock();
        let mut of_session = of.get(&owner.session)?.iter();
        let kept = of_session.find(|kept| *kept.id == *id && kept.owner == *owner)?;
        Some(kept.reader(number))
    }

    /// A session is over: nobody takes up anything of it.
    pub(crate) fn end(&self, session: &SessionId) {
        let gone = self.of.lock().remove(session);
        for kept in gone.iter().flatten() {
            kept.abandon();
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.of.lock().values().map(VecDeque::len).sum()
    }

    fn forget(&self, kept: &Arc<Kept>) {
        let mut of = self.of.lock();
        if let Some(session) = of.get_mut(&kept.owner.session) {
            session.retain(|one| !Arc::ptr_eq(one, kept));
            if session.is_empty() {
                of.remove(&kept.owner.session);
            }
        }
    }
}
