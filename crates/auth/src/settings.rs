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
    /// Which addresses may be dialled for what the operator configured: the `jwks_uri` of registered clients.
    pub operators_rules: Rules,
    /// How much fetching strangers may cause, over all realms (SEC-27).
    pub budgets: budget::Settings,
}

impl Settings {
    /// These realms, and the defaults of everything else.
    pub fn new(realms: Vec<Realm>) -> Self {
        Self {
            realms,
            operators_rules: Rules::default(),
            budgets: budget::Settings::default(),
        }
    }
}

/// What the authorization server needs of the process that it lives in.
pub struct Parts {
    /// Where everything is kept, and what seals cookies.
    pub store: store::Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Dials out to what the operator named.
    pub connector: Arc<Connector>,
    /// Dials out to what strangers name.
    pub strangers: Arc<Connector>,
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
