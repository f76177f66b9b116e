//! Everything that CI checks, step by step, with the time of each; nothing is skipped.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    e2e::{self, Tally},
    install, layers, memory,
    metadata::{self, TestProgram},
    postgres, schema, shell, tidy,
};

/// How long one step may take: a cold build of everything fits.
const LIMIT: Duration = Duration::from_mins(30);

/// One line of the table at the end.
struct Done {
    name: String,
    seconds: u64,
    tally: Tally,
}

/// Runs all steps, also after one failed, and ends with a table and the line that counts.
pub(crate) fn run() -> Result<()> {
    let mut table = Vec::new();
    step(&mut table, "fmt", || {
        shell::succeed(shell::cargo().args(["fmt", "--all", "--check"]))
    });
    step(&mut table, "layers", layers::run);
    step(&mut table, "tidy", tidy::run);
    // Packages come over the network while the compiler has the processors.
    let installing = std::thread::spawn(|| install::run(&[]));
    step(&mut table, "clippy", || {
        shell::succeed(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    });
    let mut programs = Vec::new();
    step(&mut table, "build", || {
        programs = build()?;
        Ok(())
    });
    counted(&mut table, "tests on SQLite", |tally| {
        let mut command = cargo();
        command
            .args(["test", "--workspace", "--no-fail-fast", "--quiet"])
            .env_remove("SEKISHO_TEST_POSTGRES_URL");
        watch(&mut command, tally)
    });
    step(&mut table, "install", || {
        installing
            .join()
            .unwrap_or_else(|_| bail!("the installation broke off"))
    });
    counted(&mut table, "tests on PostgreSQL", |tally| {
        on_postgres(&programs, tally)
    });
    step(&mut table, "schema", || schema::run(true));
    for name in e2e::names() {
        let started = shell::clock();
        let tally = e2e::run_one(name);
        table.push(Done {
            name: format!("e2e {name}"),
            seconds: started.elapsed().as_secs(),
            tally,
        });
    }
    step(&mut table, "memory", || memory::run(false));
    step(&mut table, "doc", || {
        let mut doc = cargo();
        doc.args(["doc", "--no-deps", "--workspace", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings");
        shell::succeed(&mut doc)
    });
    finish(&table)
}

fn finish(table: &[Done]) -> Result<()> {
    let mut total = Tally::default();
    println!(
        "\n{:<22} {:>6} {:>8} {:>8}",
        "step", "s", "passed", "failed"
    );
    for done in table {
        println!(
            "{:<22} {:>6} {:>8} {:>8}",
            done.name, done.seconds, done.tally.passed, done.tally.failed
        );
        total.passed += done.tally.passed;
        total.failed += done.tally.failed;
    }
    let seconds: u64 = table.iter().map(|done| done.seconds).sum();
    println!("{:<22} {:>6}", "all", seconds);
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("not everything passed");
    }
    Ok(())
}

/// A step that either passes or fails as a whole.
fn step(table: &mut Vec<Done>, name: &str, work: impl FnOnce() -> Result<()>) {
    counted(table, name, |tally| {
        work()?;
        tally.passed += 1;
        Ok(())
    });
}

/// A step that counts its own tests.
fn counted(table: &mut Vec<Done>, name: &str, work: impl FnOnce(&mut Tally) -> Result<()>) {
    println!("\n=== {name}");
    let started = shell::clock();
    let mut tally = Tally::default();
    if let Err(error) = work(&mut tally) {
        println!("{name}: {error:#}");
        tally.failed = tally.failed.max(1);
    }
    table.push(Done {
        name: name.to_owned(),
        seconds: started.elapsed().as_secs(),
        tally,
    });
}

/// Cargo as CI uses it: what is built once needs no incremental state.
fn cargo() -> Command {
    let mut cargo = shell::cargo();
    if shell::environment("CI").is_some() {
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Builds all tests and, with them, the program.
fn build() -> Result<Vec<TestProgram>> {
    let mut command = cargo();
    command.args([
        "test",
        "--workspace",
        "--no-run",
        "--quiet",
        "--message-format=json-render-diagnostics",
    ]);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    e2e::program()?;
    Ok(metadata::test_programs(&String::from_utf8_lossy(
        &output.stdout,
    )))
}

fn watch(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let watched = shell::watch(command, LIMIT, |line| {
        let (passed, failed) = results(line);
        tally.passed += passed;
        tally.failed += failed;
    })?;
    if !watched.success && tally.failed == 0 {
        bail!("the tests did not run to their end");
    }
    Ok(())
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; …`: an ignored test has failed to run.
pub(crate) fn results(line: &str) -> (u64, u64) {
    let Some(rest) = line.trim().strip_prefix("test result: ") else {
        return (0, 0);
    };
    let count = |label: &str| -> u64 {
        rest.split(['.', ';'])
            .find_map(|part| {
                part.trim()
                    .strip_suffix(label)
                    .and_then(|number| number.trim().parse().ok())
            })
            .unwrap_or(0)
    };
    (count("passed"), count("failed") + count("ignored"))
}

/// The very same programs of every crate that touches the store, on a PostgreSQL of our own.
fn on_postgres(programs: &[TestProgram], tally: &mut Tally) -> Result<()> {
    let members = metadata::dependents(&metadata::members()?, "store");
    let chosen: Vec<&TestProgram> = programs
        .iter()
        .filter(|program| members.contains(&program.member))
        .collect();
    if chosen.is_empty() {
        bail!("no tests were built");
    }
    let scratch = postgres::Scratch::start()?;
    println!("PostgreSQL: {}", scratch.url());
    for program in chosen {
        println!("{} {}", program.member, program.target);
        let mut command = shell::command(&program.file);
        command.current_dir(&program.folder).arg("--quiet");
        command
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .env("SEKISHO_TEST_POSTGRES_URL", scratch.url());
        let before = tally.failed;
        let watched = shell::watch(&mut command, LIMIT, |line| {
            let (passed, failed) = results(line);
            tally.passed += passed;
            tally.failed += failed;
        })?;
        if !watched.success && tally.failed == before {
            tally.failed += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_the_test_harness_are_counted() {
        assert_eq!(
            results("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out"),
            (12, 0)
        );
        assert_eq!(
            results("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured"),
            (3, 2)
        );
        assert_eq!(results("running 12 tests"), (0, 0));
    }

    #[test]
    fn an_ignored_test_counts_as_failed() {
        assert_eq!(
            results("test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured"),
            (1, 1)
        );
    }
}
