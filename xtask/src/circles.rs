//! Circles between the files of a crate: files that can only be read together. Each file is to be read after those it names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::shell;
use crate::sources::{self, Line, Tracked};

/// How many circles there may be. What is left may stay; it only becomes less.
const BUDGET: usize = 0;

/// What is wrong with the number of circles.
pub(crate) fn complaints(files: &[Tracked]) -> Result<Vec<String>> {
    let mut circles = Vec::new();
    for (folder, modules) in crates(files)? {
        for circle in circles_of(&modules) {
            let lines: Vec<String> = circle
                .iter()
                .map(|(module, named)| format!("{module} names {}", listed(named)))
                .collect();
            circles.push(format!("{folder}: {}", lines.join("; ")));
        }
    }
    Ok(judge(&circles, BUDGET))
}

fn judge(circles: &[String], budget: usize) -> Vec<String> {
    match circles.len() {
        found if found > budget => vec![format!(
            "{found} circles between files, {budget} may be:\n    {}\n    hint: move what both need to a file that needs neither",
            circles.join("\n    ")
        )],
        found if found < budget => vec![format!(
            "{found} circles between files; hint: lower the budget of {budget} in xtask/src/circles.rs, so that none comes back"
        )],
        _ => Vec::new(),
    }
}

/// Modules that name each other, with those of them that each names.
type Circle = BTreeMap<String, BTreeSet<String>>;

/// The code of the modules of a crate that have a file, by their paths.
type Modules = BTreeMap<Vec<String>, String>;

fn crates(files: &[Tracked]) -> Result<BTreeMap<String, Modules>> {
    let mut crates: BTreeMap<String, Modules> = BTreeMap::new();
    for file in files {
        let Some((folder, inside)) = file.path.split_once("/src/") else {
            continue;
        };
        if file.extension() != "rs" || sources::is_test_file(&file.path) {
            continue;
        }
        let text = shell::read(&shell::root().join(&file.path))?;
        let modules = crates.entry(folder.to_owned()).or_default();
        modules.insert(module_of(inside), code_of(&text));
    }
    Ok(crates)
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module_of(inside: &str) -> Vec<String> {
    let mut path: Vec<String> = inside
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if path
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        path.pop();
    }
    path
}

fn code_of(text: &str) -> String {
    text.lines()
        .zip(sources::classify(text))
        .filter(|(line, kind)| *kind == Line::Code && !line.trim_start().starts_with("//"))
        .map(|(line, _)| sources::without_texts(line) + "\n")
        .collect()
}

/// The modules that can't be put in an order, group by group.
fn circles_of(modules: &Modules) -> Vec<Circle> {
    let names: Vec<&Vec<String>> = modules.keys().collect();
    let named: Vec<BTreeSet<usize>> = modules
        .iter()
        .map(|(own, code)| {
            let children: BTreeSet<&str> = names
                .iter()
                .filter(|name| name.len() == own.len() + 1 && name.starts_with(own))
                .filter_map(|name| name.last().map(String::as_str))
                .collect();
            let named = paths(code, own, &children).into_iter();
            named
                .filter_map(|path| {
                    // The longest beginning that is a module.
                    let known = (0..=path.len()).rev().find_map(|length| {
                        let path = path.get(..length)?;
                        names.iter().position(|name| *name == path)
                    })?;
                    (names.get(known) != Some(&own)).then_some(known)
                })
                .collect()
        })
        .collect();
    let reach: Vec<BTreeSet<usize>> = (0..names.len())
        .map(|from| reachable(from, &named))
        .collect();
    let together = |one: usize, other: usize| {
        let reaches = |from: usize, to: usize| reach.get(from).is_some_and(|all| all.contains(&to));
        reaches(one, other) && reaches(other, one)
    };
    let text = |module: usize| match names.get(module).map(|name| name.as_slice()) {
        Some([]) | None => "crate".to_owned(),
        Some(path) => path.join("::"),
    };
    let circles: BTreeSet<Circle> = (0..names.len())
        .map(|one| {
            let circle: BTreeSet<usize> = (0..names.len())
                .filter(|other| together(one, *other))
                .collect();
            let beyond = BTreeSet::new();
            circle
                .iter()
                .map(|module| {
                    let named = named.get(*module).unwrap_or(&beyond);
                    let named = named.intersection(&circle).map(|module| text(*module));
                    (text(*module), named.collect())
                })
                .collect()
        })
        .filter(|circle: &Circle| !circle.is_empty())
        .collect();
    circles.into_iter().collect()
}

