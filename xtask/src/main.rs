//! The repository's own chores, run as `cargo xtask <chore>`: checks, tests, generated files, measurements.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks on the terminal"
)]

mod bench;
mod circles;
mod citations;
mod e2e;
mod install;
mod layers;
mod memory;
mod metadata;
mod open;
mod postgres;
mod prove;
mod schema;
mod shapes;
mod shell;
mod sources;
mod spec;
mod test;
mod tidy;
mod unused;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask <chore>

  test              everything that CI checks; installs what it needs
  layers            who may depend on whom, and on nothing that it has no use for
  tidy              the habits of files that no compiler checks
  spec [--check]    write docs/SPEC.md: which requirement is covered by which test
  schema [--check]  write docs/config.schema.json
  e2e [name]…       end-to-end tests with clients and servers that nobody here wrote
  install [what]…   only install what the tests need (node, python, chromium, postgres, keycloak)
  postgres CMD…     run a command with SEKISHO_TEST_POSTGRES_URL of a scratch PostgreSQL
  memory            what the release build holds in memory under logins, and afterwards
  bench             figures of docs/BENCHMARKS.md (--quick: print rough ones, --hold: start
                    the programs for a profiler, --before FILE: beside those of another build)
  prove [name]…     long proofs, outside CI; without a name: list them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((chore, rest)) = arguments.split_first() else {
        bail!("no chore named\n\n{USAGE}");
    };
    // What a chore is for is asked before it is begun: some take long, and change files.
    if rest
        .iter()
        .any(|argument| matches!(argument.as_str(), "--help" | "-h"))
        && chore != "postgres"
    {
        println!("{USAGE}");
        return Ok(());
    }
    match chore.as_str() {
        "test" => test::run(),
        "layers" => layers::run(),
        "tidy" => tidy::run(),
        "spec" => spec::run(is_check(rest)?),
        "schema" => schema::run(is_check(rest)?),
        "e2e" => e2e::run(rest),
        "install" => install::run(rest),
        "postgres" => postgres::run(rest),
        "memory" => memory::run(true),
        "bench" => bench::run(rest),
        "prove" => prove::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("no chore is called `{other}`\n\n{USAGE}"),
    }
}

/// Whether the only argument is `--check`: compare, do not write.
fn is_check(arguments: &[String]) -> Result<bool> {
    match arguments {
        [] => Ok(false),
        [only] if only == "--check" => Ok(true),
        _ => bail!("only `--check` may follow\n\n{USAGE}"),
    }
}
