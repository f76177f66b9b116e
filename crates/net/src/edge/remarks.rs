//! What a site lets the access log say about a request.

use std::sync::Arc;

/// Names and values for the line about a request: who called, which tool, why not.
///
/// A site puts them into the extensions of its answer; whoever writes the access log takes them out.
/// They must hold no secrets. Values are shared, not copied, because there are many requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks(Vec<(&'static str, Arc<str>)>);

impl Remarks {
    /// The name under which a site says that a request failed although it was answered, and how.
    pub const FAILURE: &'static str = "failure";

    /// Whether a request failed although it was answered.
    pub fn tell_of_failure(&self) -> bool {
        self.0.iter().any(|(name, _)| *name == Self::FAILURE)
    }

    /// Adds one. Names are the caller's: words without spaces, quotes and `=`.
    pub fn add(&mut self, name: &'static str, value: Arc<str>) {
        self.0.push((name, value));
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }
}
