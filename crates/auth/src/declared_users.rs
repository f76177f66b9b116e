//! Whether the users that the configuration declares can log in yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Whether everybody whom the configuration declares is in the store. Until then no login is tried, as the right
/// password of somebody who is not there yet would be taken for a wrong one; that goes for all users of all realms, so
/// that nobody learns who is declared (SEC-54). Clones share the answer.
#[derive(Clone, Debug)]
pub struct DeclaredUsers {
    there: Arc<watch::Sender<bool>>,
    patience: Duration,
}

impl Default for DeclaredUsers {
    /// Logins wait ten seconds: people, and programs that follow pages, take a late answer better than a refusal.
    fn default() -> Self {
        Self::awaited(Duration::from_secs(10))
    }
}

impl DeclaredUsers {
    /// They are not there yet, and logins wait for them this long.
    pub fn awaited(patience: Duration) -> Self {
        Self {
            there: Arc::default(),
            patience,
        }
    }

    /// They are there, and stay: what a later configuration declares is brought in before it is served.
    pub fn arrived(&self) {
        self.there.send_replace(true);
    }

    /// Whether they are there.
    pub fn are_there(&self) -> bool {
        *self.there.borrow()
    }

    /// Waits for them, but not for ever. Says whether they are there.
    pub(crate) async fn wait(&self) -> bool {
        let mut there = self.there.subscribe();
        let arrival = there.wait_for(|there| *there);
        matches!(
            tokio::time::timeout(self.patience, arrival).await,
            Ok(Ok(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-54
    #[tokio::test(start_paused = true)]
    async fn a_login_waits_for_users_who_arrive_soon_and_not_for_ever() {
        let users = DeclaredUsers::default();
        let arriving = users.clone();
        let arrive = async {
            tokio::time::sleep(users.patience / 2).await;
            arriving.arrived();
        };
        assert!(!users.are_there());
        assert_eq!(tokio::join!(users.wait(), arrive), (true, ()));
        assert!(users.are_there() && users.wait().await);
        assert!(!DeclaredUsers::default().wait().await);
    }
}
