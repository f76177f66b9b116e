//! `store`: the database and the key that seals what is secret in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::secret::Source;

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    /// `sqlite::memory:`, `sqlite:PATH` or `postgres://…`. Default: `sekisho.db` in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<Url>,
    /// 32 bytes in base64 that seal signing keys and cookies. Default: made on first use, in the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Source>,
    /// There is a database: refuse to begin an empty one. Worth saying once the first one is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) must_exist: bool,
}

/// The URL of the database: in the file, or (because it may hold a password) from the environment or a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Url {
    /// The URL itself.
    Text(String),
    /// Where it comes from.
    Source(Source),
}
