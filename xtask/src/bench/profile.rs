//! Where the time of a program goes while it is under load, by stage: by `perf`, where that is installed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::process::Process;
use crate::shell;

/// Stages, by what the names of their functions contain; the first that fits counts.
const STAGES: &[(&str, &[&str])] = &[
    (
        "memory: allocate, free, copy",
        &["mi_", "mem", "alloc::raw_vec", "drop_in_place<bytes"],
    ),
    (
        "log and counters",
        &["telemetry", "access", "tracing", "prometheus", "remarks"],
    ),
    ("JSON: read, splice, write", &["mcp::", "simd", "core::str"]),
    (
        "the target's side: request, connection, answer",
        &["targets::", "net::egress"],
    ),
    (
        "who calls, what is called, may it",
        &["gateway::", "policy::", "aws_lc", "quick_cache", "sha"],
    ),
    (
        "HTTP of the client's side",
        &["hyper", "httparse", "http::", "net::edge", "net::body"],
    ),
    ("runtime", &["tokio", "mio", "futures", "parking_lot"]),
];
const KERNEL: &str = "kernel";
const OTHER: &str = "everything else";

/// A share of the samples for each stage, the largest first.
pub(super) type Profile = Vec<(&'static str, f64)>;

/// Profiles a program for some seconds. `None` where there is no `perf`.
pub(super) fn of(process: &Process, folder: &Path, length: Duration) -> Result<Option<Profile>> {
    let data = folder.join("perf.data");
    let recording = Command::new("perf")
        .args(["record", "-q", "-e", "cpu-clock", "-F", "2000", "-p"])
        .arg(process.id().to_string())
        .arg("-o")
        .arg(&data)
        .args(["--", "sleep", &length.as_secs().to_string()])
        .status();
    let recorded = recording.is_ok_and(|status| status.success());
    if !recorded {
        return Ok(None);
    }
    let script = shell::quietly(
        Command::new("perf")
            .args(["script", "-F", "ip,sym,dso", "-i"])
            .arg(&data),
    )
    .context("perf can't read what it recorded")?;
    Ok(Some(by_stage(&script)))
}

fn by_stage(script: &str) -> Profile {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut all = 0_u32;
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        *counts.entry(stage_of(line)).or_default() += 1;
        all += 1;
    }
    let mut shares: Profile = counts
        .into_iter()
        .map(|(stage, count)| (stage, f64::from(count) / f64::from(all.max(1))))
        .collect();
    shares.sort_by(|one, other| other.1.total_cmp(&one.1));
    shares
}

fn stage_of(line: &str) -> &'static str {
    if line.contains("[kernel") || line.contains("[vdso]") {
        return KERNEL;
    }
    let fits = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let stage = STAGES.iter().find(|(_, words)| fits(words));
    stage.map_or(OTHER, |(stage, _)| stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_by_stage() {
        let script = "  ffff tcp_sendmsg ([kernel.kallsyms])\n  1 mcp::raw::pick (/x/sekisho)\n  2 mcp::scan (/x/sekisho)\n\
                      \n  3 hyper::proto::h1::decode (/x/sekisho)\n  4 _mi_page_malloc (/x/sekisho)\n  5 main (/x/sekisho)\n";
        let profile = by_stage(script);
        assert_eq!(
            profile.first().map(|(stage, _)| *stage),
            Some("JSON: read, splice, write")
        );
        let share = |wanted: &str| {
            let found = profile.iter().find(|(stage, _)| *stage == wanted);
            found.map(|(_, share)| (share * 6.0).round())
        };
        assert_eq!(share(KERNEL), Some(1.0));
        assert_eq!(share("HTTP of the client's side"), Some(1.0));
        assert_eq!(share("memory: allocate, free, copy"), Some(1.0));
        assert_eq!(share(OTHER), Some(1.0));
    }
}
