//! What is listed, and where it is: an immutable snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use mcp::param_header::ParamHeader;
use model::listing::Listing as Mode;
use targets::Target;

use super::page::{self, Page};
use super::routes::Routes;
use crate::metrics::Calls;

/// A tool, or what else is listed, as clients see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The name that clients call it by.
    pub(crate) name: Arc<str>,
    /// Where it is.
    pub(crate) target: Target,
    /// What it is called there.
    pub(crate) listed_as: Arc<str>,
    /// Arguments that modern clients mirror into headers.
    pub(crate) param_headers: Vec<ParamHeader>,
    /// What is counted about calls to its target.
    pub(crate) calls: Arc<Calls>,
}

impl Entry {
    /// What stands where this does, by this name.
    pub(super) fn at(&self, name: &str) -> Arc<Self> {
        Self::unlisted(name, &self.target, &self.calls)
    }

    pub(super) fn unlisted(name: &str, target: &Target, calls: &Arc<Calls>) -> Arc<Self> {
        let name: Arc<str> = name.into();
        Arc::new(Self {
            listed_as: Arc::clone(&name),
            name,
            target: target.clone(),
            param_headers: Vec::new(),
            calls: Arc::clone(calls),
        })
    }
}

/// A list at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(super) by_name: HashMap<Arc<str>, Arc<Entry>>,
    /// Where URIs lead, in a list of templates.
    pub(super) routes: Routes<Arc<Entry>>,
    /// At least one, even without tools.
    pub(super) pages: Vec<Page>,
}

impl Snapshot {
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    /// The page that starts at a cursor; the first one without.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Option<&Page> {
        match cursor {
            None => self.pages.first(),
            Some(cursor) => self.pages.get(page::index(cursor)?),
        }
    }
}

/// A target, and what is counted about calls to it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) target: Target,
    pub(crate) calls: Arc<Calls>,
}

impl Measured {
    /// Whether it is asked for its lists by each caller, and has none for all.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.target.declared().listing == Mode::Dynamic
    }
}
