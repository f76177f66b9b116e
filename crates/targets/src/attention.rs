//! Clients of the session era that have a stream of their own open: what a target says outside of any call reaches them there.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::reply::Message;

/// Messages that wait to be read. Where there are more, what only informs is left out, and what asks has no answer.
const AHEAD: usize = 64;

/// Where such messages arrive.
pub type Heard = mpsc::Receiver<Message>;

/// Takes messages there, from all targets.
#[derive(Debug, Clone)]
pub struct Hearing(Arc<mpsc::Sender<Message>>);

impl Hearing {
    /// A place that nobody knows yet, and where to read what arrives.
    pub fn new() -> (Self, Heard) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        (Self(Arc::new(sender)), receiver)
    }

    /// Says it, if there is room.
    pub(crate) fn say(&self, message: Message) {
        if let Err(error) = self.0.try_send(message) {
            tracing::debug!(%error, "a client does not read what is said outside of its calls");
        }
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }
}
