//! What is configured about the authorization server, and what it is lent.

use std::fmt;
use std::sync::Arc;

use model::clock::Clock;
use model::realm::Realm;
use net::egress::budget;
use net::egress::connect::Connector;
use net::egress::documents::WallClock;
use net::egress::rules::Rules;

use crate::declared_users::DeclaredUsers;
use crate::metrics::Metrics;
use crate::password_pool::PasswordPool;

/// What is configured about the authorization server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The realms to serve.
    pub realms: Vec<Realm>,
    /// How much fetching strangers may cause, over all realms (SEC-27).
    pub budgets: budget::Settings,
}

impl Settings {
    /// These realms, and the defaults of everything else.
    pub fn new(realms: Vec<Realm>) -> Self {
        Self {
            realms,
            budgets: budget::Settings::default(),
        }
    }
}

/// What is dialled out with.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// To what the operator named.
    pub operators: Arc<Connector>,
    /// To what strangers name.
    pub strangers: Arc<Connector>,
    /// Which addresses may be dialled for what the operator configured: the `jwks_uri` of registered clients.
    pub operators_rules: Rules,
}

impl Outgoing {
    /// Dials nothing that a test would notice.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use net::egress::connect::ExtraRoots;
        use net::egress::resolve::SystemResolver;

        let resolver = Arc::new(SystemResolver::default());
        let connector = Arc::new(Connector::new(resolver, ExtraRoots::default()));
        Self {
            operators: Arc::clone(&connector),
            strangers: connector,
            operators_rules: Rules::default(),
        }
    }

    /// Whether these are the very connectors of another, under the same rules.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.operators, &other.operators)
            && Arc::ptr_eq(&self.strangers, &other.strangers)
            && self.operators_rules == other.operators_rules
    }
}

/// What the authorization server needs of the process that it lives in.
pub struct Parts {
    /// Where everything is kept, and what seals cookies.
    pub store: store::Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What is dialled out with.
    pub outgoing: Outgoing,
    /// Tells the wall time to caches of documents.
    pub wall: WallClock,
    /// What is counted.
    pub metrics: Metrics,
    /// Checks passwords (SEC-53, SEC-79).
    pub passwords: PasswordPool,
    /// Says when logins may begin.
    pub declared_users: DeclaredUsers,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}
