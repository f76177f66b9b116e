//! Long proofs, outside CI: what they are, and how to run one.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::shell;

/// A proof: the program it runs repeats its own loops as often as `SEKISHO_PROVE` tells.
struct Proof {
    name: &'static str,
    promise: &'static str,
    /// Arguments of `cargo`.
    run: &'static [&'static str],
    /// Environment that makes it long.
    environment: &'static [(&'static str, &'static str)],
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "properties",
        promise: "parsers and state machines, 20,000 cases for each property",
        run: &["test", "--workspace", "--lib", "--tests"],
        environment: &[("PROPTEST_CASES", "20000")],
    },
    Proof {
        name: "kill",
        promise: "`kill -9` in the middle of an exchange or a refresh, 500 times",
        run: &["test", "-p", "server", "--test", "kill"],
        environment: &[("SEKISHO_PROVE_ROUNDS", "500")],
    },
];

/// Runs the named proofs; lists them when none is named.
pub(crate) fn run(names: &[String]) -> Result<()> {
    if names.is_empty() {
        for proof in PROOFS {
            println!(
                "{:<12} {}\n             cargo {}",
                proof.name,
                proof.promise,
                proof.run.join(" ")
            );
        }
        return Ok(());
    }
    for name in names {
        let Some(proof) = PROOFS.iter().find(|proof| proof.name == name) else {
            bail!("no proof is called `{name}`; hint: `cargo xtask prove` lists them");
        };
        let started = shell::clock();
        let mut command = shell::cargo();
        command
            .args(proof.run)
            .envs(proof.environment.iter().copied());
        let watched = shell::watch(&mut command, Duration::from_hours(24), |_| {})?;
        println!("{name}: {} s", started.elapsed().as_secs());
        if !watched.success {
            bail!("`{name}` is not proved");
        }
    }
    Ok(())
}
