//! Dependencies that nothing names: each costs every build, and says that there is a use where there is none.

use anyhow::Result;

use crate::metadata::{Kind, Member};
use crate::shell;
use crate::sources::{self, Line, Tracked};

/// Named by no file, and needed all the same: for a feature that they switch on.
const FOR_A_FEATURE: &[(&str, &str)] = &[];

/// What each crate of the workspace depends on and no file of it names.
pub(crate) fn complaints(members: &[Member]) -> Result<Vec<String>> {
    let tracked = sources::tracked()?;
    let mut complaints = Vec::new();
    for member in members {
        let mut code = Vec::new();
        for file in tracked.iter().filter(|file| is_of(file, member)) {
            code.push(Code::of(
                &file.path,
                &shell::read(&shell::root().join(&file.path))?,
            ));
        }
        complaints.extend(check(member, &code));
    }
    Ok(complaints)
}

fn is_of(file: &Tracked, member: &Member) -> bool {
    file.extension() == "rs" && file.path.starts_with(&format!("{}/", member.folder))
}

/// The code of one file, without comments: that of the crate itself, and that of its tests.
struct Code {
    own: String,
    tests: String,
}

impl Code {
    fn of(path: &str, text: &str) -> Self {
        let (mut own, mut tests) = (String::new(), String::new());
        let is_test_file = sources::is_test_file(path);
        for (line, kind) in text.lines().zip(sources::classify(text)) {
            let to = match kind {
                Line::Blank | Line::Comment => continue,
                Line::Test => &mut tests,
                Line::Code if is_test_file => &mut tests,
                Line::Code => &mut own,
            };
            if !line.trim_start().starts_with("//") {
                to.push_str(line);
                to.push('\n');
            }
        }
        Self { own, tests }
    }
}

fn check(member: &Member, code: &[Code]) -> Vec<String> {
    let mut complaints = Vec::new();
    for dependency in &member.dependencies {
        let name = dependency.name.as_str();
        let is_normal_too = member
            .dependencies
            .iter()
            .any(|other| other.name == name && other.kind == Kind::Normal);
        let is_exempt = FOR_A_FEATURE.contains(&(member.name.as_str(), name))
            // Tests may switch on a feature of what is there anyway, and of the crate itself.
            || (dependency.kind == Kind::Development && (is_normal_too || name == member.name));
        let ident = name.replace('-', "_");
        let own = code.iter().any(|code| names(&code.own, &ident));
        let tests = code.iter().any(|code| names(&code.tests, &ident));
        let hint = match dependency.kind {
            _ if is_exempt => continue,
            Kind::Normal if own => continue,
            Kind::Normal if tests => "move it to [dev-dependencies]",
            Kind::Development | Kind::Build if own || tests => continue,
            Kind::Normal | Kind::Development | Kind::Build => "take it out of its Cargo.toml",
        };
        complaints.push(format!(
            "`{}` has no use for `{name}`; hint: {hint}",
            member.name
        ));
    }
    complaints
}

/// Whether a word stands in the code by itself.
fn names(code: &str, word: &str) -> bool {
    let is_part =
        |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    code.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|at| code.as_bytes().get(at));
        let after = code.as_bytes().get(at + word.len());
        !is_part(before.copied()) && !is_part(after.copied())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn complaints(dependencies: &[(&str, Kind)], path: &str, text: &str) -> Vec<String> {
        let dependencies = dependencies.iter().map(|(name, kind)| Dependency {
            name: (*name).to_owned(),
            kind: *kind,
        });
        let member = Member {
            name: "auth".to_owned(),
            folder: "crates/auth".to_owned(),
            dependencies: dependencies.collect(),
        };
        check(&member, &[Code::of(path, text)])
    }

    #[test]
    fn what_nothing_names_is_refused() {
        let text = "// url is not used here\nuse serde_json::Value;\nlet curl = url_of();\n";
        let of = |name| complaints(&[(name, Kind::Normal)], "crates/auth/src/lib.rs", text);
        assert!(of("serde-json").is_empty());
        assert_eq!(
            of("url"),
            ["`auth` has no use for `url`; hint: take it out of its Cargo.toml"]
        );
    }

    #[test]
    fn what_only_tests_name_is_for_tests() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use url::Url;\n}\n";
        let of = |kind| complaints(&[("url", kind)], "crates/auth/src/lib.rs", text);
        assert_eq!(
            of(Kind::Normal),
            ["`auth` has no use for `url`; hint: move it to [dev-dependencies]"]
        );
        assert!(of(Kind::Development).is_empty());
        let twice = [("url", Kind::Normal), ("url", Kind::Development)];
        let text = "use url::Url;\n";
        assert!(complaints(&twice, "crates/auth/src/lib.rs", text).is_empty());
    }
}
