//! Whether the users that the configuration declares can log in yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether everybody whom the configuration declares is in the store. Until then no login is tried, as the right
/// password of somebody who is not there yet would be taken for a wrong one; that goes for all users of all realms, so
/// that nobody learns who is declared (SEC-54). Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct DeclaredUsers(Arc<AtomicBool>);

impl DeclaredUsers {
    /// They are there, and stay: what a later configuration declares is brought in before it is served.
    pub fn arrived(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether they are there.
    pub fn are_there(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
