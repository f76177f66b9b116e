//! Calls that outlive whoever waits for them: to a legacy client, hanging up is not cancelling (TL-8).

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use policy::call::Principal;
use targets::error::CallError;
use targets::reply::{Message, Messages, Reply};
use tokio_util::task::TaskTracker;

use crate::flights::Flight;
use crate::quota::Burden;

type Outcome = Result<Reply, CallError>;

/// How many calls are carried on that nobody waits for, and how many of one principal (SEC-79).
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 32;

/// Where such calls are carried on.
#[derive(Debug)]
pub(crate) struct Background {
    tasks: TaskTracker,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    all: usize,
    of: HashMap<Principal, usize>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Place {
    background: Arc<Background>,
    principal: Principal,
}

impl Background {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self {
            tasks,
            under_way: Mutex::default(),
        }
    }

    /// Carries a call on, which can still be cancelled as long as its flight lasts. Where there are too many already, it is
    /// dropped, and with that cancelled at its target.
    fn carry_on(
        self: &Arc<Self>,
        (flight, burden): (Flight, Burden),
        call: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(place) = self.place(flight.principal()) else {
            tracing::warn!(
                "a client left more calls behind than are carried on; this one is cancelled"
            );
            return;
        };
        self.tasks.spawn(async move {
            call.await;
            drop((flight, place, burden));
        });
    }

    /// Runs something in the background.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// A place among the calls that nobody waits for.
    pub(crate) fn place(self: &Arc<Self>, principal: &Principal) -> Option<Place> {
        let mut under_way = self.under_way.lock();
        let of_one = under_way.of.get(principal).copied().unwrap_or_default();
        if under_way.all >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        under_way.all += 1;
        under_way.of.insert(principal.clone(), of_one + 1);
        drop(under_way);
        Some(Place {
            background: Arc::clone(self),
            principal: principal.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.background.under_way.lock();
        under_way.all = under_way.all.saturating_sub(1);
        if let Some(left) = under_way.of.get_mut(&self.principal) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                under_way.of.remove(&self.principal);
            }
        }
    }
}

/// A legacy client's call: how it is found, and where it is carried on.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) flight: Flight,
    pub(crate) background: Arc<Background>,
    /// What it takes up, for as long as it is carried on.
    pub(crate) burden: Burden,
}

/// What a call takes up until its end.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// It ends with its reader.
    Modern {
        /// What it takes up.
        _burden: Burden,
    },
    /// The same, and what it needs to outlive its reader.
    Legacy(Legacy),
}

/// A call that is carried on in the background if it is dropped before its end.
pub(crate) struct Detach<F: Future<Output = Outcome> + Send + 'static> {
    call: Option<(Pin<Box<F>>, Legacy)>,
}

impl<F: Future<Output = Outcome> + Send + 'static> Detach<F> {
    pub(crate) fn new(call: F, legacy: Legacy) -> Self {
        Self {
            call: Some((Box::pin(call), legacy)),
        }
    }
}

impl<F: Future<Output = Outcome> + Send + 'static> Future for Detach<F> {
    /// The outcome, and the call again: its messages may be still to come.
    type Output = (Outcome, Legacy);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((call, _)) = &mut self.call else {
            return Poll::Pending;
        };
        let outcome = std::task::ready!(call.as_mut().poll(cx));
        match self.call.take() {
            Some((_, legacy)) => Poll::Ready((outcome, legacy)),
            None => Poll::Pending,
        }
    }
}

impl<F: Future<Output = Outcome> + Send + 'static> Drop for Detach<F> {
    fn drop(&mut self) {
        if let Some((call, legacy)) = self.call.take() {
            let Legacy {
                flight,
                background,
                burden,
            } = legacy;
            background.carry_on((flight, burden), async move {
                if let Ok(Reply::Stream(messages)) = call.await {
                    read_to_end(messages).await;
                }
            });
        }
    }
}

/// The messages of a call, which go on being read if this is dropped before their end and the call is a legacy client's.
#[derive(Debug)]
pub(crate) struct Stream {
    messages: Option<Box<dyn Messages>>,
    ticket: Option<Ticket>,
}

impl Stream {
    pub(crate) fn new(messages: Box<dyn Messages>, ticket: Ticket) -> Self {
        Self {
            messages: Some(messages),
            ticket: Some(ticket),
        }
    }

    /// The call goes on by another request of a modern client, which takes up its own share and wants to hear of progress under
    /// this token.
    pub(crate) fn go_on(&mut self, burden: Burden, progress_token: Option<Box<str>>) {
        self.ticket = Some(Ticket::Modern { _burden: burden });
        if let Some(messages) = &mut self.messages {
            messages.go_on(progress_token);
        }
    }

    /// The next message; none after the answer, or an error. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Message, CallError>> {
        let next = self.messages.as_mut()?.next().await;
        if !matches!(
            next,
            Some(Ok(Message::Notification { .. } | Message::Ask(_)))
        ) {
            self.messages = None;
        }
        next
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (Some(messages), Some(Ticket::Legacy(legacy))) =
            (self.messages.take(), self.ticket.take())
        {
            let Legacy {
                flight,
                background,
                burden,
            } = legacy;
            background.carry_on((flight, burden), read_to_end(messages));
        }
    }
}

/// What is asked meanwhile has no answer: nobody is there.
async fn read_to_end(mut messages: Box<dyn Messages>) {
    while messages.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-79
    #[test]
    fn there_is_a_bound_for_all_and_one_for_each() {
        let background = Arc::new(Background::new(TaskTracker::new()));
        let of = |name: &str| background.place(&Principal::new(name));
        let mut places: Vec<Place> = (0..MOST_OF_ONE).filter_map(|_| of("alice")).collect();
        assert_eq!(places.len(), MOST_OF_ONE);
        assert!(of("alice").is_none() && of("bob").is_some());
        places.extend((MOST_OF_ONE..MOST).filter_map(|one| of(&one.to_string())));
        assert_eq!(places.len(), MOST);
        assert!(of("bob").is_none());
        places.clear();
        assert!(of("alice").is_some() && background.under_way.lock().of.is_empty());
    }
}
