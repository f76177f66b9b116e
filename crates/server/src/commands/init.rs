//! `sekisho init`: writes a small commented configuration and says which URLs matter.

use net::durable::Audience;

use crate::cli::Init;
use crate::{files, talk};

/// The file that is written. `config check` accepts it as it is.
const STARTER: &str = include_str!("starter.yaml");

/// Runs `sekisho init`.
pub(crate) fn run(options: &Init) -> anyhow::Result<()> {
    files::write_new(&options.out, STARTER, Audience::Everybody)?;
    let file = options.out.display();
    talk::data(
        "MCP endpoint    http://127.0.0.1:8480/mcp\nIssuer          http://127.0.0.1:8480/realms/main\nHealth, metrics http://127.0.0.1:9480/metrics\n",
    );
    talk::say(format_args!(
        "wrote {file}; next:\n  sekisho user add alice --config {file}     (asks for the password on standard input)\n  sekisho serve --config {file}"
    ));
    Ok(())
}
