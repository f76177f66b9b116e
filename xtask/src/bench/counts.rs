//! What a request costs in system calls and allocations: counted by the kernel for `perf`, in a run of its own, as counting
//! takes time.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use super::process::Process;
use crate::shell;

const SYSTEM_CALLS: &str = "raw_syscalls:sys_enter";
/// The functions of the allocator that give memory.
const ALLOCATING: [&str; 3] = [
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
];

/// Each request's share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) system_calls: f64,
    /// None of what is not ours.
    pub(super) allocations: Option<f64>,
}

/// Counts while `load` runs, which says how many requests it sent. `None` where there is no `perf`, or it may not count.
pub(super) fn during(
    process: &Process,
    ours: Option<&Path>,
    folder: &Path,
    length: Duration,
    load: impl FnOnce() -> Result<u64>,
) -> Result<Option<Counts>> {
    let probes = ours.map(Probes::set).unwrap_or_default();
    let file = folder.join("perf.counts");
    let mut events = vec![SYSTEM_CALLS.to_owned()];
    events.extend(probes.names.iter().cloned());
    let pids: Vec<String> = process.family()?.iter().map(ToString::to_string).collect();
    let counting = Command::new("perf")
        .args([
            "stat",
            "-x",
            ";",
            "-e",
            &events.join(","),
            "-p",
            &pids.join(","),
        ])
        .arg("-o")
        .arg(&file)
        .args(["--", "sleep", &(length.as_secs() + 1).to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut counting) = counting else {
        return Ok(None);
    };
    std::thread::sleep(Duration::from_millis(300));
    let requests = load()?;
    let counted = counting.wait()?.success();
    drop(probes);
    if !counted {
        return Ok(None);
    }
    let text = shell::read(&file)?;
    let each = |event: &str| Some(count_of(&text, event)? / requests as f64);
    let Some(system_calls) = each(SYSTEM_CALLS) else {
        return Ok(None);
    };
    let allocations = ALLOCATING.iter().map(|name| each(&probe(name)));
    Ok(Some(Counts {
        system_calls,
        allocations: ours.and_then(|_| allocations.sum()),
    }))
}

/// The figure of an event: the first field of its line. What was not counted has none.
fn count_of(text: &str, event: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(event))?;
    line.split(';').next()?.trim().parse().ok()
}

fn probe(function: &str) -> String {
    format!("probe_sekisho:{function}")
}

/// Places in the program where `perf` counts; they are taken away again when this is dropped.
#[derive(Default)]
struct Probes {
    names: Vec<String>,
}

impl Probes {
    fn set(program: &Path) -> Self {
        let mut probes = Self::default();
        for function in ALLOCATING {
            let mut setting = perf();
            setting.args(["probe", "-q", "-f", "-x"]).arg(program);
            // What can't be set is not counted.
            if setting
                .arg(function)
                .status()
                .is_ok_and(|status| status.success())
            {
                probes.names.push(probe(function));
            }
        }
        probes
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = perf().args(["probe", "-q", "-d", name]).status();
        }
    }
}

fn perf() -> Command {
    let mut command = Command::new("perf");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_where_there_is_one() {
        let text = "# started on …\n\n144;;raw_syscalls:sys_enter;1000;100.00;;\n<not counted>;;probe_sekisho:mi_malloc_aligned;0;0;;\n";
        assert_eq!(count_of(text, SYSTEM_CALLS), Some(144.0));
        assert_eq!(count_of(text, &probe("mi_malloc_aligned")), None);
    }
}
