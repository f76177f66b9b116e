//! Watches over connections: who is too slow, who is idle, who must go.
//!
//! A connection has no timers of its own. It notes in a few atomics what it is doing, and one
//! sweep per listener looks at all of them, so that a request costs no timer, and no lock but that
//! of its own connection's list of streams.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::edge::framing::Framing;
use crate::edge::pace::{Pace, Progress};

/// Bounds on what a connection may do (SEC-61).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
    pub(crate) body: Pace,
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    /// Go on.
    Run = 0,
    /// Take no further requests.
    Drain = 1,
    /// End now.
    Cut = 2,
}

/// What one connection is doing. Times are milliseconds since its start; 0 is "not".
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    command: AtomicU8,
    task: AtomicWaker,
    in_flight: AtomicU32,
    /// HTTP/2: bytes arrive without requests, so that the first byte says nothing.
    multiplexed: AtomicBool,
    served: AtomicBool,
    idle_since: AtomicU64,
    /// The last bytes that came left a request of HTTP/1 begun.
    amid_request: AtomicBool,
    /// Since when nothing but the rest of a head is waited for.
    head_since: AtomicU64,
    stuck_since: AtomicU64,
    streams: Arc<Register<Flow>>,
    bodies: Arc<Register<Progress>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            command: AtomicU8::new(Command::Run as u8),
            task: AtomicWaker::new(),
            in_flight: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            served: AtomicBool::new(false),
            idle_since: AtomicU64::new(1),
            amid_request: AtomicBool::new(false),
            head_since: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
            streams: Arc::default(),
            bodies: Arc::default(),
        }
    }
}

impl Watch {
    fn at(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.start).as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    pub(crate) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The handshake is over: the time for the first request begins.
    pub(crate) fn begin(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
    }

    /// A request has arrived with all of its headers.
    pub(crate) fn request_begins(&self, version: http::Version) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        if !self.served.load(Ordering::Relaxed) {
            self.multiplexed
                .store(version == http::Version::HTTP_2, Ordering::Relaxed);
            self.served.store(true, Ordering::Relaxed);
        }
    }

    /// It came on a stream of HTTP/2, which is watched by itself.
    pub(crate) fn stream_begins(&self) -> Registered<Flow> {
        self.streams.add()
    }

    /// Its body has not come together with its head.
    pub(crate) fn body_is_waited_for(&self) -> Registered<Progress> {
        self.bodies.add()
    }

    /// Its answer has left whole, or was given up.
    pub(crate) fn request_ends(&self) {
        let now = self.now();
        self.idle_since.store(now, Ordering::Relaxed);
        if self.amid_request.load(Ordering::Relaxed) {
            // The next one began while this one was answered.
            self.head_since.store(now, Ordering::Relaxed);
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Bytes came, and a request that they began, or went on with, has not come whole.
    fn bytes_arrived(&self, amid_request: bool) {
        self.amid_request.store(amid_request, Ordering::Relaxed);
        if !amid_request {
            self.head_since.store(0, Ordering::Relaxed);
        } else if self.in_flight.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn wrote(&self, done: bool) {
        let stuck = self.stuck_since.load(Ordering::Relaxed) != 0;
        if done && stuck {
            self.stuck_since.store(0, Ordering::Relaxed);
        } else if !done && !stuck {
            self.stuck_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// What is to be done now; to be called at the start of every poll of the connection.
    pub(crate) fn poll_command(&self, cx: &Context<'_>) -> Command {
        self.task.register(cx.waker());
        match self.command.load(Ordering::Acquire) {
            0 => Command::Run,
            1 => Command::Drain,
            _ => Command::Cut,
        }
    }

    fn tell(&self, command: Command) {
        if self.command.fetch_max(command as u8, Ordering::AcqRel) < command as u8 {
            self.task.wake();
        }
    }

    fn verdict(&self, patience: &Patience, now: Instant) -> Command {
        let now = self.at(now);
        let longer_than = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
        };
        if longer_than(&self.stuck_since, patience.write) {
            return Command::Cut;
        }
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            self.bodies.each(|body| body.judge(&patience.body, now));
            return self.verdict_on_streams(patience, now);
        }
        if !self.served.load(Ordering::Relaxed) && longer_than(&self.idle_since, patience.header) {
            return Command::Cut;
        }
        if !self.multiplexed.load(Ordering::Relaxed)
            && longer_than(&self.head_since, patience.header)
        {
            return Command::Cut;
        }
        // Who is asked to go and has nothing to wait for goes.
        if longer_than(&self.idle_since, patience.idle + patience.write) {
            return Command::Cut;
        }
        if longer_than(&self.idle_since, patience.idle) {
            return Command::Drain;
        }
        Command::Run
    }

    /// One stream that its client leaves alone can't be ended alone once its bytes are queued. The
    /// others, which may be other people's behind one proxy, get the same time again to end.
    fn verdict_on_streams(&self, patience: &Patience, now: u64) -> Command {
        let entries = self.streams.entries.lock();
        let stuck = entries.all.values().map(|flow| flow.stuck_for(now)).max();
        let stuck = Duration::from_millis(stuck.unwrap_or_default());
        if stuck > patience.write * 2 {
            Command::Cut
        } else if stuck > patience.write {
            Command::Drain
        } else {
            Command::Run
        }
    }
}

/// The answer on one stream of HTTP/2. Times are those of its connection's [`Watch`].
///
/// A stream that has nothing to send, like one of events while nothing happens, is never stuck.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Pieces that were handed over and have not left whole.
    pieces: AtomicU32,
    /// When the first of them began to wait, or bytes left.
    moved: AtomicU64,
}

impl Flow {
    pub(crate) fn piece_waits(&self, now: u64) {
        if self.pieces.load(Ordering::Relaxed) == 0 {
            self.moved.store(now, Ordering::Relaxed);
        }
        self.pieces.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn bytes_left(&self, now: u64) {
        self.moved.store(now, Ordering::Relaxed);
    }

    pub(crate) fn piece_left(&self, now: u64) {
        self.moved.store(now, Ordering::Relaxed);
        self.pieces.fetch_sub(1, Ordering::Release);
    }

    /// How long its client has taken nothing of what waits, in milliseconds.
    fn stuck_for(&self, now: u64) -> u64 {
        if self.pieces.load(Ordering::Acquire) == 0 {
            return 0;
        }
        now.saturating_sub(self.moved.load(Ordering::Relaxed))
    }
}

/// The connections of one listener, or the streams of one connection.
#[derive(Debug)]
pub(crate) struct Register<T> {
    entries: Mutex<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    next: u64,
    all: HashMap<u64, Arc<T>>,
}

/// An entry; removed when dropped.
#[derive(Debug)]
pub(crate) struct Registered<T> {
    register: Arc<Register<T>>,
    number: u64,
    pub(crate) entry: Arc<T>,
}

impl<T> Drop for Registered<T> {
    fn drop(&mut self) {
        self.register.entries.lock().all.remove(&self.number);
    }
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Entries {
                next: 0,
                all: HashMap::new(),
            }),
        }
    }
}

