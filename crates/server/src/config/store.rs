//! `store`: the database and the key that seals what is secret in it.

use std::num::NonZeroU16;

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
    /// Connections of this node to PostgreSQL, or those that read a SQLite file. Default: 16 to PostgreSQL, 4 that read a file. It can't be changed by a reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<NonZeroU16>,
}

/// The URL of the database: in the file, or (because it may hold a password) from the environment or a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Url {
    /// The URL itself.
    Text(UrlText),
    /// Where it comes from.
    Source(Source),
}

/// The URL of a database as somebody wrote it. A password in it is never printed: `config show` writes dots in its place.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct UrlText(pub(crate) String);

impl std::fmt::Debug for UrlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl Serialize for UrlText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_password(&self.0))
    }
}

/// Whether the URL of a database holds a password.
pub(crate) fn holds_password(url: &str) -> bool {
    without_password(url) != url
}

/// The URL with dots in place of its password. It need not be a proper URL: whoever mistyped theirs has a secret, too, so
/// what might be one is left out.
fn without_password(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return "…".to_owned();
    };
    // A password with an unescaped `/`, `?` or `@` goes up to the last at sign.
    let (user, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((user, rest)) => match user.split_once(':') {
            None => (format!("{user}@"), rest),
            Some((name, _)) => (format!("{name}:…@"), rest),
        },
    };
    let (place, query) = match rest.split_once('?') {
        None => (rest, String::new()),
        Some((place, query)) => (place, format!("?{}", without_secret_values(query))),
    };
    format!("{scheme}://{user}{place}{query}")
}

/// A query in which a password has dots as its value.
fn without_secret_values(query: &str) -> String {
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=…"),
            _ => pair.to_owned(),
        })
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    // SEC-70
    #[test]
    fn no_spelling_of_a_password_is_printed() {
        for (url, shown) in [
            ("sqlite:data/x:y@z.db", "sqlite:data/x:y@z.db"),
            ("postgres://db.example/s", "postgres://db.example/s"),
            (
                "postgres://u@db.example:5433/s",
                "postgres://u@db.example:5433/s",
            ),
            (
                "postgres://u:hunter2@db.example:5433/s",
                "postgres://u:…@db.example:5433/s",
            ),
            (
                "postgres://u:hunter2/?#@2@db.example/s",
                "postgres://u:…@db.example/s",
            ),
            (
                "postgres://u@db.example/s?sslmode=require&Password=hunter2&sslpassword=hunter2",
                "postgres://u@db.example/s?sslmode=require&Password=…&sslpassword=…",
            ),
            ("host=db password=hunter2", "…"),
            ("postgres:u:hunter2@db.example", "…"),
        ] {
            assert_eq!(without_password(url), shown);
            assert_eq!(holds_password(url), url != shown);
            assert!(!format!("{:?}", UrlText(url.to_owned())).contains("hunter2"));
        }
    }
}
