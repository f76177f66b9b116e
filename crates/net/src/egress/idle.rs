//! Connections that wait for the next request, those of each worker thread apart.
//!
//! A connection is woken by the runtime that it was dialled on. Used by another thread it would wake
//! that one across cores at every answer; so each thread keeps to its own.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::edge::workers;
use crate::egress::live::Live;

/// The idle connections of one upstream, by the number of their thread; last in first out.
#[derive(Default)]
pub(crate) struct IdleConnections {
    by_worker: Mutex<Vec<Vec<Idle>>>,
}

struct Idle {
    live: Box<Live>,
    since: Instant,
    until: Instant,
}

/// A connection that waited for so long.
pub(crate) struct Waited {
    pub(crate) live: Box<Live>,
    pub(crate) time: Duration,
}

impl IdleConnections {
    /// The one of this thread that was used last, and not within `rest`.
    pub(crate) fn take(&self, now: Instant, rest: Duration) -> Option<Waited> {
        let mut expired = Vec::new();
        let mut found = None;
        {
            let mut by_worker = self.by_worker.lock();
            let ours = by_worker.get_mut(workers::current())?;
            // They lie in the order in which they came back, so that those that have not rested are the last ones.
            let fresh = ours
                .iter()
                .rev()
                .take_while(|idle| now.saturating_duration_since(idle.since) < rest)
                .count();
            let fresher = ours.split_off(ours.len() - fresh);
            while let Some(candidate) = ours.pop() {
                if candidate.until > now {
                    found = Some(Waited {
                        live: candidate.live,
                        time: now.saturating_duration_since(candidate.since),
                    });
                    break;
                }
                expired.push(candidate);
            }
            ours.extend(fresher);
        }
        // Sockets are closed without the lock.
        drop(expired);
        found
    }

    /// Keeps one, unless this thread keeps `most` already.
    pub(crate) fn put(&self, live: Box<Live>, since: Instant, until: Instant, most: usize) {
        let worker = workers::current();
        let mut by_worker = self.by_worker.lock();
        if by_worker.len() <= worker {
            by_worker.resize_with(worker + 1, Vec::new);
        }
        if let Some(ours) = by_worker.get_mut(worker)
            && ours.len() < most
        {
            ours.push(Idle { live, since, until });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_worker.lock().iter().all(Vec::is_empty)
    }

    /// How many there are that still look usable.
    pub(crate) fn count(&self) -> usize {
        let mut by_worker = self.by_worker.lock();
        let all = by_worker.iter_mut().flatten();
        all.map(|idle| usize::from(idle.live.is_open())).sum()
    }

    /// Closes those that were unused for too long or that their servers have closed.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut connections = std::mem::take(&mut *self.by_worker.lock());
        for of_worker in &mut connections {
            of_worker.retain_mut(|idle| idle.until > now && idle.live.is_open());
        }
        let mut by_worker = self.by_worker.lock();
        // What came back meanwhile is fresher and stays on top.
        for (worker, mut fresher) in by_worker.drain(..).enumerate() {
            match connections.get_mut(worker) {
                Some(of_worker) => of_worker.append(&mut fresher),
                None => connections.push(fresher),
            }
        }
        *by_worker = connections;
    }
}
