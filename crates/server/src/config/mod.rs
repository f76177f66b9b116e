//! The configuration file: one YAML document, typed, in which every key is documented by the comment on its field.
//!
//! Reading it goes in four steps, and what is wrong is reported at once, by line and path:
//! 1. `node`: YAML into a tree with lines (a syntax error ends it here);
//! 2. `check`: the tree against the schema of the types below: unknown keys, wrong kinds, malformed texts; what does not
//!    fit is left out of the next steps (`sound`), which then only look for more that is wrong;
//! 3. `crosscheck`: what no single key shows: duplicate names, URLs without a listener, scopes that nobody defines;
//! 4. `convert`: secrets are read and files opened. Everything else stays the type that it was read as: the crates that do the
//!    work take it.
//!
//! `meaning` is the last two. A rule that something is missing asks [`Problems::know_all_of`] whether it only was left out.
//!
//! To add a key: a field with a doc comment in the file of its section, its rule in `crosscheck` if it has one, its use,
//! and `cargo xtask schema`.

pub(crate) mod binding;
pub(crate) mod check;
pub(crate) mod connections;
pub(crate) mod convert;
pub(crate) mod crosscheck;
pub(crate) mod dangers;
pub(crate) mod demo_mcp_server;
pub(crate) mod document;
pub(crate) mod egress;
pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod gateway;
pub(crate) mod listener;
mod loaded;
pub(crate) mod meaning;
mod no_authorization;
pub(crate) mod node;
mod offers;
pub(crate) mod own_realm;
pub(crate) mod problem;
pub(crate) mod proxy;
mod reach;
pub(crate) mod realm;
pub(crate) mod scalar;
pub(crate) mod secret;
pub(crate) mod shutdown;
mod sound;
pub(crate) mod store;

use std::path::{Path, PathBuf};

pub(crate) use crate::config::file::Config;
pub(crate) use crate::config::loaded::Loaded;
use crate::config::meaning::Meaning;
use crate::config::node::Node;
use crate::config::problem::{Problem, Problems};
use crate::config::sound::LeftOut;
use crate::files;

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(problems))]
pub(crate) struct Invalid {
    /// All that is wrong with it.
    pub(crate) problems: Vec<Problem>,
}

fn describe(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl Loaded {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, Invalid> {
        let file = path.display().to_string();
        let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        match files::read_text(path) {
            Ok(text) => Self::parse(&text, &file, directory),
            Err(error) => Err(whole_file(
                &file,
                0,
                error.reason,
                Some("`sekisho init` writes one to start from"),
            )),
        }
    }

    /// Reads `text`; `file` is what its problems are reported under.
    pub(crate) fn parse(text: &str, file: &str, directory: PathBuf) -> Result<Self, Invalid> {
        let mut tree = Node::parse(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            whole_file(file, line, plain_message(&error), None)
        })?;
        let as_written = tree.clone();
        let nothing = LeftOut::default();
        let mut problems = Problems::new(file, &as_written, &nothing);
        check::check(&schema(), &mut tree, &mut problems);
        if !problems.is_empty() {
            if let Some(rest) = Self::rest_of(&tree, file, directory, &problems) {
                let mut more = rest.problems();
                Meaning::of(&rest, &mut more);
                problems.append(more);
            }
            return Err(Invalid {
                problems: problems.into_sorted(),
            });
        }
        match serde_json::from_value(tree.to_json()) {
            Ok(config) => Ok(Self {
                config,
                tree,
                left_out: LeftOut::default(),
                file: file.to_owned(),
                directory,
            }),
            // The schema says the same as the types, so this is a rule that only serde knows.
            Err(error) => Err(whole_file(file, 0, error.to_string(), None)),
        }
    }

    /// What is left of a document without what has the wrong shape.
    fn rest_of(
        tree: &Node,
        file: &str,
        directory: PathBuf,
        problems: &Problems<'_>,
    ) -> Option<Self> {
        let (rest, left_out) = sound::rest_of(tree, &problems.paths())?;
        Some(Self {
            // What only serde knows is said when the shape is right.
            config: serde_json::from_value(rest.to_json()).ok()?,
            tree: tree.clone(),
            left_out,
            file: file.to_owned(),
            directory,
        })
    }
}

/// The JSON Schema of the configuration file.
pub(crate) fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Configuration of Sekisho".into());
    schema.to_value()
}

fn whole_file(file: &str, line: u64, message: String, hint: Option<&str>) -> Invalid {
    let hint = hint.map(str::to_owned);
    Invalid {
        problems: vec![Problem {
            file: file.to_owned(),
            line,
            path: String::new(),
            message,
            hint,
        }],
    }
}

/// The parser's message on one line, without its own idea of where.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first
        .rsplit_once(" at line ")
        .map_or(first, |(message, _)| message);
    let twice = message
        .strip_prefix("duplicate mapping key: ")
        .map(|rest| rest.split(',').next().unwrap_or(rest));
    twice.map_or_else(
        || format!("not a YAML document: {message}"),
        |key| format!("the key `{key}` is given twice"),
    )
}

#[cfg(test)]
mod tests;
