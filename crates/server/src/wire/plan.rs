//! A configuration that was found good in every respect, in the terms of those who will act on it.

use model::gateway::Gateway;

use crate::config::convert::storage::Storage;
use crate::config::dangers::{Danger, dangers};
use crate::config::meaning::Meaning;
use crate::config::problem::Problem;
use crate::config::realm::DeclaredRealm;
use crate::config::scalar::WebUrl;
use crate::config::{Invalid, Loaded};

/// What there is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The configuration it came from.
    pub(crate) loaded: Loaded,
    /// The database.
    pub(crate) storage: Storage,
    /// The realms, each with the users it declares.
    pub(crate) realms: Vec<DeclaredRealm>,
    /// The gateways.
    pub(crate) gateways: Vec<Gateway>,
    /// Client metadata documents, each with its URL.
    pub(crate) documents: Vec<(WebUrl, serde_json::Map<String, serde_json::Value>)>,
    /// The switches that weaken it.
    pub(crate) dangers: Vec<Danger>,
    /// What is likely a mistake, but keeps nothing from starting.
    pub(crate) warnings: Vec<Problem>,
}

impl Plan {
    /// Whether another one says the same, with what files and variables say.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.loaded.config == other.loaded.config
            && self.realms == other.realms
            && self.gateways == other.gateways
            && self.documents == other.documents
    }

    /// Checks everything that can be found out without acting, and reports all that is wrong at once.
    pub(crate) fn new(loaded: Loaded) -> Result<Self, Invalid> {
        let mut problems = loaded.problems();
        let Meaning {
            storage,
            realms,
            gateways,
            documents,
            warnings,
        } = Meaning::of(&loaded, &mut problems);
        match storage {
            Some(storage) if problems.is_empty() => {
                let dangers = dangers(loaded.keys());
                Ok(Self {
                    loaded,
                    storage,
                    realms,
                    gateways,
                    documents,
                    dangers,
                    warnings,
                })
            }
            _ => Err(Invalid {
                problems: problems.into_sorted(),
            }),
        }
    }
}
