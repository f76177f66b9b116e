//! `sekisho migrate`: brings the database to the version of this program.

use crate::cli::Source;

/// Runs `sekisho migrate`.
pub(crate) fn run(_: &Source) -> anyhow::Result<()> {
    Ok(())
}
