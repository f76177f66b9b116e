//! What cargo knows about the workspace: its members, what each depends on, and where its tests were built to.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The folder, from the root of the work tree.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a crate's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Development,
    Build,
}

/// All members, ordered by name.
pub(crate) fn members() -> Result<Vec<Member>> {
    let text = shell::quietly(shell::cargo().args([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]))
    .or_else(|_| {
        shell::quietly(shell::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))
    })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Member>> {
    let metadata: Value =
        serde_json::from_str(text).context("reading what `cargo metadata` printed")?;
    let root = metadata
        .get("workspace_root")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut members = Vec::new();
    for package in list(&metadata, "packages") {
        let manifest = string(package, "manifest_path");
        let folder = manifest
            .strip_prefix(root)
            .unwrap_or(&manifest)
            .trim_start_matches('/');
        let folder = folder
            .strip_suffix("Cargo.toml")
            .unwrap_or(folder)
            .trim_end_matches('/')
            .to_owned();
        let dependencies = list(package, "dependencies")
            .iter()
            .map(|dependency| Dependency {
                name: string(dependency, "name"),
                kind: match dependency.get("kind").and_then(Value::as_str) {
                    Some("dev") => Kind::Development,
                    Some("build") => Kind::Build,
                    _ => Kind::Normal,
                },
            })
            .collect();
        members.push(Member {
            name: string(package, "name"),
            folder,
            dependencies,
        });
    }
    members.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(members)
}

/// The members that depend on `wanted`, directly or through another member, tests included; and `wanted` itself.
pub(crate) fn dependents(members: &[Member], wanted: &str) -> Vec<String> {
    let mut found = vec![wanted.to_owned()];
    loop {
        let more: Vec<String> = members
            .iter()
            .filter(|member| !found.contains(&member.name))
            .filter(|member| {
                member
                    .dependencies
                    .iter()
                    .any(|dependency| found.contains(&dependency.name))
            })
            .map(|member| member.name.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// A program of tests that cargo has built.
#[derive(Debug)]
pub(crate) struct TestProgram {
    pub(crate) member: String,
    pub(crate) target: String,
    pub(crate) file: String,
    /// The folder of the crate, absolute.
    pub(crate) folder: String,
}

/// Reads the messages of `cargo test --no-run --message-format=json`.
pub(crate) fn test_programs(messages: &str) -> Vec<TestProgram> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.get("reason").and_then(Value::as_str) == Some("compiler-artifact")
        })
        .filter(|message| message.pointer("/profile/test").and_then(Value::as_bool) == Some(true))
        .filter_map(|message| {
            let file = message
                .get("executable")
                .and_then(Value::as_str)?
                .to_owned();
            let manifest = string(&message, "manifest_path");
            let folder = manifest
                .strip_suffix("/Cargo.toml")
                .unwrap_or(&manifest)
                .to_owned();
            let member = folder.rsplit('/').next().unwrap_or_default().to_owned();
            let target = message
                .pointer("/target/name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            Some(TestProgram {
                member,
                target,
                file,
                folder,
            })
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn string(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependents_are_found_through_others() {
        let text = r#"{"workspace_root": "/w", "packages": [
            {"name": "store", "manifest_path": "/w/crates/store/Cargo.toml", "dependencies": []},
            {"name": "auth", "manifest_path": "/w/crates/auth/Cargo.toml", "dependencies": [{"name": "store", "kind": null}]},
            {"name": "server", "manifest_path": "/w/crates/server/Cargo.toml", "dependencies": [{"name": "auth", "kind": "dev"}]},
            {"name": "mcp", "manifest_path": "/w/crates/mcp/Cargo.toml", "dependencies": []}]}"#;
        let members = parse(text).unwrap();
        assert_eq!(dependents(&members, "store"), ["store", "auth", "server"]);
        assert_eq!(members[0].folder, "crates/auth");
    }

    #[test]
    fn only_test_programs_are_read_from_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/t/sekisho","manifest_path":"/w/crates/server/Cargo.toml"}
not json
{"reason":"compiler-artifact","profile":{"test":true},"executable":"/t/cli-1","manifest_path":"/w/crates/server/Cargo.toml","target":{"name":"cli"}}"#;
        let programs = test_programs(messages);
        assert_eq!(programs.len(), 1);
        assert_eq!(
            (programs[0].member.as_str(), programs[0].target.as_str()),
            ("server", "cli")
        );
    }
}
