//! Calls that outlive whoever waits for them: to a legacy client, hanging up is not cancelling (TL-8).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use targets::error::CallError;
use targets::mcp::stream::Messages;
use targets::reply::{Message, Reply};
use tokio_util::task::TaskTracker;

use crate::flights::Flight;

type Outcome = Result<Reply, CallError>;

/// A call that is carried on in the background if it is dropped before its end.
pub(crate) struct Detach<F: Future<Output = Outcome> + Send + 'static> {
    call: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
}

impl<F: Future<Output = Outcome> + Send + 'static> Detach<F> {
    pub(crate) fn new(call: F, tasks: &TaskTracker) -> Self {
        Self {
            call: Some(Box::pin(call)),
            tasks: tasks.clone(),
        }
    }
}

impl<F: Future<Output = Outcome> + Send + 'static> Future for Detach<F> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(call) = &mut self.call else {
            return Poll::Pending;
        };
        let outcome = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(outcome)
    }
}

impl<F: Future<Output = Outcome> + Send + 'static> Drop for Detach<F> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.tasks.spawn(async move {
                if let Ok(Reply::Stream(messages)) = call.await {
                    read_to_end(messages).await;
                }
            });
        }
    }
}

/// The messages of a call, which go on being read if this is dropped before their end and the call is a legacy client's.
pub(crate) struct Stream {
    messages: Option<Box<Messages>>,
    /// A legacy client's call, and where to carry it on.
    legacy: Option<(Flight, TaskTracker)>,
}

impl Stream {
    pub(crate) fn new(messages: Box<Messages>, legacy: Option<(Flight, TaskTracker)>) -> Self {
        Self {
            messages: Some(messages),
            legacy,
        }
    }

    /// The next message; none after the answer, or an error. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, CallError>> {
        let next = self.messages.as_mut()?.next().await;
        if !matches!(next, Some(Ok(Message::Notification { .. }))) {
            self.messages = None;
        }
        next
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (Some(messages), Some((flight, tasks))) = (self.messages.take(), self.legacy.take())
        {
            tasks.spawn(async move {
                read_to_end(messages).await;
                drop(flight);
            });
        }
    }
}

async fn read_to_end(mut messages: Box<Messages>) {
    while messages.next().await.is_some() {}
}