impl<T: Default> Register<T> {
    pub(crate) fn add(self: &Arc<Self>) -> Registered<T> {
        let entry = Arc::new(T::default());
        let mut entries = self.entries.lock();
        let number = entries.next;
        entries.next += 1;
        entries.all.insert(number, Arc::clone(&entry));
        Registered {
            register: Arc::clone(self),
            number,
            entry,
        }
    }
}

impl<T> Register<T> {
    fn each(&self, mut what: impl FnMut(&T)) {
        for entry in self.entries.lock().all.values() {
            what(entry);
        }
    }
}

impl Register<Watch> {
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().all.len()
    }

    /// Tells those who took too long to leave.
    pub(crate) fn sweep(&self, patience: &Patience, now: Instant) {
        self.each(|watch| watch.tell(watch.verdict(patience, now)));
    }

    /// Tells all.
    pub(crate) fn tell(&self, command: Command) {
        self.each(|watch| watch.tell(command));
    }
}

/// A stream that notes what happens on it, and passes on only what can be read in one way.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
    framing: Framing,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self {
            stream,
            watch,
            framing: Framing::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.framing.is_over() {
            let owed = self.framing.take_owed(buf.remaining());
            buf.put_slice(owed);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(arrived @ [_, ..]) = buf.filled_mut().get_mut(before..) {
            let passed = self.framing.follow(arrived);
            buf.set_filled(before + passed);
            self.watch.bytes_arrived(self.framing.is_amid_request());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch.wrote(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch.wrote(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if polled.is_pending() {
            self.watch.wrote(false);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_secs(30),
        body: Pace {
            idle: Duration::from_secs(15),
            grace: Duration::from_secs(10),
            least_rate: 1024,
        },
    };

    async fn verdict_after(watch: &Watch, seconds: u64) -> Command {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        watch.verdict(&PATIENCE, Instant::now())
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn who_never_sends_a_request_is_cut() {
        let watch = Watch::default();
        assert_eq!(verdict_after(&watch, 9).await, Command::Run);
        assert_eq!(verdict_after(&watch, 2).await, Command::Cut);
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn a_later_request_has_the_same_time_for_its_headers() {
        let watch = Watch::default();
        watch.request_begins(http::Version::HTTP_11);
        assert_eq!(verdict_after(&watch, 600).await, Command::Run);
        watch.request_ends();
        assert_eq!(verdict_after(&watch, 60).await, Command::Run);
        watch.bytes_arrived(true);
        assert_eq!(verdict_after(&watch, 9).await, Command::Run);
        watch.bytes_arrived(true);
        assert_eq!(verdict_after(&watch, 2).await, Command::Cut);
    }

    /// What a connection is told 11 seconds after its only request was answered, if these bytes came before that and these
    /// after it.
    async fn verdict_on(before: &[&str], after: &[&str]) -> Command {
        let (mut client, server) = tokio::io::duplex(1024);
        let watch = Arc::new(Watch::default());
        let mut watched = Watched::new(server, Arc::clone(&watch));
        let mut read = async |piece: &str| {
            client.write_all(piece.as_bytes()).await.unwrap();
            watched.read_exact(&mut vec![0; piece.len()]).await.unwrap();
        };
        read("GET / HTTP/1.1\r\n\r\n").await;
        watch.request_begins(http::Version::HTTP_11);
        for piece in before {
            read(piece).await;
        }
        assert_eq!(verdict_after(&watch, 600).await, Command::Run);
        watch.request_ends();
        assert_eq!(verdict_after(&watch, 0).await, Command::Run);
        for piece in after {
            read(piece).await;
        }
        verdict_after(&watch, 11).await
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_before_the_last_answer_has_no_more_time_than_another() {
        for (before, after, verdict) in [
            (&[][..], &[][..], Command::Run),
            (&[], &["G"], Command::Cut),
            (&["G"], &[], Command::Cut),
            (&["GET /x HTTP/1.1\r\n"], &[], Command::Cut),
            (&["GET /x HTTP/1.1\r\nhost: a\r"], &[], Command::Cut),
            (&["GET /x HTTP/1.1\r\nhost: a\r"], &["\n"], Command::Cut),
            // Empty lines before a request are none of it (RFC 9112 §2.2).
            (&["\r\n"], &[], Command::Run),
            (&["\r"], &["\n"], Command::Run),
        ] {
            let told = verdict_on(before, after).await;
            assert_eq!(told, verdict, "{before:?} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_for_long_is_sent_away() {
        let watch = Watch::default();
        watch.request_begins(http::Version::HTTP_2);
        watch.request_ends();
        watch.bytes_arrived(false);
        assert_eq!(verdict_after(&watch, 74).await, Command::Run);
        assert_eq!(verdict_after(&watch, 2).await, Command::Drain);
        assert_eq!(verdict_after(&watch, 28).await, Command::Drain);
        assert_eq!(verdict_after(&watch, 2).await, Command::Cut);
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_is_cut() {
        let watch = Watch::default();
        watch.request_begins(http::Version::HTTP_11);
        watch.wrote(false);
        assert_eq!(verdict_after(&watch, 29).await, Command::Run);
        watch.wrote(true);
        watch.wrote(false);
        assert_eq!(verdict_after(&watch, 29).await, Command::Run);
        assert_eq!(verdict_after(&watch, 2).await, Command::Cut);
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn who_leaves_one_stream_alone_is_sent_away_and_then_cut() {
        let watch = Watch::default();
        watch.request_begins(http::Version::HTTP_2);
        let stuck = watch.stream_begins();
        stuck.entry.piece_waits(watch.now());
        assert_eq!(verdict_after(&watch, 29).await, Command::Run);
        stuck.entry.bytes_left(watch.now());
        stuck.entry.piece_waits(watch.now());
        watch.request_begins(http::Version::HTTP_2);
        let busy = watch.stream_begins();
        assert_eq!(verdict_after(&watch, 29).await, Command::Run);
        busy.entry.piece_waits(watch.now());
        busy.entry.piece_left(watch.now());
        assert_eq!(verdict_after(&watch, 2).await, Command::Drain);
        assert_eq!(verdict_after(&watch, 28).await, Command::Drain);
        assert_eq!(verdict_after(&watch, 2).await, Command::Cut);
    }

    // SEC-61
    #[tokio::test(start_paused = true)]
    async fn a_stream_with_nothing_to_send_is_not_stuck() {
        let watch = Watch::default();
        watch.request_begins(http::Version::HTTP_2);
        let quiet = watch.stream_begins();
        quiet.entry.piece_waits(watch.now());
        quiet.entry.piece_left(watch.now());
        assert_eq!(verdict_after(&watch, 600).await, Command::Run);
    }
}
