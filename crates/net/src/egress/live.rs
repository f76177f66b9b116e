//! One HTTP/1.1 connection, driven by whoever waits for its answer instead of by a task of its own.
//!
//! A request costs no hop between tasks: the future that sends it, and later the body that is read
//! from it, read and write the socket themselves. What the bytes mean is said in [`super::h1`].

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Response};
use http_body::{Frame, SizeHint};
use tokio_util::io::poll_read_buf;

use crate::body::{Body, BoxError};
use crate::egress::connect::Dialled;
use crate::egress::h1::BadAnswer;
use crate::egress::h1::chunked::{Decoder, Step};
use crate::egress::h1::request::Lines;
use crate::egress::h1::response::{Framing, Head, take_head};
use crate::egress::outgoing::Outgoing;
use crate::egress::sending::Sending;

/// Bytes of one read, at least and at most.
const READ: usize = 8 * 1024;
const LARGE_READ: usize = 64 * 1024;

/// A connection that can take a request.
pub(crate) struct Live {
    socket: Dialled,
    /// What was read and not taken yet.
    incoming: BytesMut,
    /// Where requests are written before they are sent; kept for its allocation.
    outgoing: BytesMut,
}

/// Why a connection gave no answer.
pub(crate) struct Failed {
    pub(crate) cause: BoxError,
    /// The request, if not a byte of it was sent.
    pub(crate) unsent: Option<Box<Outgoing>>,
}

impl Live {
    pub(crate) fn open(dialled: Dialled) -> Box<Self> {
        Box::new(Self {
            socket: dialled,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
        })
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        self.socket.remote()
    }

    /// Whether the connection still looks usable: its peer has not closed it as far as we know, and
    /// has sent nothing that nobody asked for.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.incoming.is_empty() && self.poll_read(&mut cx, READ).is_pending()
    }

    /// Reads once: how many bytes came, none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<std::io::Result<usize>> {
        self.incoming.reserve(room);
        poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.incoming)
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// Its `Host` is among the lines.
    pub(crate) async fn exchange(
        mut self: Box<Self>,
        request: Box<Outgoing>,
        lines: &Lines,
    ) -> Result<Answer, Failed> {
        if !self.is_open() {
            return Err(Failed {
                cause: BadAnswer::Incomplete.into(),
                unsent: Some(request),
            });
        }
        let method = request.method.clone();
        let mut sending = Sending::new(request, lines, std::mem::take(&mut self.outgoing));
        let outcome = poll_fn(|cx| {
            if let Err(cause) = sending.poll(&mut self.socket, cx) {
                return Poll::Ready(Err(cause));
            }
            self.poll_head(cx, &method)
        })
        .await;
        match outcome {
            Ok(head) => {
                let sending = if sending.is_done() {
                    self.outgoing = sending.into_buffer();
                    None
                } else {
                    Some(Box::new(sending))
                };
                Ok(Answer {
                    head,
                    live: self,
                    sending,
                })
            }
            Err(cause) => Err(Failed {
                cause,
                unsent: sending.into_unsent(),
            }),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, method: &Method) -> Poll<Result<Head, BoxError>> {
        loop {
            if ready!(self.poll_read(cx, READ))? == 0 {
                return Poll::Ready(Err(BadAnswer::Incomplete.into()));
            }
            if let Some(head) = take_head(&mut self.incoming, method)? {
                return Poll::Ready(Ok(head));
            }
        }
    }
}

/// Who takes a connection back when its answer has been read to the end.
pub(crate) trait Home: Send + 'static {
    fn take_back(self, live: Box<Live>);
}

/// The head of an answer, its body still on the connection.
pub(crate) struct Answer {
    head: Head,
    live: Box<Live>,
    /// The rest of a request that is answered before all of it was sent.
    sending: Option<Box<Sending>>,
}

impl Answer {
    pub(crate) const fn head(&self) -> &Response<()> {
        &self.head.response
    }

    pub(crate) const fn remote(&self) -> SocketAddr {
        self.live.remote()
    }

