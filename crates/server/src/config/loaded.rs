//! A configuration as it was read.

use std::path::{Path, PathBuf};

use crate::config::file::Config;
use crate::config::node::Node;
use crate::config::problem::Problems;
use crate::config::sound::LeftOut;

/// A configuration that fits the schema, with all that is needed to speak about its lines.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The typed configuration.
    pub(crate) config: Config,
    /// The document it came from.
    pub(super) tree: Node,
    /// What of the document is not in the configuration: nothing, if that is to be used.
    pub(super) left_out: LeftOut,
    /// The file as it was given.
    pub(super) file: String,
    /// Where relative paths start.
    pub(crate) directory: PathBuf,
}

impl Loaded {
    /// A collector for problems with this configuration.
    pub(crate) fn problems(&self) -> Problems<'_> {
        Problems::new(&self.file, &self.tree, &self.left_out)
    }

    /// The file as it was given.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// File and line of the value at `path`, for people.
    pub(crate) fn place(&self, path: &str) -> String {
        format!("{}:{}", self.file, self.tree.line_of(path))
    }

    /// The path of a file or directory that the configuration names.
    pub(crate) fn path(&self, named: &Path) -> PathBuf {
        self.directory.join(named)
    }

    /// The directory where files are kept.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.path(&self.config.data_directory)
    }

    /// Whether `path` (`realms[0].cimd`) stands in the file, as opposed to being a default.
    pub(crate) fn keys(&self) -> &Node {
        &self.tree
    }
}
