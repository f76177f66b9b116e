//! Subscriptions to resources. Those who want to hear of one resource share one subscription at its target, which hears of
//! none of them: what comes back names the resource and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};

use crate::error::CallError;

/// Resources of one target that somebody is subscribed to.
const MOST: usize = 10_000;

/// Where one subscriber finds what was updated. Several updates of one resource are one until they are taken.
#[derive(Debug, Default)]
pub struct Mailbox {
    updated: Mutex<BTreeSet<Arc<str>>>,
    arrived: Notify,
}

impl Mailbox {
    /// Waits for updates, and takes them: URIs. Dropping the future loses nothing.
    pub async fn next(&self) -> BTreeSet<Arc<str>> {
        loop {
            let updated = std::mem::take(&mut *self.updated.lock());
            if !updated.is_empty() {
                return updated;
            }
            self.arrived.notified().await;
        }
    }

    fn put(&self, uri: &Arc<str>) {
        self.updated.lock().insert(Arc::clone(uri));
        self.arrived.notify_one();
    }
}

/// That somebody is subscribed to a resource, until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    topics: Arc<Topics>,
    uri: Arc<str>,
    serial: u64,
    state: watch::Receiver<State>,
}

/// How it stands with the subscription at the target.
#[derive(Debug, Clone, Default)]
pub(crate) enum State {
    /// The target was not asked yet.
    #[default]
    Wanted,
    /// It tells of updates.
    Standing,
    /// It does not.
    Refused(CallError),
}

#[derive(Debug)]
struct Topic {
    subscribers: BTreeMap<u64, Weak<Mailbox>>,
    state: watch::Sender<State>,
}

/// The resources of a target that somebody is subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    open: Mutex<Open>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    topics: HashMap<Arc<str>, Topic>,
    serial: u64,
}

