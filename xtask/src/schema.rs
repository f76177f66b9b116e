//! Writes `docs/config.schema.json`: what a configuration file may contain, as the program itself tells it.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{e2e, shell};

const FILE: &str = "docs/config.schema.json";

/// Writes the schema, or fails if the file differs from what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    let printed = shell::quietly(shell::command(e2e::program()?).args(["config", "schema"]))?;
    let schema: Value =
        serde_json::from_str(&printed).context("`sekisho config schema` did not print JSON")?;
    let text = format!(
        "{}\n",
        serde_json::to_string_pretty(&schema).context("writing JSON")?
    );
    let file = shell::root().join(FILE);
    if check {
        if shell::read(&file).unwrap_or_default() != text {
            bail!("{FILE} is not what the program prints; hint: `cargo xtask schema`");
        }
        println!("schema: {FILE} is current");
        return Ok(());
    }
    shell::write(&file, &text)?;
    println!("schema: wrote {FILE}");
    Ok(())
}
