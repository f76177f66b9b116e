//! What a target has, as it was listed last: the same for all kinds of targets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::mcp::era::Era;
use ::mcp::mend::Repair;
use ::mcp::param_header::ParamHeader;
use ::mcp::raw::OwnedRaw;
use ::mcp::result::CacheHint;
use ::mcp::tool::InvalidTool;
use http::header::HeaderValue;
use tokio::time::Instant;

use crate::error::CallError;

/// What is known of what a target offers of a feature.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The last list that could be had; `None` if none ever could.
    pub list: Option<Arc<List>>,
    /// Why there is no newer one, if the last attempt failed.
    pub failure: Option<CallError>,
    /// When it was last asked for, with or without success.
    pub at: Option<Instant>,
}

/// A complete list.
#[derive(Debug)]
pub struct List {
    /// In the target's order, each name once.
    pub entries: Vec<Listed>,
    /// The era the target speaks.
    pub era: Era,
    /// What the target says about keeping the list; of several pages the strictest.
    pub hint: CacheHint,
    /// What the target listed beside them and nobody can use.
    pub dropped: Vec<Dropped>,
    /// What is listed, but not quite as the target has it.
    pub mended: Vec<Mended>,
    /// The target gave cursors that lead nowhere, so that there may be more.
    pub stands_still: bool,
    /// Of all pages.
    pub bytes: usize,
    pub(crate) by_name: HashMap<Arc<str>, usize>,
    pub(crate) fetched: Instant,
}

impl List {
    /// How long ago it was had.
    pub fn age(&self) -> Duration {
        self.fetched.elapsed()
    }

    /// The entry with this name.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        self.entries.get(*self.by_name.get(name)?)
    }
}

/// A tool, or what else is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name at the target.
    pub name: Arc<str>,
    /// The whole definition, an object: byte for byte, unless strict clients would refuse it.
    pub definition: OwnedRaw,
    /// The definition for clients of the session era, if they get another one.
    pub legacy: Option<OwnedRaw>,
    /// Arguments that are mirrored into headers (2026-07-28).
    pub param_headers: Vec<ParamHeader>,
    /// The name as the value of `Mcp-Name`.
    pub(crate) name_header: HeaderValue,
}

/// What was left out of the list (UC-4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dropped {
    /// Its name, as far as it has one, not longer than is good for a log.
    pub name: Box<str>,
    /// Why.
    pub fault: Fault,
}

/// Why it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Its definition is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidTool),
    /// One before it has the same name.
    #[error("another one has the same name")]
    SameName,
}

/// A definition that was put right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mended {
    /// Its name.
    pub name: Arc<str>,
    /// What was wrong.
    pub repair: Repair,
}
