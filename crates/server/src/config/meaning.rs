//! What a configuration means to those who will act on it, looked at in every respect before anybody does.

use model::gateway::Gateway;
use serde_json::{Map, Value};

use crate::config::convert::storage::Storage;
use crate::config::convert::{document, files, gateway, realm, storage};
use crate::config::crosscheck::crosscheck;
use crate::config::loaded::Loaded;
use crate::config::problem::{Problem, Problems};
use crate::config::reach;
use crate::config::realm::DeclaredRealm;
use crate::config::scalar::WebUrl;

/// What there is to run, as far as it could be made sense of.
#[derive(Debug)]
pub(crate) struct Meaning {
    /// The database.
    pub(crate) storage: Option<Storage>,
    /// The realms, each with the users it declares.
    pub(crate) realms: Vec<DeclaredRealm>,
    /// The gateways.
    pub(crate) gateways: Vec<Gateway>,
    /// Client metadata documents, each with its URL.
    pub(crate) documents: Vec<(WebUrl, Map<String, Value>)>,
    /// What is likely a mistake, but keeps nothing from starting.
    pub(crate) warnings: Vec<Problem>,
}

impl Meaning {
    /// Finds out all that can be found out without acting, and notes all that is wrong.
    pub(crate) fn of(loaded: &Loaded, problems: &mut Problems<'_>) -> Self {
        let config = &loaded.config;
        crosscheck(loaded, problems);
        files::check(loaded, problems);
        let warnings = reach::check(loaded, problems);
        let storage = storage::convert(loaded, problems);
        let realms = config.realms.iter().enumerate().map(|(index, one)| {
            let path = format!("realms[{index}]");
            realm::convert(one, &path, &loaded.directory, problems)
        });
        let realms = realms.collect();
        let gateways = config.gateways.iter().enumerate();
        let gateways = gateways
            .map(|(index, one)| {
                let path = format!("gateways[{index}]");
                gateway::convert(one, &path, &loaded.directory, problems)
            })
            .collect();
        let documents = config.documents.iter().enumerate();
        let documents = documents
            .map(|(index, one)| {
                let content = document::convert(one, &format!("documents[{index}]"), problems);
                (one.url.clone(), content)
            })
            .collect();
        Self {
            storage,
            realms,
            gateways,
            documents,
            warnings,
        }
    }
}
