//! The body of an answer as a sequence of events, read no faster than they are taken.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use ::mcp::sse::{self, Decoder, Event, SseError};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::HeaderValue;
use http_body_util::BodyExt as _;
use net::body::Body;
use tokio_util::task::TaskTracker;

use crate::error::{CallError, Stage};
use crate::meter::Held;

/// Of a body that explains an HTTP error.
pub(super) const EXPLANATION: usize = 64 * 1024;

/// How long the end of a stream may take after its last message, before the connection is closed.
const TAIL: Duration = Duration::from_secs(1);

/// A body as a sequence of events.
#[derive(Debug)]
pub(super) struct Events {
    body: Body,
    decoder: Decoder,
    ready: VecDeque<Event>,
    /// Which events are handed out.
    taken: fn(&Event) -> bool,
    decoded: Vec<Event>,
    idle: Duration,
    /// The event after which this stream took up an earlier one.
    resumed_after: Option<Box<str>>,
    /// What that one said about the pause before it is taken up.
    earlier_retry: Option<Duration>,
}

impl Events {
    pub(super) fn new(body: Body, limit: usize, idle: Duration) -> Self {
        let limits = sse::Limits {
            line: limit,
            event: limit,
        };
        Self {
            body,
            decoder: Decoder::new(limits),
            ready: VecDeque::new(),
            taken: Event::is_message,
            decoded: Vec::new(),
            idle,
            resumed_after: None,
            earlier_retry: None,
        }
    }

    /// On which nothing comes.
    pub(super) fn silent(idle: Duration) -> Self {
        let nothing = futures_util::stream::pending::<Result<Bytes, std::convert::Infallible>>();
        Self::new(Body::from_stream(nothing), EXPLANATION, idle)
    }

    /// Another bound on the time between two pieces.
    pub(super) const fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Not only messages.
    pub(super) const fn of_any_kind(mut self) -> Self {
        self.taken = |_| true;
        self
    }

    /// From now on there is another bound on the time between two pieces.
    pub(super) const fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// This stream goes on where an earlier one stopped, whose pause holds until it says another.
    pub(super) fn after(mut self, last: &HeaderValue, retry: Option<Duration>) -> Self {
        self.resumed_after = last.to_str().ok().map(Box::from);
        self.earlier_retry = retry;
        self
    }

    /// The id of the last event that came, if events have ids.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.decoder
            .last_event_id()
            .or(self.resumed_after.as_deref())
            .filter(|id| !id.is_empty())
    }

    /// How long the server wants us to wait before taking the stream up again.
    pub(super) fn retry(&self) -> Option<Duration> {
        let said = self.decoder.retry().map(Duration::from_millis);
        said.or(self.earlier_retry)
    }

    /// How many bytes are held of events that are not complete, or that nobody has taken.
    pub(super) fn buffered(&self) -> usize {
        let ready = self.ready.iter();
        let ready = ready.map(|event| size_of::<Event>() + event.data.len());
        self.decoder.buffered() + ready.sum::<usize>()
    }

    /// It broke off: nothing of it is kept but what is needed to take it up again.
    pub(super) fn break_off(&mut self) {
        self.body = Body::empty();
        self.decoder.forget_rest();
        self.ready.clear();
    }

    /// The next event; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, CallError> {
        self.next_within(&mut Held::default()).await
    }

    /// The same. What is in memory meanwhile is counted; the event that is returned stays so until another is asked for.
    pub(super) async fn next_within(
        &mut self,
        held: &mut Held,
    ) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            held.shrink(self.decoder.buffered());
            let frame = match tokio::time::timeout(self.idle, self.body.frame()).await {
                Err(_) => return Err(CallError::TimedOut(Stage::Idle)),
                Ok(None) => return Ok(self.decoder.finish().filter(self.taken)),
                Ok(Some(Err(_))) => return Err(CallError::ClosedMidStream),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match self.decoder.push(&data, &mut self.decoded) {
                Ok(()) => {
                    let decoded = self.decoded.drain(..);
                    self.ready.extend(decoded.filter(self.taken));
                    held.set(self.buffered())?;
                }
                Err(SseError::LineTooLong { limit } | SseError::EventTooLarge { limit }) => {
                    return Err(CallError::TooLarge { limit });
                }
            }
        }
    }

    /// Lets the body end by itself, so that its connection can be used again. What still comes is
    /// not looked at; if it does not end soon, the connection is closed.
    pub(super) fn finish(mut self, tracker: &TaskTracker) {
        self.end(tracker);
    }

    /// The same, where somebody else holds it: there is nothing more in it.
    pub(super) fn end(&mut self, tracker: &TaskTracker) {
        let mut body = std::mem::take(&mut self.body);
        let mut at_end = Box::pin(async move {
            let mut spare = EXPLANATION;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match spare.checked_sub(length) {
                    Some(left) => spare = left,
                    None => return,
                }
            }
        });
        // Usually the end came together with the last event, and no task is needed.
        if Pin::new(&mut at_end).now_or_never().is_none() {
            tracker.spawn(async move {
                let _ = tokio::time::timeout(TAIL, at_end).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &'static str) -> Events {
        Events::new(Body::full(text), 1_000, Duration::from_secs(1))
    }

    // SEC-79
    #[tokio::test]
    async fn of_a_stream_that_broke_off_nothing_is_kept_but_where_it_was() {
        let mut broken = events("id: 7\ndata: a\n\ndata: b\n\nid: 8\ndata: c");
        let mut held = Held::default();
        assert!(broken.next_within(&mut held).await.unwrap().is_some());
        assert!(broken.buffered() > size_of::<Event>());
        broken.break_off();
        assert_eq!((broken.buffered(), broken.last_event_id()), (1, Some("7")));
        assert_eq!(broken.next_within(&mut held).await.unwrap(), None);
    }

    // UC-8, TL-7
    #[tokio::test]
    async fn a_stream_that_goes_on_knows_what_the_earlier_one_said_until_it_says_otherwise() {
        let last = HeaderValue::from_static("7");
        let said = Some(Duration::from_secs(15));
        let mut silent = events("data:\n\n").after(&last, said);
        silent.next().await.unwrap();
        assert_eq!((silent.last_event_id(), silent.retry()), (Some("7"), said));
        let mut other = events("id: 8\nretry: 20\ndata:\n\n").after(&last, said);
        other.next().await.unwrap();
        let said = Some(Duration::from_millis(20));
        assert_eq!((other.last_event_id(), other.retry()), (Some("8"), said));
    }
}
