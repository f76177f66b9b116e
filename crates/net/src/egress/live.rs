//! One HTTP/1.1 connection, driven by whoever waits for its answer instead of by a task of its own.
//!
//! A request costs no hop between tasks: the future that sends it, and later the body that is read
//! from it, poll the connection themselves. Wake-ups that the connection causes while it is being
//! polled are its own doing and stop at a [`Gate`], so that they do not reschedule the task.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::body::{Body, BoxError};
use crate::egress::connect::Dialled;

/// How often a connection is polled again for wake-ups of its own before others get their turn.
const ROUNDS: usize = 3;

/// Bytes of answer header and of one read at most.
const BUFFER: usize = 64 * 1024;

/// Bodies up to this size are taken in one piece when they are there together with the headers.
const WHOLE: u64 = 64 * 1024;

/// Stops wake-ups while the connection is being polled, and forwards them to the task otherwise.
#[derive(Default)]
struct Gate {
    state: AtomicU8,
    task: AtomicWaker,
}

const OUTSIDE: u8 = 0;
const INSIDE: u8 = 1;
const AGAIN: u8 = 2;

impl Gate {
    fn enter(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
        self.state.store(INSIDE, Ordering::SeqCst);
    }

    /// Leaves; whether somebody wanted the connection polled again meanwhile.
    fn leave(&self) -> bool {
        self.state.swap(OUTSIDE, Ordering::SeqCst) == AGAIN
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let noted = self
            .state
            .compare_exchange(INSIDE, AGAIN, Ordering::SeqCst, Ordering::SeqCst);
        if noted == Err(OUTSIDE) {
            self.task.wake();
        }
    }
}

/// A connection that can take a request.
pub(crate) struct Live {
    /// `None` once the connection has ended.
    connection: Option<http1::Connection<TokioIo<Dialled>, Body>>,
    sender: http1::SendRequest<Body>,
    gate: Arc<Gate>,
    waker: Waker,
    remote: SocketAddr,
}

/// Why a connection gave no answer.
pub(crate) struct Failed {
    pub(crate) cause: BoxError,
    /// The request, if not a byte of it was sent.
    pub(crate) unsent: Option<Request<Body>>,
}

impl Live {
    pub(crate) async fn open(dialled: Dialled) -> Result<Box<Self>, BoxError> {
        let remote = dialled.remote();
        let (sender, connection) = http1::Builder::new()
            .max_headers(128)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(dialled))
            .await?;
        let gate = Arc::new(Gate::default());
        let waker = Waker::from(Arc::clone(&gate));
        Ok(Box::new(Self {
            connection: Some(connection),
            sender,
            gate,
            waker,
            remote,
        }))
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether the connection still looks usable: its peer has not closed it as far as we know.
    pub(crate) fn is_open(&mut self) -> bool {
        let cx = Context::from_waker(Waker::noop());
        let open = self.drive(&cx, |live, cx| {
            live.poll_connection(cx);
            Poll::<()>::Pending
        });
        open.is_pending() && self.connection.is_some() && !self.sender.is_closed()
    }

    /// Whether everything of the last exchange is done and the next may begin.
    fn is_ready(&mut self) -> bool {
        self.is_open() && self.sender.is_ready()
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            // Dropping it is what hands the request back, or the error out.
            self.connection = None;
        }
    }

    /// Runs `step` inside the gate.
    fn drive<R>(
        &mut self,
        cx: &Context<'_>,
        mut step: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Lent to the context and put back: cheaper than a clone.
        let waker = std::mem::replace(&mut self.waker, Waker::noop().clone());
        let mut inner = Context::from_waker(&waker);
        let mut result = Poll::Pending;
        let mut again = true;
        for _ in 0..ROUNDS {
            self.gate.enter(cx);
            result = step(self, &mut inner);
            again = self.gate.leave();
            if result.is_ready() || !again {
                break;
            }
        }
        self.waker = waker;
        if result.is_pending() && again {
            cx.waker().wake_by_ref();
        }
        result
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// The request's URI must be in origin form and its `Host` set.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        request: Request<Body>,
    ) -> Result<Answer, Failed> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let outcome = poll_fn(|cx| {
            self.drive(cx, |live, cx| {
                live.poll_connection(cx);
                answer.as_mut().poll(cx)
            })
        })
        .await;
        match outcome {
            Ok(response) => Ok(Answer::new(response, self)),
            Err(mut failure) => Err(Failed {
                unsent: failure.take_message(),
                cause: failure.into_error().into(),
            }),
        }
    }
}

