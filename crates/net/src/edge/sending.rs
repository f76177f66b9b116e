//! An answer on its way to the client: the request is over once every byte of it has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::Version;
use http_body::{Frame, SizeHint};

use crate::body::{Body, BoxError};
use crate::edge::watch::{Flow, Registered, Watch};

/// A request whose answer has not left whole, nor been given up.
#[derive(Debug)]
pub(crate) struct UnderWay {
    watch: Arc<Watch>,
    /// HTTP/2: a client may read the connection and leave one stream alone (RFC 9113 §5.2).
    flow: Option<Registered<Flow>>,
}

impl UnderWay {
    pub(crate) fn begin(watch: &Arc<Watch>, version: Version) -> Self {
        watch.request_begins(version);
        Self {
            watch: Arc::clone(watch),
            flow: (version == Version::HTTP_2).then(|| watch.stream_begins()),
        }
    }

    fn note(&self, happened: impl FnOnce(&Flow, u64)) {
        if let Some(flow) = &self.flow {
            happened(&flow.entry, self.watch.now());
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.watch.request_ends();
    }
}

/// An answer's body. What it hands over is watched until it has left.
pub(crate) struct Sending {
    body: Body,
    under_way: Arc<UnderWay>,
}

impl Sending {
    pub(crate) fn new(body: Body, under_way: UnderWay) -> Self {
        Self {
            body,
            under_way: Arc::new(under_way),
        }
    }
}

impl http_body::Body for Sending {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_ok(|frame| frame.map_data(|bytes| Piece::new(bytes, &self.under_way)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that were handed over. They are dropped when they have left, or the stream was reset.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    under_way: Arc<UnderWay>,
}

impl Piece {
    fn new(bytes: Bytes, under_way: &Arc<UnderWay>) -> Self {
        under_way.note(Flow::piece_waits);
        Self {
            bytes,
            under_way: Arc::clone(under_way),
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.under_way.note(Flow::bytes_left);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.under_way.note(Flow::piece_left);
    }
}
