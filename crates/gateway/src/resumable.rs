//! Answers to clients of the session era that are streams: whoever lost the connection gets the rest by naming the last event
//! that came (TL-6). They are kept at one node, within bounds, and for a moment.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use mcp::sse;
use parking_lot::Mutex;
use policy::call::Principal;
use tokio::sync::Notify;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::detach::Background;
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

/// One stream.
#[derive(Debug)]
struct Kept {
    id: Box<str>,
    owner: Owner,
    state: Mutex<State>,
    /// There is more to read, or nothing more.
    news: Notify,
    /// Something was read, or somebody came or left.
    read: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Bytes>,
    /// The number of the first of these. The event that primes a stream is number 0.
    first: u64,
    bytes: usize,
    /// The number of the one that is to be read next.
    next: u64,
    /// Counts those who read; only the last one does.
    reader: u64,
    is_read: bool,
    is_over: bool,
    /// Nobody can come back to it.
    is_abandoned: bool,
}

impl State {
    /// Forgets what was read, or what nobody is there to read, until there is room. Whether there is.
    fn make_room(&mut self) -> bool {
        while self.bytes > KEPT && self.events.len() > 1 {
            if self.is_read && self.first >= self.next {
                return false;
            }
            let gone = self.events.pop_front();
            self.bytes -= gone.map_or(0, |gone| gone.len());
            self.first += 1;
        }
        true
    }

    fn end(&self) -> u64 {
        self.first + u64::try_from(self.events.len()).unwrap_or(0)
    }
}

impl Kept {
    fn push(&self, event: Bytes) {
        let mut state = self.state.lock();
        state.bytes += event.len();
        state.events.push_back(event);
        state.make_room();
        drop(state);
        self.news.notify_waiters();
    }

    /// Nobody can come back to it any more.
    fn abandon(&self) {
        self.state.lock().is_abandoned = true;
        self.read.notify_one();
    }

    fn finish(&self) {
        self.state.lock().is_over = true;
        self.news.notify_waiters();
    }

    /// Somebody reads from the event with this number on, or from the first one that is left; whoever did so before does not.
    fn reader(self: &Arc<Self>, from: u64, quiet: Interval) -> Reading {
        let mut state = self.state.lock();
        state.reader += 1;
        state.is_read = true;
        state.next = from.clamp(state.first, state.end());
        let (at, reader) = (state.next, state.reader);
        drop(state);
        self.news.notify_waiters();
        self.read.notify_one();
        Reading {
            kept: Arc::clone(self),
            at,
            reader,
            ahead: None,
            quiet,
            place: None,
        }
    }
}

/// Somebody who reads a stream.
pub(crate) struct Reading {
    kept: Arc<Kept>,
    at: u64,
    reader: u64,
    /// The event whose id was given out.
    ahead: Option<Bytes>,
    quiet: Interval,
    /// Among the streams of its caller.
    place: Option<Place>,
}

