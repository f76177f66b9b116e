//! `store`: the URL of the database and the key that seals what is in it.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::secret::Secret;

use crate::config::Loaded;
use crate::config::convert::realm::read_secret;
use crate::config::problem::Problems;
use crate::config::store::Url;

/// The database, as configured.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Its URL.
    pub(crate) url: Secret<String>,
    /// Where the sealing key comes from.
    pub(crate) key: KeyOrigin,
}

/// Where the sealing key comes from.
#[derive(Debug)]
pub(crate) enum KeyOrigin {
    /// The configuration.
    Given(Secret<Vec<u8>>),
    /// A file in the data directory, made when it is not there.
    Kept(PathBuf),
    /// Nowhere: the database ends with the process, and so may the key.
    Ephemeral,
}

/// The database in memory.
const IN_MEMORY: &str = "sqlite::memory:";

/// Where the database is and what seals it.
pub(crate) fn convert(loaded: &Loaded, problems: &mut Problems<'_>) -> Option<Storage> {
    let directory = loaded.data_directory();
    let url = match &loaded.config.store.url {
        None => Some(Secret::new(format!("sqlite:{}", directory.join("sekisho.db").display()))),
        Some(Url::Text(text)) => Some(Secret::new(below(loaded, text))),
        Some(Url::Source(source)) => read_secret(source, "store.url", &loaded.directory, problems),
    };
    let key = match &loaded.config.store.key {
        Some(source) => read_secret(source, "store.key", &loaded.directory, problems).and_then(|text| {
            let bytes = STANDARD.decode(text.expose().trim()).unwrap_or_default();
            if bytes.len() == 32 {
                return Some(KeyOrigin::Given(Secret::new(bytes)));
            }
            let hint = "make one with: head -c 32 /dev/urandom | base64".to_owned();
            problems.note("store.key", "expected 32 bytes in base64", hint);
            None
        }),
        None if url.as_ref().is_some_and(|url| url.expose() == IN_MEMORY) => Some(KeyOrigin::Ephemeral),
        None => Some(KeyOrigin::Kept(directory.join("store.key"))),
    };
    let url = url?;
    let scheme = url.expose().split(':').next().unwrap_or_default();
    if !matches!(scheme, "sqlite" | "postgres" | "postgresql") {
        let hint = "write sqlite::memory:, sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned();
        problems.note("store.url", format!("`{scheme}:` is no database that is known here"), hint);
        return None;
    }
    Some(Storage { url, key: key? })
}

/// A relative path of SQLite starts at the configuration file.
fn below(loaded: &Loaded, url: &str) -> String {
    match url.strip_prefix("sqlite:") {
        Some(path) if url != IN_MEMORY && !path.starts_with("//") => {
            format!("sqlite:{}", loaded.path(std::path::Path::new(path)).display())
        }
        _ => url.to_owned(),
    }
}
