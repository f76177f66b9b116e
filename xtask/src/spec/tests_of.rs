//! Finds which test a comment with requirement ids stands above or within, in Rust, JavaScript and Python.

use super::citations;
use crate::sources::{self, Line};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    JavaScript,
    Python,
}

impl Language {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "js" | "mjs" => Some(Self::JavaScript),
            "py" => Some(Self::Python),
            _ => None,
        }
    }

    /// The text of a line comment. Documentation of a whole file cites nothing for its tests.
    fn comment(self, line: &str) -> Option<&str> {
        let line = line.trim_start();
        match self {
            Self::Rust if line.starts_with("//!") => None,
            Self::Rust => line.strip_prefix("///").or_else(|| line.strip_prefix("//")),
            Self::JavaScript => line.strip_prefix("//"),
            Self::Python => line.strip_prefix('#'),
        }
    }

    /// The name of the test that begins in this line. `announced` tells whether an attribute said so before.
    fn test_name(self, line: &str, announced: bool) -> Option<String> {
        let line = line.trim_start();
        match self {
            Self::Rust => {
                let rest = announced.then(|| line.strip_prefix("async ").unwrap_or(line))?;
                identifier(rest.strip_prefix("fn ")?)
            }
            Self::JavaScript => {
                let line = line.strip_prefix("await ").unwrap_or(line);
                let rest = ["test(", "it(", "t.test(", "check("]
                    .iter()
                    .find_map(|call| line.strip_prefix(call))?;
                let quote = rest
                    .chars()
                    .next()
                    .filter(|character| matches!(character, '"' | '\'' | '`'))?;
                rest.get(1..)?.split(quote).next().map(str::to_owned)
            }
            Self::Python => {
                let rest = line
                    .strip_prefix("async ")
                    .unwrap_or(line)
                    .strip_prefix("def ")?;
                identifier(rest).filter(|name| name.starts_with("test_"))
            }
        }
    }

    fn announces_test(self, line: &str) -> bool {
        let line = line.trim_start();
        self == Self::Rust
            && line.strip_prefix("#[").is_some_and(|attribute| {
                let name = attribute.split([']', '(']).next().unwrap_or_default();
                name == "test" || name.ends_with("::test")
            })
    }
}

/// The ids that one test cites.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Citation {
    pub(super) test: String,
    pub(super) ids: Vec<String>,
}

/// All citations of a file, in its order.
pub(super) fn citations_in(text: &str, language: Language, is_test_file: bool) -> Vec<Citation> {
    let kinds = if language == Language::Rust {
        sources::classify(text)
    } else {
        Vec::new()
    };
    let mut found: Vec<Citation> = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    let mut announced = false;
    // The test we are in, and how far its first line is indented.
    let mut current: Option<(String, usize)> = None;
    for (at, line) in text.lines().enumerate() {
        let is_test_line = is_test_file || kinds.get(at) == Some(&Line::Test);
        if !is_test_line {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if let Some(comment) = language.comment(line) {
            let ids = citations::parse(comment);
            match &current {
                Some((test, depth)) if indent > *depth => add(&mut found, test, ids),
                _ => pending.extend(ids),
            }
            continue;
        }
        if language.announces_test(line) {
            announced = true;
            continue;
        }
        if let Some(test) = language.test_name(line, announced) {
            announced = false;
            let mut ids = std::mem::take(&mut pending);
            ids.extend(named_ids(&test));
            add(&mut found, &test, ids);
            current = Some((test, indent));
        } else if line.trim_start().starts_with('#') {
            // Another attribute between the comment and the test.
        } else if !line.trim().is_empty() {
            if current.as_ref().is_some_and(|(_, depth)| indent <= *depth) {
                current = None;
            }
            if current.is_none() {
                // Something else stood below the comment.
                pending.clear();
                announced = false;
            }
        }
    }
    found
}

fn add(found: &mut Vec<Citation>, test: &str, ids: Vec<String>) {
    if ids.is_empty() {
        return;
    }
    match found.iter_mut().find(|citation| citation.test == test) {
        Some(citation) => citation.ids.extend(ids),
        None => found.push(Citation {
            test: test.to_owned(),
            ids,
        }),
    }
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    text.get(..end)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Ids at the front of a test's name: `sec_21_…`, `ci5_…`.
fn named_ids(test: &str) -> Vec<String> {
    let spelled = test.to_uppercase();
    let prefix_end = spelled
        .find(|character: char| !character.is_ascii_uppercase())
        .unwrap_or(0);
    let Some((prefix, rest)) = spelled.split_at_checked(prefix_end) else {
        return Vec::new();
    };
    let number: String = rest
        .trim_start_matches('_')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    if number.is_empty() {
        Vec::new()
    } else {
        citations::parse(&format!("{prefix}-{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Vec<(String, Vec<String>)> {
        citations_in(text, Language::Rust, true)
            .into_iter()
            .map(|it| (it.test, it.ids))
            .collect()
    }

    #[test]
    fn a_comment_above_a_test_belongs_to_it() {
        let text =
            "// SEC-21, CI-15\n#[tokio::test(start_paused = true)]\nasync fn is_refused() {\n}\n";
        assert_eq!(
            rust(text),
            [(
                "is_refused".to_owned(),
                vec!["SEC-21".to_owned(), "CI-15".to_owned()]
            )]
        );
    }

    #[test]
    fn a_comment_within_a_test_belongs_to_it() {
        let text = "#[test]\nfn table() {\n    // CI-3\n    one();\n    // CI-5\n    two();\n}\n\n// AS-1\n#[test]\nfn other() {}\n";
        assert_eq!(rust(text).len(), 2);
        assert_eq!(rust(text)[0].1, ["CI-3", "CI-5"]);
    }

    #[test]
    fn a_comment_above_something_else_cites_nothing() {
        assert!(rust("// AS-1\nfn prepare() {}\n#[test]\nfn promise() {}\n").is_empty());
    }

    #[test]
    fn code_outside_tests_cites_nothing() {
        let text = "// AS-1\nfn x() {}\n#[cfg(test)]\nmod tests {\n    // AS-2\n    #[test]\n    fn y() {}\n}\n";
        let found = citations_in(text, Language::Rust, false);
        assert_eq!(
            found,
            [Citation {
                test: "y".into(),
                ids: vec!["AS-2".into()]
            }]
        );
    }

    #[test]
    fn a_name_may_cite() {
        assert_eq!(rust("#[test]\nfn sec_21_is_kept() {}\n")[0].1, ["SEC-21"]);
        assert!(rust("#[test]\nfn assets_2() {}\n").is_empty());
    }

    #[test]
    fn scripts_are_read_too() {
        let script =
            "// RS-2\ntest('finds the metadata', async () => {\n  // RS-3\n  check();\n});\n";
        let found = citations_in(script, Language::JavaScript, true);
        assert_eq!(
            found[0],
            Citation {
                test: "finds the metadata".into(),
                ids: vec!["RS-2".into(), "RS-3".into()]
            }
        );
        let script = "# RS-2\ndef test_it():\n    pass\n";
        assert_eq!(citations_in(script, Language::Python, true).len(), 1);
    }
}