impl Reading {
    /// The same, which takes up a place meanwhile.
    pub(crate) fn with(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The pieces of the answer. The first event has no data, for clients that expect it, and says how to come back.
    pub(crate) fn pieces(
        mut self,
        primes: bool,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        if primes {
            let id = format!("id: {}.0\nretry: {RETRY}\ndata: \n\n", self.kept.id);
            self.ahead = Some(id.into());
        }
        futures_util::stream::unfold(self, |mut reading| async move {
            let piece = reading.next().await?;
            Some((Ok(piece), reading))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(ahead) = self.ahead.take() {
            return Some(ahead);
        }
        let kept = Arc::clone(&self.kept);
        loop {
            let mut news = pin!(kept.news.notified());
            news.as_mut().enable();
            {
                let mut state = kept.state.lock();
                if state.reader != self.reader {
                    return None;
                }
                self.at = self.at.max(state.first);
                let place = usize::try_from(self.at - state.first).ok()?;
                if let Some(event) = state.events.get(place) {
                    self.ahead = Some(event.clone());
                    self.at += 1;
                    state.next = self.at;
                    drop(state);
                    kept.read.notify_one();
                    self.quiet.reset();
                    return Some(format!("id: {}.{}\n", kept.id, self.at).into());
                }
                if state.is_over {
                    return None;
                }
            }
            tokio::select! {
                () = news => {}
                _ = self.quiet.tick() => return Some(Bytes::from_static(sse::KEEP_ALIVE)),
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        drop(self.place.take());
        let mut state = self.kept.state.lock();
        if state.reader == self.reader {
            state.is_read = false;
            if self.ahead.is_some() {
                // It had the id of an event and not the event.
                state.next = state.next.saturating_sub(1);
            }
            drop(state);
            self.kept.read.notify_one();
        }
    }
}

impl Resumables {
    /// Makes a stream one that can be taken up again, and reads it. It is carried on in the background while nobody does, if
    /// there is a place. Events without data are not part of it. None without randomness.
    pub(crate) fn begin<S>(
        self: &Arc<Self>,
        owner: Owner,
        (background, stop): (&Arc<Background>, &CancellationToken),
        stream: S,
        quiet: Interval,
    ) -> Result<Reading, S>
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
            state: Mutex::default(),
            news: Notify::new(),
            read: Notify::new(),
        });
        let reading = kept.reader(0, quiet);
        {
            let mut of = self.of.lock();
            let session = of.entry(kept.owner.session).or_default();
            if session.len() >= OF_SESSION
                && let Some(oldest) = session.pop_front()
            {
                oldest.abandon();
            }
            session.push_back(Arc::clone(&kept));
        }
        let (all, carrying, stop) = (Arc::clone(self), Arc::clone(background), stop.clone());
        background.spawn(async move {
            if carry(&kept, &carrying, stream).await {
                kept.finish();
                let ended = tokio::time::timeout(KEPT_FOR, until_read(&kept));
                let _ = stop.run_until_cancelled(ended).await;
            } else {
                kept.finish();
            }
            all.forget(&kept);
        });
        Ok(reading)
    }

    /// Goes on after the event with this id, which `owner` got, if that stream is still there.
    pub(crate) fn take_up(
        &self,
        owner: &Owner,
        last_event_id: &[u8],
        quiet: Interval,
    ) -> Option<Reading> {
        let (id, number) = std::str::from_utf8(last_event_id).ok()?.rsplit_once('.')?;
        let number: u64 = number.parse().ok()?;
        let of = self.of.lock();
        let mut of_session = of.get(&owner.session)?.iter();
        let kept = of_session.find(|kept| *kept.id == *id && kept.owner == *owner)?;
        Some(kept.reader(number, quiet))
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

/// Keeps what a stream says until its end; `false` if nobody reads it, and nobody can any more or there is no place for one more
/// of those: then it is dropped before.
async fn carry<S>(kept: &Kept, background: &Arc<Background>, stream: S) -> bool
where
    S: Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
{
    let mut stream = pin!(stream);
    let mut place = None;
    loop {
        let (is_read, has_room) = {
            let mut state = kept.state.lock();
            if state.is_abandoned && !state.is_read {
                return false;
            }
            (state.is_read, state.make_room())
        };
        if is_read {
            place = None;
        } else if place.is_none() {
            place = background.place(&kept.owner.principal);
            if place.is_none() {
                tracing::warn!(
                    "a client left more calls behind than are carried on; this one is cancelled"
                );
                return false;
            }
        }
        tokio::select! {
            biased;
            () = kept.read.notified() => {}
            event = stream.next(), if has_room => match event {
                Some(Ok(event)) if event == sse::KEEP_ALIVE => {}
                Some(Ok(event)) => kept.push(event),
                None => return true,
            },
        }
    }
}

/// Waits until somebody has read to the end and left.
async fn until_read(kept: &Kept) {
    loop {
        {
            let state = kept.state.lock();
            if !state.is_read && (state.next >= state.end() || state.is_abandoned) {
                return;
            }
        }
        kept.read.notified().await;
    }
}
