//! Calls that wait for a client of the stateless era to come back with what their target asked for. The target speaks the
//! session era: it asked in the middle of its answer, and goes on with that when it hears. Such a call is kept at one node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use mcp::input::Input;
use mcp::raw::{OwnedRaw, Raw};
use parking_lot::Mutex;
use targets::reply::{Answering, Ask, Outcome};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::detach::Stream;

/// How many there may be; each has a connection to its target.
const MOST: usize = 4096;

/// What a parked call is found by.
pub(crate) type ParkedId = [u8; 16];

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    calls: Mutex<HashMap<ParkedId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    waiting: Waiting,
    /// What ends the waiting; there is no need for it once the call goes on.
    expiry: AbortHandle,
}

/// What a client's coming back leads to.
#[derive(Debug)]
pub(crate) enum Answered {
    /// The call goes on.
    All(Stream),
    /// Some of it is to be asked again.
    Not(Waiting),
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    stream: Stream,
    questions: Vec<Question>,
    /// Of the next question.
    serial: u32,
}

#[derive(Debug)]
struct Question {
    key: Box<str>,
    input: Input,
    params: Option<OwnedRaw>,
    answering: Answering,
}

impl Waiting {
    /// A call and the questions that it waits for.
    pub(crate) fn new(stream: Stream, asked: Vec<Ask>) -> Self {
        let mut waiting = Self {
            stream,
            questions: Vec::new(),
            serial: 0,
        };
        for ask in asked {
            waiting.ask(ask);
        }
        waiting
    }

    fn ask(&mut self, ask: Ask) {
        self.serial += 1;
        let Ask {
            input,
            params,
            answering,
        } = ask;
        self.questions.push(Question {
            key: format!("input-{}", self.serial).into(),
            input,
            params,
            answering,
        });
    }

    /// What is asked, under the keys that it is answered under.
    pub(crate) fn questions(&self) -> impl Iterator<Item = (&str, Input, Option<Raw<'_>>)> {
        let questions = self.questions.iter();
        questions.map(|one| {
            (
                &*one.key,
                one.input,
                one.params.as_ref().map(OwnedRaw::borrow),
            )
        })
    }

    /// Takes the answers that are there to the target. The call goes on if there is one to each question; or else those that
    /// are left are to be asked again.
    pub(crate) fn answer(mut self, said: impl Fn(&str) -> Option<OwnedRaw>) -> Answered {
        let questions = std::mem::take(&mut self.questions);
        for question in questions {
            match said(&question.key) {
                Some(result) => question.answering.answer(Outcome::Result(result)),
                None => self.questions.push(question),
            }
        }
        if self.questions.is_empty() {
            Answered::All(self.stream)
        } else {
            Answered::Not(self)
        }
    }
}

impl Parked {
    /// Keeps a call until somebody who knows its id takes it, but not longer than this. None where there are too many.
    pub(crate) fn park(
        self: &Arc<Self>,
        (tasks, stop): (&TaskTracker, &CancellationToken),
        waiting: Waiting,
        patience: Duration,
    ) -> Option<ParkedId> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let mut calls = self.calls.lock();
        if calls.len() >= MOST {
            return None;
        }
        let (parked, stop) = (Arc::clone(self), stop.clone());
        let expiring = tasks.spawn(async move {
            let _ = stop.run_until_cancelled(tokio::time::sleep(patience)).await;
            // Dropped without the lock: with it, the call is cancelled at its target.
            let over = parked.take(&id);
            drop(over);
        });
        let expiry = expiring.abort_handle();
        calls.insert(id, Kept { waiting, expiry });
        Some(id)
    }

    /// The call of this id, which is not kept any more.
    pub(crate) fn take(&self, id: &ParkedId) -> Option<Waiting> {
        let Kept { waiting, expiry } = self.calls.lock().remove(id)?;
        expiry.abort();
        Some(waiting)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.lock().len()
    }
}
