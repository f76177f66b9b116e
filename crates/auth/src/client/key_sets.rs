//! The key sets that clients publish at an address of their own, fetched under the rules that fit who named it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use model::client::{Client, Provenance};
use model::client_policy::CimdPolicy;
use net::egress::budget::Budgets;
use net::egress::client::{self as egress, Fetched};
use net::egress::connect::Connector;
use net::egress::documents::{self, DocumentError, Documents, WallClock};
use net::egress::rules::Rules;
use oauth::jose::jwk::{JwkSet, JwkSetError};
use url::Url;

use crate::settings::Outgoing;

/// Key sets of the clients of one realm.
pub(crate) struct KeySets {
    /// Named by strangers in their documents: the realm's rules for strangers hold (CI-15).
    strangers: Documents<JwkSet, JwkSetError>,
    /// Named by the operator in the configuration.
    operators: Documents<JwkSet, JwkSetError>,
}

impl fmt::Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySets")
    }
}

impl KeySets {
    /// Empty caches; `budgets` are shared by all realms.
    pub(crate) fn new(
        policy: &CimdPolicy,
        outgoing: &Outgoing,
        budgets: &Arc<Budgets>,
        wall: &WallClock,
    ) -> Self {
        let strangers = Rules {
            allow_networks: policy.allowed_networks(),
            allow_http: policy.allow_http,
            ports: policy.fetchable_ports().map(<[u16]>::to_vec),
        };
        let cache = |connector: &Arc<Connector>, rules: Rules, settings| {
            let client = egress::Client::new(Arc::clone(connector), rules);
            Documents::new(client, settings, Arc::clone(budgets), Arc::clone(wall))
        };
        Self {
            strangers: cache(
                &outgoing.strangers,
                strangers,
                documents::Settings::SERVER_METADATA,
            ),
            operators: cache(
                &outgoing.operators,
                outgoing.operators_rules.clone(),
                documents::Settings::CONFIGURED,
            ),
        }
    }

    /// Fetches nothing that a test would notice.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let budgets = Arc::new(Budgets::new(net::egress::budget::Settings::default()));
        let wall: WallClock = Arc::new(|| std::time::UNIX_EPOCH);
        Self::new(
            &CimdPolicy::default(),
            &Outgoing::for_tests(),
            &budgets,
            &wall,
        )
    }

    /// The keys at an address, from the cache while they are fresh.
    pub(crate) async fn get(
        &self,
        client: &Client,
        url: &Url,
        source: IpAddr,
    ) -> Option<Arc<JwkSet>> {
        let (documents, source) = self.of(client, source);
        let outcome = documents.get(url, source, parse).await;
        accept(client, outcome.map(|document| document.value))
    }

    /// The keys at an address, fetched again unless that happened just now (SEC-44).
    pub(crate) async fn refresh(
        &self,
        client: &Client,
        url: &Url,
        source: IpAddr,
    ) -> Option<Arc<JwkSet>> {
        let (documents, source) = self.of(client, source);
        let outcome = documents.refresh(url, source, parse).await;
        accept(client, outcome.map(|document| document.value))
    }

    /// Where the keys of a client are, and on whose account they are fetched.
    const fn of(
        &self,
        client: &Client,
        source: IpAddr,
    ) -> (&Documents<JwkSet, JwkSetError>, Option<IpAddr>) {
        match client.provenance {
            Provenance::Configured => (&self.operators, None),
            Provenance::Document { .. } | Provenance::Registered { .. } => {
                (&self.strangers, Some(source))
            }
        }
    }
}

fn parse(fetched: &Fetched) -> Result<JwkSet, JwkSetError> {
    JwkSet::parse(&fetched.body)
}

fn accept(
    client: &Client,
    outcome: Result<Arc<JwkSet>, DocumentError<JwkSetError>>,
) -> Option<Arc<JwkSet>> {
    outcome
        .inspect_err(|error| tracing::info!(client.id = %client.client_id, %error, "key set of a client could not be had"))
        .ok()
}
