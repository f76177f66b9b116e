//! Long proofs, outside CI: what they are, how to run one, and `docs/PROOFS.md` with what came out.

mod faults;

use std::{fmt::Write as _, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::{
    e2e::{self, Tally},
    postgres::Scratch,
    shell,
    test::results,
};

const FILE: &str = "docs/PROOFS.md";

/// Something that CI does briefly and a proof does long.
struct Proof {
    name: &'static str,
    promise: &'static str,
    work: Work,
}

enum Work {
    /// The properties of all crates, with so many cases for each.
    Properties { cases: u32 },
    /// Processes killed in the middle of their work, on both databases; each round has 25 deaths on each.
    Deaths { rounds: u32 },
    /// The official clients against the demonstration, again and again.
    Clients { rounds: u32 },
    /// A reload where much is going on, again and again.
    Reloads { rounds: u32 },
    /// What others ran into in production, done to the release build on purpose.
    Faults,
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "properties",
        promise: "parsers and state machines hold for 20,000 cases of each property",
        work: Work::Properties { cases: 20_000 },
    },
    Proof {
        name: "deaths",
        promise: "500 times `kill -9` in the middle of exchanges and refreshes, on SQLite and on PostgreSQL, loses nothing \
                  acknowledged and doubles nothing",
        work: Work::Deaths { rounds: 20 },
    },
    Proof {
        name: "clients",
        promise: "20 runs of the official clients in both eras, none of which fails once",
        work: Work::Clients { rounds: 20 },
    },
    Proof {
        name: "reload",
        promise: "20 times, with 200 targets, 10,000 open streams and 1,000 calls per second, two reloads that change one target: no \
                  stream ends, no call fails, nothing else is asked for anew, and who has another list is told",
        work: Work::Reloads { rounds: 20 },
    },
    Proof {
        name: "faults",
        promise: "a stalled log, a silent name server, an issuer that is away, too few files, a full disk and SIGTERM with open \
                  streams stop nothing else, and pass",
        work: Work::Faults,
    },
];

/// Runs the named proofs; lists them when none is named.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if names.is_empty() {
        for proof in PROOFS {
            println!("{:<12} {}", proof.name, proof.promise);
        }
        return Ok(());
    }
    for name in names {
        let Some(proof) = PROOFS.iter().find(|proof| proof.name == name) else {
            bail!("no proof is called `{name}`; hint: `cargo xtask prove` lists them");
        };
        let started = shell::clock();
        let tally = proof.work.run()?;
        let seconds = started.elapsed().as_secs();
        println!(
            "{name}: {} passed, {} failed, {seconds} s",
            tally.passed, tally.failed
        );
        note(proof, tally, seconds)?;
        if tally.failed > 0 || tally.passed == 0 {
            bail!("`{name}` is not proved");
        }
    }
    Ok(())
}

impl Work {
    fn run(&self) -> Result<Tally> {
        let mut tally = Tally::default();
        match self {
            Self::Properties { cases } => {
                let mut command = shell::cargo();
                command.args(["test", "--workspace", "--no-fail-fast", "--quiet"]);
                count(command.env("PROPTEST_CASES", cases.to_string()), &mut tally)?;
            }
            Self::Deaths { rounds } => {
                let scratch = Scratch::start()?;
                for _ in 0..*rounds {
                    let mut command = shell::cargo();
                    command.args(["test", "-p", "store", "--test", "kill", "--quiet"]);
                    count(
                        command.env("SEKISHO_TEST_POSTGRES_URL", scratch.url()),
                        &mut tally,
                    )?;
                }
            }
            Self::Clients { rounds } => {
                for _ in 0..*rounds {
                    let round = e2e::run_one("clients");
                    tally.passed += round.passed;
                    tally.failed += round.failed;
                }
            }
            Self::Reloads { rounds } => {
                for _ in 0..*rounds {
                    let mut command = shell::cargo();
                    command.args(["test", "-p", "gateway", "--test", "endpoint", "--quiet"]);
                    count(command.arg("reload_at_size"), &mut tally)?;
                }
            }
            Self::Faults => tally = faults::run()?,
        }
        Ok(tally)
    }
}

fn count(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let before = tally.failed;
    let watched = shell::watch(command, Duration::from_hours(24), |line| {
        let (passed, failed) = results(line);
        tally.passed += passed;
        tally.failed += failed;
    })?;
    if !watched.success && tally.failed == before {
        tally.failed += 1;
    }
    Ok(())
}

/// Replaces the proof's row in the document.
fn note(proof: &Proof, tally: Tally, seconds: u64) -> Result<()> {
    let commit = shell::quietly(shell::command("git").args(["rev-parse", "--short", "HEAD"]))?;
    let Proof { name, promise, .. } = proof;
    let Tally { passed, failed } = tally;
    let row = format!(
        "| `{name}` | {promise} | {passed} | {failed} | {seconds} | {} |",
        commit.trim()
    );
    let file = shell::root().join(FILE);
    let known = shell::read(&file).unwrap_or_default();
    shell::write(&file, &with_row(&known, name, &row))
}

fn with_row(known: &str, name: &str, row: &str) -> String {
    let mut text = String::from(
        "# Long proofs\n\nWhat `cargo xtask prove NAME` found when it last ran; each takes too long for every change.\n\n\
         | Proof | Promise | Passed | Failed | Seconds | Commit |\n|---|---|--:|--:|--:|---|\n",
    );
    let mark = format!("| `{name}` |");
    let mut rows: Vec<&str> = known
        .lines()
        .filter(|line| line.starts_with("| `") && !line.starts_with(&mark))
        .collect();
    rows.push(row);
    rows.sort_unstable();
    for row in rows {
        let _ = writeln!(text, "{row}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_replaces_the_one_of_its_own_proof() {
        let first = with_row("", "b", "| `b` | old |");
        let second = with_row(&first, "a", "| `a` | other |");
        let third = with_row(&second, "b", "| `b` | new |");
        assert!(
            third.ends_with("| `a` | other |\n| `b` | new |\n"),
            "{third}"
        );
        assert!(!third.contains("old"));
    }
}