fn listed(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

fn reachable(from: usize, named: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in named.get(at).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}

/// All paths that begin at the crate, at a module near by or at one of the file's own modules, from the root of the crate.
fn paths(code: &str, own: &[String], children: &BTreeSet<&str>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = code.get(..at).unwrap_or_default();
        let word = before
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default();
        // What follows another path is no beginning.
        let is_beginning = !before
            .strip_suffix(word)
            .is_some_and(|before| before.ends_with("::"));
        let base = match word {
            "crate" if is_beginning => Vec::new(),
            "self" if is_beginning => own.to_vec(),
            "super" if is_beginning => parent(own),
            child if is_beginning && children.contains(&child) => {
                [own, &[child.to_owned()]].concat()
            }
            _ => continue,
        };
        let rest = code.get(at + 2..).unwrap_or_default();
        tree(rest, base, &mut found);
    }
    found
}

fn parent(path: &[String]) -> Vec<String> {
    let mut path = path.to_vec();
    path.pop();
    path
}

/// Reads what follows `::`, a name or names in braces, and gives what comes after it.
fn tree<'a>(text: &'a str, base: Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut inside) = text.strip_prefix('{') {
        loop {
            inside = inside.trim_start_matches([' ', '\n', ',']);
            if let Some(after) = inside.strip_prefix('}') {
                return after;
            }
            let rest = tree(inside, base.clone(), found);
            if rest.len() == inside.len() {
                return rest;
            }
            inside = rest;
        }
    }
    let length = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let path = match name {
        "super" => parent(&base),
        "self" => base,
        _ => [base, vec![name.to_owned()]].concat(),
    };
    if let Some(rest) = rest.strip_prefix("::") {
        return tree(rest, path, found);
    }
    found.push(path);
    match rest.strip_prefix(" as ") {
        Some(renamed) => renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(modules: &[(&str, &str)]) -> Vec<String> {
        let modules = modules
            .iter()
            .map(|(file, code)| (module_of(file), code_of(code)))
            .collect();
        circles_of(&modules)
            .into_iter()
            .map(|circle| circle.into_keys().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn files_that_name_each_other_are_a_circle_however_they_do() {
        let a = "use crate::{b::{self, B as C}, c::D};\n";
        for b in [
            "use crate::a::A;\n",
            "use super::a;\n",
            "fn f(it: &crate::a::A) {}\n",
            "use crate::{\n    c,\n    a::{A, B},\n};\n",
        ] {
            let found = circles(&[("a.rs", a), ("b.rs", b), ("c/mod.rs", "fn d() {}\n")]);
            assert_eq!(found, ["a b"], "{b}");
        }
    }

    #[test]
    fn a_circle_of_three_is_one_and_tests_and_comments_make_none() {
        let found = circles(&[
            ("lib.rs", "fn f() {\n    a::b();\n}\n"),
            ("a.rs", "use crate::b::B;\n"),
            ("b.rs", "use super::c::C;\n"),
            ("c.rs", "use crate::a::A;\n"),
            (
                "d.rs",
                "// crate::e\n#[cfg(test)]\nmod tests {\n    use crate::e::E;\n}\n",
            ),
            ("e.rs", "use crate::d;\n"),
        ]);
        assert_eq!(found, ["a b c"]);
    }

    #[test]
    fn a_folder_and_what_is_in_it_can_be_a_circle() {
        let found = circles(&[
            ("a/mod.rs", "use self::b::B;\n"),
            ("a/b.rs", "use super::A;\n"),
        ]);
        assert_eq!(found, ["a a::b"]);
    }

    #[test]
    fn the_budget_is_what_there_is() {
        let one = ["x".to_owned()];
        assert!(judge(&one, 1).is_empty());
        assert!(judge(&one, 0)[0].contains("1 circles"));
        assert!(judge(&one, 2)[0].contains("lower"));
    }
}
