//! The habits of files that no compiler checks.

use anyhow::{Result, bail};

use crate::circles;
use crate::citations::Known;
use crate::{
    metadata, shapes, shell,
    sources::{self, Line},
    spec,
};

/// More lines of code than this and a file hides a design.
const MOST_LINES: usize = 600;

/// Names that attract everything and say nothing.
const VAGUE: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "types", "manager", "service", "services",
    "misc", "stuff",
];

/// Marks that must name where the work is noted. Spelled in two halves so that this file passes its own check.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Test attributes that hide a test which does not run or does not say what it expects.
const HIDING: &[&str] = &[concat!("#[", "ignore"), concat!("#[", "should_panic")];

/// What would tie the repository to one machine or one mirror.
const PLACES: &[&str] = &[
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("py", "pi.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("repo1.", "maven.org"),
    concat!("repo.", "maven.apache.org"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// Checks every tracked file, the list of crates in the architecture, and the generated files.
pub(crate) fn run() -> Result<()> {
    let mut complaints = Vec::new();
    let files = sources::tracked()?;
    let known = Known::of(&files);
    for file in &files {
        let Ok(text) = shell::read(&shell::root().join(&file.path)) else {
            continue; // Not text.
        };
        complaints.extend(check_file(&file.path, &text));
        complaints.extend(known.complaints(&file.path, &text));
    }
    complaints.extend(circles::complaints(&files)?);
    complaints.extend(check_architecture()?);
    if let Err(error) = spec::run(true) {
        complaints.push(format!("{error:#}"));
    }
    if complaints.is_empty() {
        println!("tidy: {} files are in order", files.len());
        return Ok(());
    }
    bail!("not tidy:\n  {}", complaints.join("\n  "));
}

fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        for place in PLACES {
            if line.contains(place) {
                complaints.push(format!(
                    "{path}:{at}: `{place}` belongs to one machine or one mirror"
                ));
            }
        }
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    if !matches!(extension, "rs" | "js" | "mjs" | "py") {
        return complaints;
    }
    let words: Vec<&str> = stem.split(['_', '-', '.']).collect();
    if let Some(vague) = VAGUE.iter().find(|vague| words.contains(vague)) {
        complaints.push(format!(
            "{path}: `{vague}` says nothing; hint: name the file after its rule or its verb"
        ));
    }
    for (at, line) in text.lines().enumerate() {
        for mark in MARKS {
            if let Some(rest) = after_word(line, mark)
                && !rest.starts_with("(#")
            {
                complaints.push(format!("{path}:{}: `{mark}` without `(#…)`", at + 1));
            }
        }
    }
    if extension != "rs" {
        return complaints;
    }
    if !text.starts_with("//! ") {
        complaints.push(format!(
            "{path}:1: the first line is not `//!` and what the file is for"
        ));
    }
    for (at, line) in text.lines().enumerate() {
        if let Some(hiding) = HIDING
            .iter()
            .find(|hiding| line.trim_start().starts_with(*hiding))
        {
            complaints.push(format!(
                "{path}:{}: `{hiding}`; hint: a test runs, and asserts what it expects",
                at + 1
            ));
        }
    }
    complaints.extend(shapes::complaints(path, text));
    if !sources::is_test_file(path) {
        let lines = sources::classify(text)
            .into_iter()
            .filter(|kind| *kind == Line::Code)
            .count();
        if lines > MOST_LINES {
            complaints.push(format!(
                "{path}: {lines} lines of code, at most {MOST_LINES}"
            ));
        }
    }
    complaints
}

/// What follows `word` in a line where it stands alone.
fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(word)?;
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let alone = !before.ends_with(is_part) && !after.starts_with(is_part);
    alone.then_some(after)
}

/// `docs/ARCHITECTURE.md` has a table whose first column is headed `Crate`: it names exactly the members.
fn check_architecture() -> Result<Vec<String>> {
    let path = "docs/ARCHITECTURE.md";
    let file = shell::root().join(path);
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let named = crates_in_table(&shell::read(&file)?);
    let members: Vec<String> = metadata::members()?
        .into_iter()
        .map(|member| member.name)
        .collect();
    if named.is_empty() {
        return Ok(vec![format!(
            "{path}: no table whose first column is headed `Crate`"
        )]);
    }
    let missing = members
        .iter()
        .filter(|member| !named.contains(member))
        .map(|it| format!("{path}: no row for `{it}`"));
    let unknown = named
        .iter()
        .filter(|name| !members.contains(name))
        .map(|it| format!("{path}: no crate is called `{it}`"));
    Ok(missing.chain(unknown).collect())
}

fn crates_in_table(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let Some(row) = line.trim().strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let first = row.split('|').next().unwrap_or_default().trim();
        if first.eq_ignore_ascii_case("crate") {
            in_table = true;
        } else if in_table
            && let Some(name) = first
                .strip_prefix('`')
                .and_then(|rest| rest.split('`').next())
        {
            named.push(name.to_owned());
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rust_file_says_what_it_is_for() {
        assert_eq!(check_file("crates/a/src/b.rs", "fn b() {}\n").len(), 1);
        assert!(check_file("crates/a/src/b.rs", "//! Counts to b.\nfn b() {}\n").is_empty());
    }

    #[test]
    fn a_long_file_is_refused_but_not_for_its_tests() {
        let code = "//! x\n".to_owned() + &"fn a() {}\n".repeat(601);
        assert_eq!(check_file("crates/a/src/b.rs", &code).len(), 1);
        assert!(check_file("crates/a/tests/b.rs", &code).is_empty());
        let tests = format!(
            "//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    fn a() {}\n".repeat(700)
        );
        assert!(check_file("crates/a/src/b.rs", &tests).is_empty());
    }

    #[test]
    fn vague_names_are_refused() {
        assert_eq!(
            check_file("crates/a/src/string_utils.rs", "//! x\n").len(),
            1
        );
        assert!(check_file("crates/a/src/commonplace.rs", "//! x\n").is_empty());
    }

    #[test]
    fn a_mark_names_where_the_work_is_noted() {
        let mark = MARKS[0];
        assert_eq!(
            check_file("a.rs", &format!("//! x\n// {mark}: later\n")).len(),
            1
        );
        assert!(check_file("a.rs", &format!("//! x\n// {mark}(#12): later\n")).is_empty());
        assert!(check_file("a.rs", &format!("//! x\n// MAS{mark}N\n")).is_empty());
    }

    #[test]
    fn a_hidden_test_is_refused() {
        assert_eq!(
            check_file("a.rs", &format!("//! x\n    {}]\n", HIDING[0])).len(),
            1
        );
    }

    #[test]
    fn a_place_of_one_machine_is_refused_in_any_file() {
        assert_eq!(
            check_file("README.md", &format!("see {}x\n", PLACES[0])).len(),
            1
        );
    }

    #[test]
    fn the_crates_are_read_from_their_table_only() {
        let text = "| Crate | What |\n|---|---|\n| `auth` | x |\n\n| Other | y |\n|---|---|\n| `nothing` | z |\n";
        assert_eq!(crates_in_table(text), ["auth"]);
    }
}
