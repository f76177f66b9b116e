//! `sekisho init`: writes a small commented configuration and says which URLs matter.

use std::path::Path;

use net::durable::Audience;

use crate::cli::Init;
use crate::demo::words::{shell_word, started_as};
use crate::{files, talk};

/// The file that is written. `config check` accepts it as it is.
const STARTER: &str = include_str!("starter.yaml");

/// Runs `sekisho init`.
pub(crate) fn run(options: &Init) -> anyhow::Result<()> {
    if options.out == Path::new("-") {
        talk::data(STARTER);
        return Ok(());
    }
    files::write_new(&options.out, STARTER, Audience::Everybody)?;
    let file = shell_word(&options.out.to_string_lossy());
    let program = shell_word(&started_as());
    talk::data(
        "MCP endpoint    http://127.0.0.1:8480/mcp\nIssuer          http://127.0.0.1:8480/realms/main\nHealth, metrics http://127.0.0.1:9480/metrics\n",
    );
    talk::say(format_args!(
        "wrote {file}; next:\n  {program} user add alice --config {file}     (asks for a password)\n  {program} serve --config {file}\n  {program} verify http://127.0.0.1:8480/mcp --client-id first-try --redirect-uri http://127.0.0.1/callback     (in another terminal; opens a browser to log in)"
    ));
    Ok(())
}