impl Topics {
    /// One more subscriber. None if there are too many topics.
    pub(crate) fn join(
        self: &Arc<Self>,
        uri: &Arc<str>,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Subscription> {
        let mut open = self.open.lock();
        open.serial += 1;
        let serial = open.serial;
        if open.topics.len() >= MOST && !open.topics.contains_key(uri) {
            return None;
        }
        let topic = open.topics.entry(Arc::clone(uri)).or_insert_with(|| Topic {
            subscribers: BTreeMap::new(),
            state: watch::Sender::default(),
        });
        // Whoever comes after a refusal asks again.
        let is_refused = matches!(&*topic.state.borrow(), State::Refused(_));
        if is_refused {
            topic.state.send_replace(State::Wanted);
        }
        let is_news = topic.subscribers.is_empty() || is_refused;
        topic.subscribers.insert(serial, Arc::downgrade(mailbox));
        let state = topic.state.subscribe();
        drop(open);
        if is_news {
            self.changed.notify_one();
        }
        Some(Subscription {
            topics: Arc::clone(self),
            uri: Arc::clone(uri),
            serial,
            state,
        })
    }

    /// Waits until somebody is subscribed to another resource than before, or nobody to one of them any more.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Those that somebody is subscribed to, but for those that the target refused.
    pub(crate) fn wanted(&self) -> BTreeSet<Arc<str>> {
        let open = self.open.lock();
        let wanted = open
            .topics
            .iter()
            .filter(|(_, topic)| !matches!(&*topic.state.borrow(), State::Refused(_)));
        wanted.map(|(uri, _)| Arc::clone(uri)).collect()
    }

    /// What became of the subscription at the target.
    pub(crate) fn settle(&self, uri: &str, state: State) {
        if let Some(topic) = self.open.lock().topics.get(uri) {
            topic.state.send_replace(state);
        }
    }

    /// The target could not be asked. Who waits for it is told; whether somebody is there who was told before that it stands.
    pub(crate) fn fail(&self, uri: &str, error: &CallError) -> bool {
        let open = self.open.lock();
        let Some(topic) = open.topics.get(uri) else {
            return false;
        };
        let stands = matches!(&*topic.state.borrow(), State::Standing);
        if !stands {
            topic.state.send_replace(State::Refused(error.clone()));
        }
        stands
    }

    /// The target tells of all of these.
    pub(crate) fn settle_all(&self, standing: &BTreeSet<Arc<str>>) {
        for uri in standing {
            self.settle(uri, State::Standing);
        }
    }

    /// A resource, or a part of it, was updated.
    pub(crate) fn updated(&self, uri: &str) {
        let open = self.open.lock();
        let mut mailboxes: Vec<Arc<Mailbox>> = Vec::new();
        let mut tell = |topic: &Topic| {
            mailboxes.extend(topic.subscribers.values().filter_map(Weak::upgrade));
        };
        if let Some(topic) = open.topics.get(uri) {
            tell(topic);
        } else {
            // Of a folder, for instance.
            let within = |topic: &str| {
                let rest = uri.strip_prefix(topic);
                rest.is_some_and(|rest| topic.ends_with('/') || rest.starts_with('/'))
            };
            let topics = open.topics.iter();
            for (_, topic) in topics.filter(|(topic, _)| within(topic)) {
                tell(topic);
            }
        }
        drop(open);
        let uri: Arc<str> = uri.into();
        for mailbox in mailboxes {
            mailbox.put(&uri);
        }
    }

    fn leave(&self, uri: &Arc<str>, serial: u64) {
        let mut open = self.open.lock();
        let Some(topic) = open.topics.get_mut(uri) else {
            return;
        };
        topic.subscribers.remove(&serial);
        if topic.subscribers.is_empty() {
            open.topics.remove(uri);
            drop(open);
            self.changed.notify_one();
        }
    }
}

impl Subscription {
    /// Waits until the target tells of updates.
    ///
    /// # Errors
    /// If it says that it does not.
    pub(crate) async fn standing(&mut self) -> Result<(), CallError> {
        let settled = self.state.wait_for(|state| !matches!(state, State::Wanted));
        match settled.await.as_deref() {
            Ok(State::Refused(error)) => Err(error.clone()),
            Ok(State::Standing | State::Wanted) => Ok(()),
            // The topic is as old as the subscription.
            Err(_) => Err(CallError::ClosedMidStream),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topics.leave(&self.uri, self.serial);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn taken(mailbox: &Mailbox) -> Vec<String> {
        let taken = mailbox.next().now_or_never().unwrap_or_default();
        taken.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_hears_of_what_he_is_subscribed_to_once_until_he_looks() {
        let topics = Arc::new(Topics::default());
        let (alice, bob) = (Arc::<Mailbox>::default(), Arc::<Mailbox>::default());
        let of_alice = topics.join(&"a:b".into(), &alice).unwrap();
        let _folder = topics.join(&"a:c".into(), &alice).unwrap();
        let _of_bob = topics.join(&"a:b".into(), &bob).unwrap();
        for uri in ["a:b", "a:b", "a:bc", "a:c/d"] {
            topics.updated(uri);
        }
        assert_eq!(taken(&alice), ["a:b", "a:c/d"]);
        assert_eq!(taken(&alice), [""; 0]);
        assert_eq!(taken(&bob), ["a:b"]);
        drop(of_alice);
        topics.updated("a:b");
        assert_eq!(taken(&alice), [""; 0]);
        assert_eq!(topics.wanted().len(), 2);
    }

    #[tokio::test]
    async fn what_a_target_refused_is_asked_for_again_by_who_comes_later() {
        let topics = Arc::new(Topics::default());
        let alice = Arc::<Mailbox>::default();
        let mut first = topics.join(&"a:b".into(), &alice).unwrap();
        assert!(first.standing().now_or_never().is_none());
        topics.settle("a:b", State::Refused(CallError::Cancelled));
        assert!(first.standing().await.is_err());
        assert!(topics.wanted().is_empty());
        let mut second = topics.join(&"a:b".into(), &alice).unwrap();
        assert_eq!(topics.wanted().len(), 1);
        topics.settle("a:b", State::Standing);
        assert!(second.standing().await.is_ok());
    }
}
