//! `store`: the URL of the database and the key that seals what is in it.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use model::secret::Secret;
use store::seal::SealingKey;
use store::url::StoreUrl;

use crate::config::convert::realm::read_secret;
use crate::config::loaded::Loaded;
use crate::config::problem::Problems;
use crate::config::store::Url;

/// The database, as configured.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Where it is.
    pub(crate) url: StoreUrl,
    /// Where the sealing key comes from.
    pub(crate) key: KeyOrigin,
    /// Whether the operator says that there is a database.
    pub(crate) must_exist: bool,
    /// How many connections there are at most, if the operator says so.
    pub(crate) connections: Option<NonZeroU16>,
}

/// Where the sealing key comes from.
#[derive(Debug)]
pub(crate) enum KeyOrigin {
    /// The configuration.
    Given(SealingKey),
    /// A file in the data directory, made when it is not there.
    Kept(PathBuf),
    /// Nowhere: the database ends with the process, and so may the key.
    Ephemeral,
}

/// Where the database is and what seals it.
pub(crate) fn convert(loaded: &Loaded, problems: &mut Problems<'_>) -> Option<Storage> {
    // A relative path that somebody wrote starts at the configuration file; the data directory does so already.
    let written = |url: StoreUrl| match url.path() {
        Some(path) => StoreUrl::file(loaded.path(path)),
        None => url,
    };
    let url = match &loaded.config.store.url {
        None => Some(StoreUrl::file(loaded.data_directory().join("sekisho.db"))),
        Some(Url::Text(text)) => parse(&text.0, problems).map(written),
        Some(Url::Source(source)) => {
            let text: Option<Secret<String>> =
                read_secret(source, "store.url", &loaded.directory, problems);
            text.and_then(|text| parse(text.expose(), problems))
                .map(written)
        }
    };
    let key = match &loaded.config.store.key {
        Some(source) => {
            read_secret(source, "store.key", &loaded.directory, problems).and_then(|text| {
                let key = SealingKey::parse(text.expose());
                let hint = "make one with: openssl rand -base64 32".to_owned();
                key.map(KeyOrigin::Given)
                    .map_err(|error| problems.note("store.key", error.to_string(), hint))
                    .ok()
            })
        }
        None if url == Some(StoreUrl::memory()) => Some(KeyOrigin::Ephemeral),
        None => Some(KeyOrigin::Kept(loaded.data_directory().join("store.key"))),
    };
    Some(Storage {
        url: url?,
        key: key?,
        must_exist: loaded.config.store.must_exist,
        connections: loaded.config.store.connections,
    })
}

impl Storage {
    /// The directory of a database in a file.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.url.path().and_then(Path::parent)
    }
}

/// The text may hold a password, so it is not repeated.
fn parse(text: &str, problems: &mut Problems<'_>) -> Option<StoreUrl> {
    text.parse()
        .map_err(|error: store::url::BadStoreUrl| {
            problems.note("store.url", error.to_string(), None);
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Database and key of a configuration in a directory.
    fn places(text: &str, directory: &str) -> (String, Option<String>) {
        let loaded = Loaded::parse(text, "sekisho.yaml", PathBuf::from(directory)).unwrap();
        let storage = convert(&loaded, &mut loaded.problems()).unwrap();
        let key = match storage.key {
            KeyOrigin::Kept(path) => Some(path.display().to_string()),
            KeyOrigin::Given(_) | KeyOrigin::Ephemeral => None,
        };
        (storage.url.to_string(), key)
    }

    #[test]
    fn a_relative_path_starts_at_the_configuration_file_exactly_once() {
        for (directory, below) in [("", ""), ("conf", "conf/"), ("/etc/x", "/etc/x/")] {
            let key = |path: &str| Some(format!("{below}{path}"));
            for (text, url, key) in [
                (
                    "store: {}",
                    "sekisho-data/sekisho.db",
                    key("sekisho-data/store.key"),
                ),
                ("data_directory: d", "d/sekisho.db", key("d/store.key")),
                (
                    "store: { url: sqlite:x.db }",
                    "x.db",
                    key("sekisho-data/store.key"),
                ),
            ] {
                assert_eq!(
                    places(text, directory),
                    (format!("sqlite:{below}{url}"), key)
                );
            }
            let absolute = "data_directory: /var/lib/s\nstore: { url: sqlite:/var/x.db }";
            assert_eq!(
                places(absolute, directory),
                (
                    "sqlite:/var/x.db".to_owned(),
                    Some("/var/lib/s/store.key".to_owned())
                )
            );
        }
    }
}
