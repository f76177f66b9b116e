//! A request on its way out, written by whoever polls it.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use crate::body::BoxError;
use crate::egress::connect::Dialled;
use crate::egress::h1::request::{Framing, Lines, write_chunk_head, write_head};
use crate::egress::outgoing::Outgoing;

/// Pieces up to this size are copied behind the head, so that one write carries both.
const COPIED: usize = 16 * 1024;

/// The body is not of the length that it promised.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request is not as long as it said")]
struct WrongLength;

/// A request of which some part may be sent already.
pub(crate) struct Sending {
    request: Box<Outgoing>,
    framing: Framing,
    /// To be written before `data`.
    head: BytesMut,
    /// A piece of the body that is too large to be copied.
    data: Bytes,
    step: Step,
    /// Whether a byte went out.
    begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Pieces of the body are to come.
    Body,
    /// All that is to be written is in the buffers.
    Last,
    /// Everything went out, or the peer takes no more.
    Done,
}

impl Sending {
    /// A request that begins with these lines. `buffer` is an empty one that is used again.
    pub(crate) fn new(request: Box<Outgoing>, lines: &Lines, buffer: BytesMut) -> Self {
        let framing = Framing::of(&request.method, &request.body);
        let mut sending = Self {
            request,
            framing,
            head: buffer,
            data: Bytes::new(),
            step: Step::Body,
            begun: false,
        };
        write_head(&mut sending.head, lines, &sending.request, framing);
        // A body in memory stays where it is until a byte went out: it may have to be sent elsewhere.
        if let Some(bytes) = sending.request.body.as_bytes() {
            if bytes.len() <= COPIED {
                sending.head.extend_from_slice(&bytes);
            } else {
                sending.data = bytes;
            }
            sending.step = Step::Last;
        }
        sending
    }

    /// Whether all of the request was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.step == Step::Done && self.head.is_empty() && self.data.is_empty()
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(self) -> BytesMut {
        self.head
    }

    /// The request, if not a byte of it was sent.
    pub(crate) fn into_unsent(self) -> Option<Box<Outgoing>> {
        (!self.begun).then_some(self.request)
    }

    /// Sends what can be sent now. A socket that takes no more is no error: its peer may have answered already. An error is
    /// a body that can't be had.
    pub(crate) fn poll(
        &mut self,
        socket: &mut Dialled,
        cx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        while self.step != Step::Done {
            match self.poll_write(socket, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.step = Step::Done;
                    return Ok(());
                }
                Poll::Pending => return Ok(()),
            }
            if self.step == Step::Last {
                self.step = Step::Done;
            } else if self.poll_body(cx)?.is_pending() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes both buffers and flushes them.
    fn poll_write(
        &mut self,
        socket: &mut Dialled,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        while !(self.head.is_empty() && self.data.is_empty()) {
            let socket = Pin::new(&mut *socket);
            let written = if self.data.is_empty() {
                socket.poll_write(cx, &self.head)
            } else {
                let both = [IoSlice::new(&self.head), IoSlice::new(&self.data)];
                socket.poll_write_vectored(cx, &both)
            };
            let written = match written {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
                Poll::Pending => return Poll::Pending,
            };
            self.begun = true;
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.data.advance(written - of_head);
        }
        Pin::new(socket).poll_flush(cx)
    }

    /// Takes the next piece of a streaming body into the buffers, which are empty.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, BoxError> {
        let Poll::Ready(frame) = Pin::new(&mut self.request.body).poll_frame(cx) else {
            return Ok(Poll::Pending);
        };
        match frame {
            None => {
                match self.framing {
                    Framing::Chunked => self.head.extend_from_slice(b"0\r\n\r\n"),
                    Framing::Length(0) | Framing::Nothing => {}
                    Framing::Length(_) => return Err(WrongLength.into()),
                }
                self.step = Step::Last;
            }
            Some(frame) => {
                // Trailers are not passed on (RFC 9110 §6.5.1 lets us).
                if let Ok(data) = frame?.into_data()
                    && !data.is_empty()
                {
                    self.take(data)?;
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    fn take(&mut self, data: Bytes) -> Result<(), WrongLength> {
        match &mut self.framing {
            Framing::Chunked => {
                write_chunk_head(&mut self.head, data.len());
                self.head.extend_from_slice(&data);
                self.head.extend_from_slice(b"\r\n");
            }
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                self.data = data;
            }
            Framing::Nothing => return Err(WrongLength),
        }
        Ok(())
    }
}
