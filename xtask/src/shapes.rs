//! Shapes of code that hide a design: what is refused wherever it stands.

use std::collections::BTreeMap;

use crate::sources::{self, Line};

/// What is wrong with the shapes in a file.
pub(crate) fn complaints(path: &str, text: &str) -> Vec<String> {
    let code = Code::of(text);
    let mut complaints = Vec::new();
    let mut refuse = |at: usize, what: &str| complaints.push(format!("{path}:{at}: {what}"));
    for at in code.lines_with("Result<Result<") {
        refuse(
            at,
            "a result in a result; hint: give the inner one a name, as an enum of what may come of it",
        );
    }
    for (at, name) in code.defaults_given_twice() {
        refuse(
            at,
            &format!(
                "`{name}` is named by a field and by a `Default`; hint: `#[serde(default)]` on the type, and one `Default`"
            ),
        );
    }
    if !path.starts_with("crates/targets/src/mcp/") {
        for at in code.lines_with("targets::mcp") {
            refuse(
                at,
                "names a kind of target; hint: what all kinds have is in `targets` itself",
            );
        }
    }
    if path.starts_with("crates/targets/") && !is_of_mcp_targets(path) {
        for at in code.lines_with("crate::mcp") {
            refuse(
                at,
                "names a kind of target; hint: only `targets/src/lib.rs` may",
            );
        }
    }
    complaints
}

fn is_of_mcp_targets(path: &str) -> bool {
    path == "crates/targets/src/lib.rs" || path.starts_with("crates/targets/src/mcp/")
}

/// The code of a file without blanks and comments, so that it does not matter how it is laid out.
struct Code {
    text: String,
    /// Where each line begins in the text.
    lines: BTreeMap<usize, usize>,
}

impl Code {
    fn of(text: &str) -> Self {
        let mut code = Self {
            text: String::new(),
            lines: BTreeMap::new(),
        };
        for (at, (line, kind)) in text.lines().zip(sources::classify(text)).enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if matches!(kind, Line::Code | Line::Test) && !is_comment {
                code.lines.insert(code.text.len(), at + 1);
                let line = if line.trim_start().starts_with("#[") {
                    line.to_owned()
                } else {
                    sources::without_texts(line)
                };
                code.text.extend(line.split_whitespace());
            }
        }
        code
    }

    /// The lines where something begins.
    fn lines_with(&self, what: &str) -> Vec<usize> {
        let found = self.text.match_indices(what);
        found.map(|(at, _)| self.line_of(at)).collect()
    }

    fn line_of(&self, at: usize) -> usize {
        let before = self.lines.range(..=at).next_back();
        before.map_or(0, |(_, line)| *line)
    }

    /// Functions that give a field its default and are called by something else, too.
    fn defaults_given_twice(&self) -> Vec<(usize, &str)> {
        let named = self.text.match_indices("serde(default=\"");
        named
            .filter_map(|(at, start)| {
                let rest = self.text.get(at + start.len()..)?;
                let (name, _) = rest.split_once('"')?;
                let calls = self.text.matches(&format!("{name}()")).count();
                let definitions = self.text.matches(&format!("fn{name}()")).count();
                (calls > definitions).then(|| (self.line_of(at), name))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: &str = "crates/gateway/src/a.rs";

    fn count(path: &str, text: &str) -> usize {
        complaints(path, text).len()
    }

    #[test]
    fn a_result_in_a_result_is_refused_however_it_is_laid_out() {
        let laid_out = "fn a() -> Result<\n    Result<u8, A>,\n    B,\n> {\n";
        assert_eq!(
            complaints(ELSEWHERE, laid_out),
            [
                "crates/gateway/src/a.rs:1: a result in a result; hint: give the inner one a name, as an enum of what may come of it"
            ]
        );
        assert_eq!(count(ELSEWHERE, "// Result<Result<A, B>, C>\n"), 0);
        assert_eq!(count(ELSEWHERE, "let a = \"Result<Result<\";\n"), 0);
    }

    #[test]
    fn a_kind_of_target_is_named_by_its_own_files_only() {
        assert_eq!(count(ELSEWHERE, "use targets::mcp::McpTarget;\n"), 1);
        assert_eq!(
            count("crates/targets/src/guard.rs", "use crate::mcp::wire;\n"),
            1
        );
        assert_eq!(
            count("crates/targets/tests/a.rs", "use targets::mcp::A;\n"),
            1
        );
        for own in ["crates/targets/src/lib.rs", "crates/targets/src/mcp/a.rs"] {
            assert_eq!(count(own, "use crate::mcp::wire;\n"), 0, "{own}");
        }
    }

    #[test]
    fn a_default_is_given_once() {
        let field = "    #[serde(default = \"default_a\")]\n    a: u8,\n";
        let function = "fn default_a() -> u8 {\n    7\n}\n";
        assert_eq!(count(ELSEWHERE, &format!("{field}{function}")), 0);
        let again = "impl Default for A {\n    fn default() -> Self {\n        Self { a: default_a() }\n    }\n}\n";
        let text = format!("{field}{function}{again}");
        assert_eq!(count(ELSEWHERE, &text), 1);
        assert!(complaints(ELSEWHERE, &text)[0].starts_with("crates/gateway/src/a.rs:1:"));
    }
}