/// Who takes a connection back when its answer has been read to the end.
pub(crate) trait Home: Send + 'static {
    fn take_back(self, live: Box<Live>);
}

/// The head of an answer, its body still on the connection.
pub(crate) struct Answer {
    pub(crate) response: Response<()>,
    incoming: Incoming,
    live: Box<Live>,
}

impl Answer {
    fn new(response: Response<Incoming>, live: Box<Live>) -> Self {
        let (parts, incoming) = response.into_parts();
        Self {
            response: Response::from_parts(parts, ()),
            incoming,
            live,
        }
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        self.live.remote()
    }

    /// The answer with its body. `home` gets the connection back, if it is good for another
    /// request; a body dropped before its end takes the connection with it.
    pub(crate) fn into_response<H: Home>(self, home: Option<H>) -> Response<Body> {
        let reusable = self.response.version() == Version::HTTP_11;
        let mut reading = Reading {
            ahead: None,
            incoming: self.incoming,
            live: Some(self.live),
            home: home.filter(|_| reusable),
        };
        let (parts, ()) = self.response.into_parts();
        let body = match reading.take_whole() {
            Some(bytes) => Body::full(bytes),
            None => Body::new(reading),
        };
        Response::from_parts(parts, body)
    }
}

/// A body that is read by polling its connection.
struct Reading<H: Home> {
    /// What was read before anybody asked for the body.
    ahead: Option<Result<Bytes, BoxError>>,
    incoming: Incoming,
    live: Option<Box<Live>>,
    home: Option<H>,
}

impl<H: Home> Reading<H> {
    /// The whole body, if it came together with the head.
    fn take_whole(&mut self) -> Option<Bytes> {
        if self.incoming.is_end_stream() {
            self.finish();
            return Some(Bytes::new());
        }
        if self
            .incoming
            .size_hint()
            .exact()
            .is_none_or(|length| length > WHOLE)
        {
            return None;
        }
        let cx = Context::from_waker(Waker::noop());
        match self.poll_incoming(&cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.into_data().ok()?;
                if self.live.is_none() {
                    return Some(bytes);
                }
                self.ahead = Some(Ok(bytes));
                None
            }
            Poll::Ready(Some(Err(cause))) => {
                self.ahead = Some(Err(cause));
                None
            }
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    fn poll_incoming(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        let incoming = &mut self.incoming;
        let polled = if let Some(live) = &mut self.live {
            live.drive(cx, |live, cx| {
                // What is there already needs no look at the socket.
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Pending => live.poll_connection(cx),
                    ready @ Poll::Ready(_) => return ready,
                }
                Pin::new(&mut *incoming).poll_frame(cx)
            })
        } else {
            let mut cx = Context::from_waker(cx.waker());
            Pin::new(incoming).poll_frame(&mut cx)
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                if self.incoming.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                self.live = None;
                Poll::Ready(Some(Err(cause.into())))
            }
        }
    }

    /// The body is at its end: the connection may go home.
    fn finish(&mut self) {
        if let Some(mut live) = self.live.take()
            && let Some(home) = self.home.take()
            && live.is_ready()
        {
            home.take_back(live);
        }
    }
}

impl<H: Home> Unpin for Reading<H> {}

impl<H: Home> http_body::Body for Reading<H> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(ahead.map(http_body::Frame::data)));
        }
        self.poll_incoming(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let mut hint = self.incoming.size_hint();
        let ahead = match &self.ahead {
            Some(Ok(bytes)) => bytes.len() as u64,
            Some(Err(_)) | None => 0,
        };
        if ahead > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + ahead);
            }
            hint.set_lower(hint.lower() + ahead);
        }
        hint
    }
}

/// Puts a request into the form that a server (not a proxy) expects.
pub(crate) fn into_origin_form(request: &mut Request<Body>, authority: &header::HeaderValue) {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.path_and_query =
            Some(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
        if let Ok(uri) = http::Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
        .headers_mut()
        .insert(header::HOST, authority.clone());
}
