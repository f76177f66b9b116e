//! `sekisho user`: adds users and sets their passwords.

use crate::cli::User;

/// Runs `sekisho user …`.
pub(crate) fn run(_: User) -> anyhow::Result<()> {
    Ok(())
}
