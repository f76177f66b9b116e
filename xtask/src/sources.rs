//! The files of the repository, and which of a Rust file's lines are code, commentary or test.

use anyhow::Result;

use crate::shell;

/// A file that is, or is about to be, under version control.
#[derive(Debug)]
pub(crate) struct Tracked {
    /// From the root of the work tree, with `/`.
    pub(crate) path: String,
}

impl Tracked {
    /// What follows the last dot of the name.
    pub(crate) fn extension(&self) -> &str {
        self.path
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }
}

/// All files that git tracks or would add.
pub(crate) fn tracked() -> Result<Vec<Tracked>> {
    let list = shell::quietly(shell::command("git").args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files: Vec<Tracked> = list
        .split('\0')
        .filter(|path| !path.is_empty() && shell::root().join(path).is_file())
        .map(|path| Tracked {
            path: path.to_owned(),
        })
        .collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files.dedup_by(|left, right| left.path == right.path);
    Ok(files)
}

/// What one line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Blank,
    Comment,
    Code,
    /// Inside a `#[cfg(test)]` module; whatever it is there.
    Test,
}

/// Whether a whole file consists of tests, by its place.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "fuzz")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.contains(".test.")
        || path.starts_with("e2e/")
}

/// Classifies each line of a Rust file that rustfmt has formatted.
pub(crate) fn classify(text: &str) -> Vec<Line> {
    let mut kinds = Vec::new();
    let mut in_block_comment = false;
    let mut in_tests = false;
    let mut after_cfg_test = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if in_tests {
            kinds.push(Line::Test);
            in_tests = line != "}";
            continue;
        }
        if in_block_comment {
            kinds.push(Line::Comment);
            in_block_comment = !trimmed.ends_with("*/");
            continue;
        }
        if after_cfg_test && is_module_start(line) {
            kinds.push(Line::Test);
            in_tests = true;
            after_cfg_test = false;
            continue;
        }
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            after_cfg_test = true;
        } else if !trimmed.starts_with("#[") && !trimmed.starts_with("//") && !trimmed.is_empty() {
            after_cfg_test = false;
        }
        kinds.push(if trimmed.is_empty() {
            Line::Blank
        } else if trimmed.starts_with("//") {
            Line::Comment
        } else if trimmed.starts_with("/*") {
            in_block_comment = !trimmed.ends_with("*/");
            Line::Comment
        } else {
            Line::Code
        });
    }
    kinds
}

fn is_module_start(line: &str) -> bool {
    let rest = line
        .strip_prefix("pub(crate) ")
        .or_else(|| line.strip_prefix("pub "))
        .unwrap_or(line);
    rest.starts_with("mod ") && rest.ends_with('{')
}

/// A line of code without what stands in double quotes on it.
pub(crate) fn without_texts(line: &str) -> String {
    let (mut kept, mut is_text, mut is_escaped) = (String::new(), false, false);
    for character in line.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            other if !is_text => kept.push(other),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_module_ends_at_its_brace() {
        let text =
            "//! x\n\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        let kinds = classify(text);
        assert_eq!(kinds[0], Line::Comment);
        assert_eq!(kinds[1], Line::Blank);
        assert_eq!(kinds[2], Line::Code);
        assert_eq!(kinds[4..8], [Line::Test; 4]);
        assert_eq!(kinds[8], Line::Code);
    }

    #[test]
    fn files_below_tests_are_tests() {
        assert!(is_test_file("crates/auth/tests/authorize.rs"));
        assert!(is_test_file("crates/auth/src/token/tests.rs"));
        assert!(!is_test_file("crates/testkit/src/lib.rs"));
    }
}
