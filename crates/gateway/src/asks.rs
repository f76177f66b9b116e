//! What clients of the session era are being asked: a request of ours on the stream of their call, which they answer with a
//! request of its own (TL-4, TL-9).

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp::id::{Id, OwnedId};
use mcp::raw::OwnedRaw;
use parking_lot::Mutex;
use policy::call::Principal;
use targets::reply::{Answering, Ask, Outcome};

use crate::session_id::SessionId;

/// Who is asked: nobody answers for somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The gateway's name.
    pub(crate) gateway: Arc<str>,
    pub(crate) principal: Principal,
    pub(crate) session: SessionId,
}

/// All that is being asked.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    open: Mutex<HashMap<OwnedId, Open>>,
}

#[derive(Debug)]
struct Open {
    asked: Asked,
    answering: Answering,
}

/// A request of ours that is not answered yet; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Asking {
    asks: Arc<Asks>,
    id: OwnedId,
}

impl Asks {
    /// Notes what is asked. The id that it is asked under tells nobody anything, and cannot be guessed. None without
    /// randomness: then there is no answer.
    pub(crate) fn ask(
        self: &Arc<Self>,
        asked: Asked,
        ask: Ask,
    ) -> Option<(Asking, Option<OwnedRaw>)> {
        let mut random = [0; 16];
        rand::fill(&mut random).ok()?;
        let id = OwnedId::text(&URL_SAFE_NO_PAD.encode(random));
        let Ask {
            params, answering, ..
        } = ask;
        let open = Open { asked, answering };
        self.open.lock().insert(id.clone(), open);
        let asking = Asking {
            asks: Arc::clone(self),
            id,
        };
        Some((asking, params))
    }

    /// Takes an answer to who asked. One that nobody waits for, from whomever, is none.
    pub(crate) fn answer(&self, asked: &Asked, id: Id<'_>, said: Outcome) -> bool {
        let id = id.canonical();
        let mut open = self.open.lock();
        if open.get(&id).is_none_or(|open| open.asked != *asked) {
            return false;
        }
        let answered = open.remove(&id);
        drop(open);
        if let Some(Open { answering, .. }) = answered {
            answering.answer(said);
        }
        true
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.open.lock().len()
    }
}

impl Asking {
    /// Whether the answer is still to come.
    pub(crate) fn is_open(&self) -> bool {
        self.asks.open.lock().contains_key(&self.id)
    }

    /// The id of the request.
    pub(crate) const fn id(&self) -> &OwnedId {
        &self.id
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // The answer that there is none is sent without the lock.
        let unanswered = self.asks.open.lock().remove(&self.id);
        drop(unanswered);
    }
}

#[cfg(test)]
mod tests {
    use mcp::input::Input;
    use mcp::raw::Raw;
    use tokio::sync::mpsc;

    use super::*;

    fn asked(principal: &str, session: u8) -> Asked {
        Asked {
            gateway: "demo".into(),
            principal: Principal::new(principal),
            session: SessionId([session; 16]),
        }
    }

    fn result(text: &str) -> Outcome {
        Outcome::Result(OwnedRaw::parse(text).unwrap())
    }

    fn ask(asks: &Arc<Asks>) -> (Asking, mpsc::UnboundedReceiver<Outcome>) {
        let (said, heard) = mpsc::unbounded_channel();
        let ask = Ask {
            input: Input::Elicitation,
            params: None,
            answering: Answering::new(move |outcome| drop(said.send(outcome))),
        };
        (asks.ask(asked("alice", 1), ask).unwrap().0, heard)
    }

    // TL-10, SEC-66
    #[test]
    fn an_answer_counts_from_who_was_asked_in_the_same_session_and_once() {
        let asks = Arc::new(Asks::default());
        let (asking, mut heard) = ask(&asks);
        let id = asking.id().clone();
        for other in [asked("mallory", 1), asked("alice", 2)] {
            assert!(!asks.answer(&other, id.borrow(), result("{}")));
        }
        let guessed = Id::new(Raw::parse("1").unwrap()).unwrap();
        assert!(!asks.answer(&asked("alice", 1), guessed, result("{}")));
        assert!(asks.answer(&asked("alice", 1), id.borrow(), result(r#"{"a":1}"#)));
        assert!(!asks.answer(&asked("alice", 1), id.borrow(), result("{}")));
        assert_eq!(heard.try_recv().unwrap(), result(r#"{"a":1}"#));
        assert_eq!(asks.open(), 0);
    }

    #[test]
    fn whoever_asked_hears_of_it_if_nobody_waits_any_more() {
        let asks = Arc::new(Asks::default());
        let (asking, mut heard) = ask(&asks);
        drop(asking);
        assert!(matches!(heard.try_recv().unwrap(), Outcome::Error { .. }));
        assert_eq!(asks.open(), 0);
    }
}
