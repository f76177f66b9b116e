//! Whose a resource is, whoever lists it: the prefixes of URIs that targets own.

use std::sync::Arc;

use mcp::feature::Feature;
use targets::Target;

use super::entry::Measured;

/// Prefixes, longest first, each with the place of its owner among the targets.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<(Box<str>, usize)>);

impl Owners {
    /// Those that targets declare; none where things have no URIs.
    pub(super) fn of(feature: Feature, targets: &[Measured]) -> Self {
        match feature {
            Feature::Tools | Feature::Prompts => return Self::default(),
            Feature::Resources | Feature::ResourceTemplates => {}
        }
        let declared = targets.iter().enumerate().flat_map(|(at, one)| {
            let prefixes = one.target.declared().uri_prefixes.iter();
            prefixes.map(move |prefix| (Box::from(prefix.as_str()), at))
        });
        let mut all: Vec<(Box<str>, usize)> = declared.collect();
        all.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(all)
    }

    /// The owner of a URI, or of all that a template with this beginning can become.
    pub(super) fn find<'t>(&self, uri: &str, targets: &'t [Measured]) -> Option<&'t Measured> {
        let mut all = self.0.iter();
        let (_, at) = all.find(|(prefix, _)| uri.starts_with(&**prefix))?;
        targets.get(*at)
    }
}

/// Whether this is the target that owns it.
pub(super) fn owns(owner: &Measured, target: &Target) -> bool {
    Arc::ptr_eq(owner.target.name(), target.name())
}
