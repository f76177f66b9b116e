//! What comments and documents name that a reader of the repository can't find: documents and paths that are not there.

use std::collections::BTreeSet;

use crate::sources::Tracked;

/// Names that end as documents do and are none.
const NO_DOCUMENTS: &[&str] = &["obsidian.md"];

/// The folders at the root that a path in a document may begin with. It may also begin with that of a crate.
const ROOTS: &[&str] = &["crates", "docs", "e2e", "examples", "xtask"];

/// What can be cited: the documents by their names, and all files and folders by their paths.
pub(crate) struct Known {
    documents: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl Known {
    /// What is under version control.
    pub(crate) fn of(files: &[Tracked]) -> Self {
        let mut known = Self {
            documents: BTreeSet::new(),
            paths: BTreeSet::new(),
        };
        for Tracked { path } in files {
            if let Some(name) = path.rsplit('/').next().filter(|name| ends_in(name, "md")) {
                known.documents.insert(name.to_owned());
            }
            for (end, _) in path.match_indices('/') {
                known.paths.extend(path.get(..end).map(str::to_owned));
            }
            known.paths.insert(path.clone());
        }
        known
    }

    /// What a file cites that is not there.
    pub(crate) fn complaints(&self, path: &str, text: &str) -> Vec<String> {
        let is_document = ends_in(path, "md");
        if !is_document && !ends_in(path, "rs") {
            return Vec::new();
        }
        let mut complaints = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let mut missing: Vec<&str> = words(line)
                .filter(|word| ends_in(word, "md"))
                .filter(|word| !self.documents.contains(*word) && !NO_DOCUMENTS.contains(word))
                .collect();
            if is_document {
                missing.extend(line.split('`').skip(1).step_by(2).filter(|quoted| {
                    is_path(quoted) && self.is_meant(quoted) && !self.has(quoted)
                }));
            }
            complaints.extend(missing.into_iter().map(|cited| {
                format!(
                    "{path}:{}: `{cited}` is not in the repository; hint: name what a reader can find",
                    at + 1
                )
            }));
        }
        complaints
    }

    /// Whether a path of this repository is meant.
    fn is_meant(&self, path: &str) -> bool {
        let mut steps = path.split('/');
        let first = steps.next().unwrap_or_default();
        // Methods of MCP are written like paths: `server/discover`.
        let is_in_crate = matches!(steps.next(), Some("src" | "tests" | "migrations"));
        ROOTS.contains(&first) || (is_in_crate && self.paths.contains(&format!("crates/{first}")))
    }

    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths.contains(path) || self.paths.contains(&format!("crates/{path}"))
    }
}

/// Whether a file's name ends so, after a dot and a name.
fn ends_in(name: &str, extension: &str) -> bool {
    let parts = name.rsplit_once('.');
    parts.is_some_and(|(stem, end)| !stem.is_empty() && end == extension)
}

/// Whether a text could be a path and nothing else.
fn is_path(text: &str) -> bool {
    let fits = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'.' | b'/')
    };
    text.contains('/') && text.bytes().all(fits)
}

/// The names of files in a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    line.split(move |letter| !is_part(letter))
        .map(|word| word.trim_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let files = [
            "docs/STYLE.md",
            "crates/net/src/lib.rs",
            "crates/net/src/edge/mod.rs",
        ];
        let files = files.map(|path| Tracked {
            path: path.to_owned(),
        });
        Known::of(&files).complaints(path, text)
    }

    #[test]
    fn documents_that_are_not_here_are_not_cited() {
        let missing = concat!("// See rules", ".md §8-2.");
        assert_eq!(complaints("crates/net/src/lib.rs", missing).len(), 1);
        for text in ["// See STYLE.md.", "// `docs/STYLE.md`, RFC 9110 §7"] {
            assert_eq!(complaints("crates/net/src/lib.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn paths_in_documents_lead_somewhere() {
        for (text, count) in [
            ("`net/src/edge/` and `crates/net/src/lib.rs`", 0),
            ("`net/src/egress/pool.rs`", 1),
            ("`crates/none/`", 1),
            (
                "`/healthz`, `tools/call`, `server/discover`, `net/src/<file>.rs`",
                0,
            ),
        ] {
            assert_eq!(complaints("README.md", text).len(), count, "{text}");
        }
    }
}
