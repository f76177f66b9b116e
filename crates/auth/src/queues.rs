//! Queues by name: who comes with the same name is served one after the other, in the order of arrival.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// The queues in which somebody is.
#[derive(Default)]
pub(crate) struct Queues {
    queues: Arc<Mutex<HashMap<String, Queue>>>,
}

/// One queue, and how many are in it.
#[derive(Default)]
struct Queue {
    lock: Arc<tokio::sync::Mutex<()>>,
    length: usize,
}

/// A place in a queue. Whoever holds it after [`Queues::turn`] is being served; the next one is when it is dropped.
pub(crate) struct Turn {
    queues: Arc<Mutex<HashMap<String, Queue>>>,
    name: String,
    served: Option<OwnedMutexGuard<()>>,
}

impl Queues {
    /// Waits until all who came earlier with this name are done.
    pub(crate) async fn turn(&self, name: String) -> Turn {
        let lock = {
            let mut queues = self.queues.lock();
            let queue = queues.entry(name.clone()).or_default();
            queue.length += 1;
            Arc::clone(&queue.lock)
        };
        // Made before the wait, so that who gives it up leaves the queue, too.
        let mut turn = Turn {
            queues: Arc::clone(&self.queues),
            name,
            served: None,
        };
        turn.served = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.served = None;
        let mut queues = self.queues.lock();
        if let Some(queue) = queues.get_mut(&self.name) {
            queue.length -= 1;
            if queue.length == 0 {
                queues.remove(&self.name);
            }
        }
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queues({})", self.queues.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_name_is_served_in_the_order_of_arrival_and_others_beside_it() {
        let queues = Queues::default();
        let first = queues.turn("a".to_owned()).await;
        let mut second = Box::pin(queues.turn("a".to_owned()));
        let mut third = Box::pin(queues.turn("a".to_owned()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        let elsewhere = queues.turn("b".to_owned()).now_or_never();
        assert!(elsewhere.is_some());
        drop(first);
        assert!((&mut third).now_or_never().is_none());
        let second = second.await;
        drop(second);
        drop(third.await);
        drop(elsewhere);
        assert_eq!(queues.queues.lock().len(), 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let queues = Queues::default();
        let first = queues.turn("a".to_owned()).await;
        let mut second = Box::pin(queues.turn("a".to_owned()));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        drop(second);
        assert_eq!(queues.queues.lock().len(), 0);
        assert!(queues.turn("a".to_owned()).now_or_never().is_some());
    }
}
