//! How it stands with the lists of a target, for operators.

use std::sync::Arc;
use std::time::Duration;

use mcp::feature::Feature;
use model::listing::Listing as Mode;
use targets::Target;
use targets::error::CallError;

/// How it stands with one list of a target.
#[derive(Clone, Debug)]
pub struct ListState {
    /// Its target.
    pub target: Arc<str>,
    /// What is listed.
    pub feature: Feature,
    /// How it is known, as the configuration has it.
    pub mode: &'static str,
    /// How many entries it has; `None` where no list is kept, or none could be had yet.
    pub entries: Option<usize>,
    /// How long ago that list was had.
    pub age: Option<Duration>,
    /// Why there is no newer one.
    pub failure: Option<CallError>,
}

impl ListState {
    pub(crate) fn of(target: &Target, feature: Feature) -> Self {
        let mode = &target.declared().listing;
        let listing = target.listing(feature);
        let list = listing.list.as_ref().filter(|_| *mode != Mode::Dynamic);
        Self {
            target: Arc::clone(target.name()),
            feature,
            mode: mode.as_str(),
            entries: list.map(|list| list.entries.len()),
            age: list.map(|list| list.age()),
            failure: listing.failure.clone(),
        }
    }
}
