//! End-to-end tests with clients and servers that nobody here wrote: which there are, and what each is given.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    install::{self, Python},
    shell,
};

/// A group of end-to-end tests: one script for Node's test runner, in e2e/.
struct Group {
    name: &'static str,
    promise: &'static str,
    needs: &'static [Need],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Chromium,
    Mcp1,
    Mcp2,
    Keycloak,
    Rmcp,
}

const GROUPS: &[Group] = &[
    Group {
        name: "upstreams",
        promise: "FastMCP servers of both generations behind `sekisho serve`",
        needs: &[Need::Mcp1, Need::Mcp2],
    },
    Group {
        name: "conformance",
        promise: "the official server suite, directly and through the gateway, both revisions, servers of both eras and of one",
        needs: &[Need::Rmcp],
    },
    Group {
        name: "clients",
        promise: "the TypeScript and the Python client, CIMD from nothing, in both eras",
        needs: &[Need::Mcp2],
    },
    Group {
        name: "headless",
        promise: "mcp-remote, opencode, `mcp` 1.x, openid-client 5 and 6, by DCR and by CIMD, until after expiry",
        needs: &[Need::Mcp1],
    },
    Group {
        name: "inspector-cli",
        promise: "the newest MCP Inspector on the command line, with CIMD",
        needs: &[],
    },
    Group {
        name: "inspector-web",
        promise: "MCP Inspector 0.21.2 in a browser, clicking through the published experiment",
        needs: &[Need::Chromium],
    },
    Group {
        name: "keycloak",
        promise: "a real Keycloak as the authorization server, Sekisho as document host, gateway and edge",
        needs: &[Need::Keycloak, Need::Mcp1, Need::Chromium],
    },
];

/// How long one group may take.
const LIMIT: Duration = Duration::from_mins(7);

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// Runs the named groups, or all, against the program as it is now.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if shell::environment("SEKISHO_BIN").is_none() {
        shell::succeed(shell::cargo().args(["build", "--workspace", "--bin", "sekisho"]))?;
    }
    let mut total = Tally::default();
    for name in names {
        if !GROUPS.iter().any(|group| group.name == name) {
            let known: Vec<String> = GROUPS
                .iter()
                .map(|it| format!("  {:<14} {}", it.name, it.promise))
                .collect();
            bail!("no group is called `{name}`; known:\n{}", known.join("\n"));
        }
    }
    for group in GROUPS
        .iter()
        .filter(|group| names.is_empty() || names.iter().any(|name| name == group.name))
    {
        let tally = run_group(group);
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!(
            "{} end-to-end tests failed; what they left is in {}",
            total.failed,
            artefacts().display()
        );
    }
    Ok(())
}

/// The names of all groups, in the order in which they run.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|group| group.name)
}

/// Runs one group by name. A group that can't run counts as one failure.
pub(crate) fn run_one(name: &str) -> Tally {
    GROUPS.iter().find(|group| group.name == name).map_or(
        Tally {
            passed: 0,
            failed: 1,
        },
        run_group,
    )
}

/// The program under test.
pub(crate) fn program() -> Result<PathBuf> {
    let file = shell::environment("SEKISHO_BIN")
        .map_or_else(|| shell::target().join("debug/sekisho"), PathBuf::from);
    if !file.is_file() {
        bail!("{} is not built; hint: `cargo build`", file.display());
    }
    Ok(file)
}

fn run_group(group: &Group) -> Tally {
    println!("e2e {}: {}", group.name, group.promise);
    let started = shell::clock();
    let mut tally = Tally::default();
    let outcome = prepare(group).and_then(|mut command| {
        shell::watch(&mut command, LIMIT, |line| {
            tally.passed += count(line, "ℹ pass ");
            tally.failed +=
                count(line, "ℹ fail ") + count(line, "ℹ cancelled ") + count(line, "ℹ skipped ");
        })
    });
    match outcome {
        Ok(watched) if watched.success && tally.passed > 0 => {}
        Ok(watched) => {
            if watched.timed_out || tally.failed == 0 {
                tally.failed += 1;
            }
        }
        Err(error) => {
            println!("e2e {}: {error:#}", group.name);
            tally.failed += 1;
        }
    }
    let seconds = started.elapsed().as_secs();
    println!(
        "e2e {}: {} passed, {} failed, {seconds} s",
        group.name, tally.passed, tally.failed
    );
    tally
}

fn count(line: &str, label: &str) -> u64 {
    line.strip_prefix(label)
        .and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0)
}

fn prepare(group: &Group) -> Result<Command> {
    let node = install::node()?;
    let program = program()?;
    let artefacts = artefacts().join(group.name);
    std::fs::create_dir_all(&artefacts)
        .with_context(|| format!("making {}", artefacts.display()))?;
    let mut command = shell::command(node.join("node_modules/.bin/node"));
    command.current_dir(shell::root().join("e2e"));
    command.args([
        "--import",
        "./js/modules.mjs",
        "--test",
        "--test-reporter=spec",
        "--test-timeout=300000",
    ]);
    command.arg(format!("{}.test.mjs", group.name));
    command.env("SEKISHO_BIN", program);
    command.env("SEKISHO_E2E_MODULES", &node);
    command.env("SEKISHO_E2E_ARTEFACTS", artefacts);
    command.env("NO_COLOR", "1");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    for need in group.needs {
        match need {
            Need::Chromium => {
                command.env("SEKISHO_E2E_CHROMIUM", install::chromium()?);
            }
            Need::Mcp1 => {
                command.env("SEKISHO_E2E_PYTHON_MCP1", install::python(Python::Mcp1)?);
            }
            Need::Mcp2 => {
                command.env("SEKISHO_E2E_PYTHON_MCP2", install::python(Python::Mcp2)?);
            }
            Need::Rmcp => {
                command.env("SEKISHO_E2E_RMCP", install::rmcp()?);
            }
            Need::Keycloak => {
                let keycloak = install::keycloak()?;
                command
                    .env("SEKISHO_E2E_KEYCLOAK", keycloak.home)
                    .env("SEKISHO_E2E_JAVA_HOME", keycloak.java_home);
            }
        }
    }
    Ok(command)
}

fn artefacts() -> PathBuf {
    install::home().join("artefacts")
}
