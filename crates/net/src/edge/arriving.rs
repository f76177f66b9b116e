//! A request's body while it arrives, at the pace that its connection watches.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::boxed::BoxError;
use crate::edge::leftover::Lent;
use crate::edge::pace::{Progress, TooSlow};
use crate::edge::watch::{Registered, Watch};

/// A request's body on its way in.
pub(crate) struct Arriving {
    body: Source,
    watch: Arc<Watch>,
    bytes: u64,
    /// Since it was waited for.
    progress: Option<Registered<Progress>>,
}

/// Where a body comes from.
pub(crate) enum Source {
    /// From a connection that does not depend on it.
    Incoming(Incoming),
    /// From one that can be used again only after its end.
    Lent(Lent),
}

impl Arriving {
    pub(crate) const fn new(body: Source, watch: Arc<Watch>) -> Self {
        Self {
            body,
            watch,
            bytes: 0,
            progress: None,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match &mut self.body {
            Source::Incoming(body) => Pin::new(body).poll_frame(cx),
            Source::Lent(body) => body.poll_frame(cx),
        };
        match polled {
            Poll::Pending => {
                let (watch, bytes) = (&self.watch, self.bytes);
                let progress = self.progress.get_or_insert_with(|| {
                    let registered = watch.body_is_waited_for();
                    registered.entry.came(bytes, watch.now());
                    registered
                });
                progress.entry.waits(watch.now(), cx);
                if progress.entry.is_given_up() {
                    return Poll::Ready(Some(Err(TooSlow.into())));
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.bytes += bytes;
                if let Some(progress) = &self.progress {
                    progress.entry.came(bytes, self.watch.now());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|end| end.map_err(Into::into))),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Incoming(body) => body.is_end_stream(),
            Source::Lent(body) => body.is_end_stream(),
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Incoming(body) => body.size_hint(),
            Source::Lent(body) => body.size_hint(),
        }
    }
}
