//! What is wrong with a configuration, said so that its author can mend it: where, what was expected, and a hint.

use std::fmt;

use crate::config::node::Node;
use crate::config::sound::LeftOut;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file, as it was given.
    pub(crate) file: String,
    /// The line, counted from one; zero when the whole file is meant.
    pub(crate) line: u64,
    /// The path of the key, `realms[0].cimd.mode`; empty for the whole document.
    pub(crate) path: String,
    /// What is wrong and what was expected.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Collects problems while the work goes on, so that all of them are reported at once.
#[derive(Debug)]
pub(crate) struct Problems<'a> {
    file: &'a str,
    root: &'a Node,
    left_out: &'a LeftOut,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    /// Nothing found yet in the document `root` of `file`, or in what is left of it.
    pub(crate) fn new(file: &'a str, root: &'a Node, left_out: &'a LeftOut) -> Self {
        Self {
            file,
            root,
            left_out,
            found: Vec::new(),
        }
    }

    /// The path of a key as its author counts, to point to it from elsewhere.
    pub(crate) fn written(&self, path: &str) -> String {
        self.left_out.written(path)
    }

    /// The line of a key, to point to it from elsewhere.
    pub(crate) fn line_of(&self, path: &str) -> u64 {
        self.root.line_of(&self.written(path))
    }

    /// Whether a section or list has everything that its author wrote: otherwise, what is missing there may only have been
    /// written in a wrong shape.
    pub(crate) fn know_all_of(&self, path: &str) -> bool {
        !self.left_out.has_some_of(&self.written(path), self.root)
    }

    /// Notes a problem at `path`; its line is looked up.
    pub(crate) fn note(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let path = self.written(&path.into());
        let line = self.root.line_of(&path);
        self.note_at(line, path, message, hint);
    }

    /// Notes a problem whose line is known.
    pub(crate) fn note_at(
        &mut self,
        line: u64,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let file = self.file.to_owned();
        self.found.push(Problem {
            file,
            line,
            path: path.into(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Where something was found.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.found.iter().map(|found| found.path.as_str()).collect()
    }

    /// Takes over what was found elsewhere.
    pub(crate) fn append(&mut self, more: Problems<'_>) {
        self.found.extend(more.found);
    }

    /// What was found, in the order of the file, each once.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found
            .sort_by(|a, b| a.line.cmp(&b.line).then_with(|| a.path.cmp(&b.path)));
        self.found.dedup();
        self.found
    }
}

/// The candidate that was probably meant by `word`.
pub(crate) fn closest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 || (word.len() > 2 && candidate.starts_with(word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or else the whole choice.
pub(crate) fn suggest(word: &str, candidates: &[&str]) -> String {
    closest(word, candidates.iter().copied()).map_or_else(
        || {
            let all: Vec<_> = candidates
                .iter()
                .map(|candidate| format!("`{candidate}`"))
                .collect();
            if all.is_empty() {
                "nothing can stand here".to_owned()
            } else {
                format!("known are {}", all.join(", "))
            }
        },
        |meant| format!("did you mean `{meant}`?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognized() {
        assert_eq!(
            closest("allow_htpp", ["allow_http", "mode"]),
            Some("allow_http")
        );
        assert_eq!(closest("targts", ["target", "targets"]), Some("targets"));
        assert_eq!(closest("auth", ["authorizer", "name"]), Some("authorizer"));
    }

    #[test]
    fn an_unrelated_word_is_answered_with_the_whole_choice() {
        assert_eq!(
            suggest("banana", &["name", "url"]),
            "known are `name`, `url`"
        );
    }
}