    /// The answer with its body. `home` gets the connection back, if it is good for another
    /// request; a body dropped before its end takes the connection with it.
    pub(crate) fn into_response<H: Home>(self, home: Option<H>) -> Response<Body> {
        let Head {
            response,
            framing,
            reusable,
        } = self.head;
        let mut reading = Reading {
            live: Some(self.live),
            sending: self.sending,
            rest: match framing {
                Framing::Length(length) => Rest::Length(length),
                Framing::Chunked => Rest::Chunked(Decoder::Line),
                Framing::UntilClose => Rest::UntilClose,
            },
            home: home.filter(|_| reusable),
        };
        let body = match reading.take_whole() {
            Some(bytes) => Body::full(bytes),
            None => Body::new(reading),
        };
        response.map(|()| body)
    }
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug)]
enum Rest {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

/// A body that is read from its connection.
struct Reading<H: Home> {
    /// `None` after the end of the body, or after an error.
    live: Option<Box<Live>>,
    sending: Option<Box<Sending>>,
    rest: Rest,
    home: Option<H>,
}

impl<H: Home> Reading<H> {
    /// The whole body, if it came together with the head.
    fn take_whole(&mut self) -> Option<Bytes> {
        let Rest::Length(length) = self.rest else {
            return None;
        };
        let length = usize::try_from(length).ok()?;
        let incoming = &mut self.live.as_mut()?.incoming;
        if incoming.len() < length {
            return None;
        }
        let bytes = incoming.split_to(length).freeze();
        self.finish();
        Some(bytes)
    }

    /// What is there of the body without reading; none if more has to be read.
    fn take_piece(&mut self) -> Result<Option<Piece>, BadAnswer> {
        let Some(live) = &mut self.live else {
            return Ok(Some(Piece::End));
        };
        match &mut self.rest {
            Rest::Length(0) => Ok(Some(Piece::End)),
            Rest::Chunked(decoder) => Ok(match decoder.step(&mut live.incoming)? {
                Step::Data(bytes) => Some(Piece::Data(bytes)),
                Step::More => None,
                Step::End => Some(Piece::End),
            }),
            _ if live.incoming.is_empty() => Ok(None),
            Rest::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX);
                let here = here.min(live.incoming.len());
                *left = left.saturating_sub(here as u64);
                Ok(Some(Piece::Data(live.incoming.split_to(here).freeze())))
            }
            Rest::UntilClose => Ok(Some(Piece::Data(live.incoming.split().freeze()))),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BoxError>> {
        if let (Some(live), Some(sending)) = (&mut self.live, &mut self.sending) {
            sending.poll(&mut live.socket, cx)?;
        }
        loop {
            if let Some(piece) = self.take_piece()? {
                return Poll::Ready(Ok(piece));
            }
            let room = match self.rest {
                Rest::Length(left) => usize::try_from(left)
                    .unwrap_or(LARGE_READ)
                    .clamp(READ, LARGE_READ),
                Rest::Chunked(_) | Rest::UntilClose => READ,
            };
            let Some(live) = &mut self.live else {
                return Poll::Ready(Ok(Piece::End));
            };
            if ready!(live.poll_read(cx, room))? == 0 {
                return Poll::Ready(match self.rest {
                    Rest::UntilClose => Ok(Piece::End),
                    Rest::Length(_) | Rest::Chunked(_) => Err(BadAnswer::Incomplete.into()),
                });
            }
        }
    }

    /// The body is at its end: the connection may go home, if nothing is left on it.
    fn finish(&mut self) {
        self.rest = Rest::Length(0);
        let sent = self.sending.take().is_none_or(|sending| sending.is_done());
        if let Some(live) = self.live.take()
            && let Some(home) = self.home.take()
            && sent
            && live.incoming.is_empty()
        {
            home.take_back(live);
        }
    }
}

enum Piece {
    Data(Bytes),
    End,
}

impl<H: Home> Unpin for Reading<H> {}

impl<H: Home> http_body::Body for Reading<H> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(Piece::Data(bytes)) => {
                // The connection goes home with the last byte, not when somebody looks for more.
                if matches!(self.rest, Rest::Length(0)) {
                    self.finish();
                }
                Some(Ok(Frame::data(bytes)))
            }
            Ok(Piece::End) => {
                self.finish();
                None
            }
            Err(cause) => {
                self.live = None;
                Some(Err(cause))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Length(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            Rest::Length(left) => SizeHint::with_exact(left),
            Rest::Chunked(_) | Rest::UntilClose => SizeHint::default(),
        }
    }
}
