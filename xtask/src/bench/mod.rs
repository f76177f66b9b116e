//! Measures what docs/BENCHMARKS.md tells; every comparison is a ratio taken in one run on one machine.

mod authorization;
mod counts;
pub(crate) mod form;
pub(crate) mod http;
pub(crate) mod issuer;
mod load;
pub(crate) mod login;
pub(crate) mod path;
pub(crate) mod process;
mod profile;
mod report;
pub(crate) mod section;

use std::path::Path;

use anyhow::Result;

use crate::shell;

/// Where the figures are.
pub(crate) const FILE: &str = "docs/BENCHMARKS.md";

/// Runs the measurements with the `dist` build and writes docs/BENCHMARKS.md.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let asked = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = asked("--quick");
    shell::succeed(shell::cargo().args(["build", "--profile", "dist", "--package", "server"]))?;
    let folder = shell::target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let before = arguments.iter().skip_while(|one| *one != "--before").nth(1);
    let path = path::measure(&folder, quick, asked("--hold"), before.map(Path::new))?;
    let authorization = authorization::measure(&folder, quick)?;
    let text = report::render(&path, &authorization)?;
    if quick {
        println!("{text}");
        return Ok(());
    }
    let file = shell::root().join(FILE);
    // Another chore measures what clients leave open.
    let kept = section::of(&shell::read(&file)?, section::LEFT_OPEN);
    shell::write(&file, &section::put(&text, section::LEFT_OPEN, &kept))
}
