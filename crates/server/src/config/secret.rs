//! Where a secret comes from: the environment, a file, or spelled out under a name that says what it is.

use std::path::{Path, PathBuf};

use crate::config::environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// The environment variable of this name.
    Env(String),
    /// The content of this file, without line breaks at its end. A relative path starts at the configuration file.
    File(PathBuf),
    /// The secret itself: for demonstrations and tests only.
    DangerLiteral(Literal),
}

/// A secret that stands in the file. It is never printed: `config show` writes dots in its place.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Literal(String);

impl std::fmt::Debug for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Serialize for Literal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("the environment variable `{0}` is not set")]
    Variable(String),
    #[error("the environment variable `{0}` is empty")]
    EmptyVariable(String),
    #[error("{0}")]
    File(#[from] files::Unreadable),
    #[error("the file `{0}` is empty")]
    EmptyFile(PathBuf),
    #[error("the secret is empty")]
    EmptyLiteral,
}

impl Source {
    /// Reads the secret. Relative paths start at `directory`.
    pub(crate) fn read(&self, directory: &Path) -> Result<String, Missing> {
        match self {
            Self::Env(name) => match environment::variable(name) {
                None => Err(Missing::Variable(name.clone())),
                Some(value) if value.is_empty() => Err(Missing::EmptyVariable(name.clone())),
                Some(value) => Ok(value),
            },
            Self::File(path) => {
                let path = directory.join(path);
                let content = files::read_text(&path)?;
                let content = content.trim_end_matches(['\n', '\r']);
                if content.is_empty() {
                    Err(Missing::EmptyFile(path))
                } else {
                    Ok(content.to_owned())
                }
            }
            Self::DangerLiteral(literal) if literal.0.is_empty() => Err(Missing::EmptyLiteral),
            Self::DangerLiteral(literal) => Ok(literal.0.clone()),
        }
    }
}
