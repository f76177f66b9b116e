//! Where the data is: `sqlite::memory:`, `sqlite:path` or `postgres://…`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// A place for a database. Printed without password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(pub(crate) Place);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    File(PathBuf),
    Postgres(Url),
}

/// A text that names no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sqlite::memory:`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`")]
pub struct BadStoreUrl;

impl StoreUrl {
    /// A SQLite database in memory, gone with the process.
    pub const fn memory() -> Self {
        Self(Place::Memory)
    }

    /// A SQLite database in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// The path of a SQLite file.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::Memory | Place::Postgres(_) => None,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> Result<Self, BadStoreUrl> {
        if matches!(text, "sqlite::memory:" | "sqlite://:memory:") {
            return Ok(Self::memory());
        }
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.is_empty() || path.contains('?') {
                Err(BadStoreUrl)
            } else {
                Ok(Self::file(path))
            };
        }
        let url = Url::parse(text).map_err(|_| BadStoreUrl)?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self(Place::Postgres(url))),
            _ => Err(BadStoreUrl),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Memory => f.write_str("sqlite::memory:"),
            Place::File(path) => write!(f, "sqlite:{}", path.display()),
            Place::Postgres(url) => {
                let host = url.host_str().unwrap_or_default();
                write!(f, "postgres://{host}")?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        for (text, shown) in [
            ("sqlite::memory:", "sqlite::memory:"),
            ("sqlite:data/sekisho.db", "sqlite:data/sekisho.db"),
            ("sqlite:///var/lib/sekisho.db", "sqlite:/var/lib/sekisho.db"),
            (
                "postgresql://u@db.example/sekisho",
                "postgres://db.example/sekisho",
            ),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "sqlite:", "sqlite:a?mode=ro", "mysql://h/d", "data.db"] {
            assert_eq!(bad.parse::<StoreUrl>(), Err(BadStoreUrl), "{bad}");
        }
    }

    // SEC-70
    #[test]
    fn a_password_is_not_printed() {
        let url: StoreUrl = "postgres://u:hunter2@db.example:5433/sekisho?password=hunter2"
            .parse()
            .unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://db.example:5433/sekisho StoreUrl(postgres://db.example:5433/sekisho)"
        );
    }
}
