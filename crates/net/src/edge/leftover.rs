//! Reads what a refused request still has to send, so that its connection can be used again.
//!
//! A site often answers before it has read the request's body, for instance when a token is missing.
//! On HTTP/1 the rest would then end the connection, without a word about it in the answer; clients
//! that write headers and body apart, as many do, find the connection dead at their next request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

/// Bytes of an unread body that are read and thrown away; more ends the connection (SEC-79).
const MOST: usize = 64 * 1024;
/// How long all of them may take (SEC-61).
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the body of a connection's present request goes when it is dropped before its end.
#[derive(Default)]
pub(crate) struct Leftover {
    slot: Mutex<Slot>,
}

#[derive(Default)]
enum Slot {
    /// The site has not answered.
    Waiting,
    /// The site dropped a body that had not ended.
    Dropped(Incoming),
    /// The site has answered; what is dropped now is gone.
    #[default]
    Closed,
}

impl Leftover {
    /// Gives the body of the next request to a site.
    pub(crate) fn lend(self: &Arc<Self>, body: Incoming) -> Lent {
        *self.slot.lock() = Slot::Waiting;
        Lent {
            body: Some(body),
            owner: Arc::clone(self),
        }
    }

    /// After the site has answered: reads what it left of the body. False if the connection has to end.
    pub(crate) async fn read(&self) -> bool {
        match self.close() {
            Slot::Dropped(body) => tokio::time::timeout(PATIENCE, reads_to_end(body))
                .await
                .unwrap_or(false),
            Slot::Waiting | Slot::Closed => true,
        }
    }

    /// After the site has answered: whether it left something of the body, which is then gone.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self.close(), Slot::Dropped(_))
    }

    fn close(&self) -> Slot {
        std::mem::replace(&mut *self.slot.lock(), Slot::Closed)
    }
}

async fn reads_to_end(mut body: Incoming) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MOST {
            return false;
        }
    }
    true
}

/// A request's body in the hands of a site.
pub(crate) struct Lent {
    body: Option<Incoming>,
    owner: Arc<Leftover>,
}

impl Lent {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            let mut slot = self.owner.slot.lock();
            if matches!(*slot, Slot::Waiting) {
                *slot = Slot::Dropped(body);
            }
        }
    }
}
