//! The issuers that gateways trust. Each is asked once for all gateways, and what it said outlives a configuration.

use std::collections::HashMap;
use std::sync::Arc;

use net::egress::budget::{self, Budgets};
use net::egress::client::Client;
use net::egress::documents::{Documents, Memory, Settings, WallClock};
use oauth::jose::jwk::{JwkSet, JwkSetError};
use oauth::metadata::server::ServerMetadataError;
use parking_lot::Mutex;
use url::Url;

pub use crate::caller::keys::IssuerState;
use crate::caller::keys::{Discovered, Issuer, issuer_of};

/// What issuers have said: their discovery documents and key sets. A new configuration goes on with it (SEC-90).
#[derive(Clone, Debug)]
pub struct Known {
    discovery: Arc<Memory<Discovered, ServerMetadataError>>,
    key_sets: Arc<Memory<JwkSet, JwkSetError>>,
}

impl Known {
    /// Nothing yet.
    pub fn new(wall: &WallClock) -> Self {
        // The operator named all of them, so that no stranger can use these up.
        let budgets = Arc::new(Budgets::new(budget::Settings::default()));
        Self {
            discovery: Arc::new(Memory::new(
                Settings::CONFIGURED,
                Arc::clone(&budgets),
                Arc::clone(wall),
            )),
            key_sets: Arc::new(Memory::new(Settings::CONFIGURED, budgets, Arc::clone(wall))),
        }
    }
}

/// The issuers of one configuration.
#[derive(Debug)]
pub struct Issuers {
    discovery: Arc<Documents<Discovered, ServerMetadataError>>,
    key_sets: Arc<Documents<JwkSet, JwkSetError>>,
    all: Mutex<HashMap<Identity, Arc<Issuer>>>,
}

/// The URL of a discovery document, and the name that it must give.
type Identity = (Url, Box<str>);

impl Issuers {
    /// No issuer yet; `client` fetches what is not known, by the rules for operators' URLs.
    pub fn new(known: &Known, client: &Client) -> Self {
        Self {
            discovery: Arc::new(Documents::over(
                Arc::clone(&known.discovery),
                client.clone(),
            )),
            key_sets: Arc::new(Documents::over(Arc::clone(&known.key_sets), client.clone())),
            all: Mutex::default(),
        }
    }

    /// The issuer of a discovery document; `named` if it is called otherwise than its URL says.
    pub(crate) fn issuer(&self, discovery_url: &Url, named: Option<&str>) -> Arc<Issuer> {
        let name = name_of(discovery_url, named);
        let key = (discovery_url.clone(), name.clone());
        let mut all = self.all.lock();
        let issuer = all.entry(key).or_insert_with(|| {
            Arc::new(Issuer::new(
                discovery_url.clone(),
                name,
                Arc::clone(&self.discovery),
                Arc::clone(&self.key_sets),
            ))
        });
        Arc::clone(issuer)
    }
}

/// What the issuer of a discovery document is called: by its URL, unless the operator says otherwise.
pub fn name_of(discovery_url: &Url, named: Option<&str>) -> Box<str> {
    match named {
        Some(named) => named.into(),
        None => issuer_of(discovery_url).into(),
    }
}
