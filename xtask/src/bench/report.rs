//! docs/BENCHMARKS.md.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::path::{Row, Way};
use super::{authorization, path};
use crate::shell;

pub(super) fn render(data: &path::Figures, auth: &authorization::Figures) -> Result<String> {
    let mut out = String::from(
        "# Benchmarks\n\nMade by `cargo xtask bench`, which writes this file: the `dist` build, all processes on one machine, \
         the load from threads with one kept connection each. Machines are noisy and this one is small, so read the figures as ratios \
         within this run. Each row is the median by CPU cost of many short rounds.\n\n",
    );
    let cpuinfo = shell::read("/proc/cpuinfo".as_ref())?;
    let processor = |what: &str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == what)
            .map_or("unknown", |(_, value)| value.trim())
    };
    writeln!(
        out,
        "Machine: {} cores, {} (family {}, model {}).\n",
        std::thread::available_parallelism()?,
        processor("model name"),
        processor("cpu family"),
        processor("model"),
    )?;

    out.push_str(
        "## `tools/call` through the gateway\n\nThe upstream is the built-in demo MCP server in a process of its own. nginx (one worker, kept \
         connections to the upstream, no log) is the least work that a proxy can do; with its access log on (`buffer=64k`) it does what we do, \
         too. The gateway, with one worker thread and its log of requests on, checks an ES256 token, its revocation, \
         issuer, audience and scope, reads the JSON-RPC envelope, finds the tool and rewrites the call.\n\n",
    );
    table(&mut out, &data.rows)?;
    writeln!(
        out,
        "\nAt a fixed pace of {} requests per second over 32 connections, which leaves a core idle:\n",
        data.pace
    )?;
    table(&mut out, &data.paced)?;

    if data.rows.iter().any(|row| row.way == Way::Before) {
        let ratio = ratio(&data.rounds, Way::Gateway, Way::Before)?;
        writeln!(
            out,
            "\n“sekisho, before” is an earlier build of the gateway, measured in the same run. At 32 connections a request now \
             costs {ratio:.2} of what it cost then."
        )?;
    }
    if !data.counts.is_empty() {
        out.push_str(
            "\nEach request at 32 connections, counted by `perf` in a run of its own:\n\n\
             | way | system calls | allocations |\n|---|--:|--:|\n",
        );
        for (way, counts) in &data.counts {
            let allocations = counts
                .allocations
                .map_or_else(|| "not counted".to_owned(), |count| format!("{count:.1}"));
            writeln!(
                out,
                "| {} | {:.2} | {allocations} |",
                way.name(),
                counts.system_calls
            )?;
        }
    }

    let at = |rows: &[Row], way| {
        rows.iter()
            .find(|row| row.way == way && row.connections == 32)
            .copied()
            .context("a row is missing")
    };
    let ratio = ratio(&data.rounds, Way::Gateway, Way::NginxLogging)?;
    let user = at(&data.rows, Way::Gateway)?.user;
    let (gateway, bare) = (at(&data.paced, Way::Gateway)?, at(&data.paced, Way::Bare)?);
    let added = gateway.sample.p99.as_secs_f64() - bare.sample.p99.as_secs_f64();
    out.push_str("\n## Targets\n\n| target | measured | |\n|---|--:|---|\n");
    let mut line = |what: &str, measured: String, met: bool| {
        writeln!(
            out,
            "| {what} | {measured} | {} |",
            if met { "met" } else { "**not met**" }
        )
    };
    line(
        "CPU per request at most 1.3 × nginx with its log on, at 32 connections",
        format!("{ratio:.2} ×"),
        ratio <= 1.3,
    )?;
    line(
        "of that in the program itself at most 12 µs",
        format!("{user:.1} µs"),
        user <= 12.0,
    )?;
    line(
        "p99 added at 32 connections with a core to spare at most 0.5 ms",
        format!("{:.2} ms", added * 1e3),
        added <= 0.0005,
    )?;
    line(
        "idle RSS of a gateway at most 30 MB",
        format!("{:.1} MiB", data.idle_rss_mib),
        data.idle_rss_mib <= 28.6,
    )?;
    let first = data.first_answer.as_millis();
    line(
        "`demo` answers its first request within 200 ms of exec",
        format!("{first} ms"),
        first <= 200,
    )?;

    if let Some(profile) = &data.profile {
        out.push_str(
            "\nWhere the gateway's time goes at 32 connections, by samples of `perf`; what was inlined counts where it went:\n\n\
             | stage | share |\n|---|--:|\n",
        );
        for (stage, share) in profile {
            writeln!(out, "| {stage} | {:.0} % |", share * 100.0)?;
        }
    }

    writeln!(
        out,
        "\n## Authorization server\n\nSQLite on disk, `synchronous = FULL`, {} connections, ES256, one pre-registered public client. \
         Per core is what the CPU cost of one operation allows.\n\n\
         | operation | per second | CPU µs each | per second and core |\n|---|--:|--:|--:|",
        auth.connections
    )?;
    for (name, rate) in [
        ("code for tokens", auth.exchanges),
        ("refresh", auth.refreshes),
    ] {
        writeln!(
            out,
            "| {name} | {:.0} | {:.0} | {:.0} |",
            rate.per_second,
            rate.cpu_micros,
            rate.per_core()
        )?;
    }
    let authorization::Logins { login, hash, ratio } = auth.logins;
    writeln!(
        out,
        "\nA login with a password, all its requests together, costs {login:.1} ms of CPU; the hash alone (Argon2id as configured by default) \
         {hash:.1} ms in the same round: {ratio:.2} ×, where at most 1.05 × is the target."
    )?;
    writeln!(out, "\nRSS after this load: {:.1} MiB.", auth.rss_mib)?;
    Ok(out)
}

/// CPU of one way as a multiple of another's at 32 connections: the median of the rounds, in each of which the machine was
/// in one state.
fn ratio(rounds: &[(usize, Row)], of: Way, to: Way) -> Result<f64> {
    let at = |round: usize, way| {
        rounds
            .iter()
            .find(|(at, row)| *at == round && row.way == way && row.connections == 32)
            .map(|(_, row)| row.cpu)
    };
    let last = rounds.iter().map(|(round, _)| *round).max().unwrap_or(0);
    let mut ratios: Vec<f64> = (0..=last)
        .filter_map(|round| Some(at(round, of)? / at(round, to)?))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.get(ratios.len() / 2);
    middle.copied().context("no round has both")
}

fn table(out: &mut String, rows: &[Row]) -> Result<()> {
    out.push_str("| way | connections | requests/s | p50 µs | p99 µs | CPU µs per request | in the program | RSS MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for row in rows {
        writeln!(
            out,
            "| {} | {} | {:.0} | {} | {} | {:.1} | {:.1} | {:.1} |",
            row.way.name(),
            row.connections,
            row.sample.rate(),
            row.sample.p50.as_micros(),
            row.sample.p99.as_micros(),
            row.cpu,
            row.user,
            row.rss_mib
        )?;
    }
    Ok(())
}
