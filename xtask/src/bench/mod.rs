//! Measures what docs/BENCHMARKS.md tells; every figure is a ratio taken in one run on one machine.

use anyhow::{Result, bail};

/// Runs the measurements.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    bail!("nothing is measured yet")
}
