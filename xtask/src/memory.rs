//! What the release build holds in memory under thousands of logins, and whether it gives it back (SEC-53, SEC-79, SEC-91);
//! and for what clients leave open.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::bench::http::Connection;
use crate::bench::login::Login;
use crate::bench::process::Process;
use crate::shell;

/// How many logins there are.
const LOGINS: u32 = 5_000;

/// How many of them come from one address; fewer failures than delay anything.
const LOGINS_PER_ADDRESS: u32 = 50;

/// Of those, how many give the right password. One gives a wrong one, the others name users that there are not.
const RIGHT_PER_ADDRESS: u32 = 15;

/// The most that the demonstration holds at rest, in MiB.
const AT_REST: f64 = 26.0;

/// What it may hold beside the checks of passwords, and after them, in MiB.
const BESIDE_CHECKS: f64 = 30.0;

/// What each check at a time may hold, in MiB.
const PER_CHECK: f64 = 20.0;

/// How long it may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds the release build and measures it; writes what clients leave open into the benchmarks if asked to.
pub(crate) fn run(writes: bool) -> Result<()> {
    shell::succeed(shell::cargo().args(["build", "--release", "--package", "server"]))?;
    let program = shell::target().join("release/sekisho");
    crate::open::measure(&program, writes)?;
    measure(&program)
}

fn measure(program: &Path) -> Result<()> {
    let ready = shell::target().join("memory/ready.json");
    shell::write(&ready, "")?;
    std::fs::remove_file(&ready)?;
    let any = "127.0.0.1:0";
    let mut demo = Process::start(
        shell::command(program)
            .args(["demo", "--listen", any, "--mcp-listen", any])
            .arg("--ready-file")
            .arg(&ready),
    )?;
    demo.await_file(&ready)?;
    let places: serde_json::Value = serde_json::from_str(&shell::read(&ready)?)?;
    let login = Login::at(&places)?;
    println!("at rest: {:.0} MiB", come_to_rest(&demo, AT_REST)?);

    let checks = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let next = AtomicU32::new(0);
    let started = shell::clock();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2 * checks)
            .map(|_| scope.spawn(|| many(&login, &next)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| bail!("a thread ended badly"))
        })
    })?;
    let seconds = started.elapsed().as_secs();
    let peak = demo.peak_rss_mib()?;
    println!("{LOGINS} logins in {seconds} s, {checks} at a time: at most {peak:.0} MiB");
    let most = (0..checks).fold(BESIDE_CHECKS, |sum, _| sum + PER_CHECK);
    ensure!(
        peak <= most,
        "{peak:.0} MiB are more than {most:.0} MiB for {checks} checks at a time"
    );
    println!("afterwards: {:.0} MiB", come_to_rest(&demo, BESIDE_CHECKS)?);
    Ok(())
}

/// Waits until the program holds no more than this.
fn come_to_rest(program: &Process, most: f64) -> Result<f64> {
    let started = shell::clock();
    loop {
        let held = program.rss_mib()?;
        if held <= most {
            return Ok(held);
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "{held:.0} MiB at rest are more than {most:.0} MiB"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Goes from address to address, as long as there are logins left.
fn many(login: &Login, next: &AtomicU32) -> Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= LOGINS / LOGINS_PER_ADDRESS {
            return Ok(());
        }
        let [.., high, low] = number.to_be_bytes();
        from(login, Ipv4Addr::new(127, 77, high, low), number)?;
    }
}

/// All logins from one address: first the right ones, as a wrong one may cost the account a minute there.
fn from(login: &Login, source: Ipv4Addr, number: u32) -> Result<()> {
    let mut connection = Connection::open_from(source, login.address)?;
    let form = login.begin(&mut connection)?;
    let mut try_one = |username: &str, password: &str, expected: u16| {
        let answer = form.send(&mut connection, username, password)?;
        ensure!(
            answer.status == expected,
            "a login of `{username}` was answered {} instead of {expected}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(())
    };
    for _ in 0..RIGHT_PER_ADDRESS {
        try_one(&login.username, &login.password, 303)?;
    }
    for unknown in RIGHT_PER_ADDRESS + 1..LOGINS_PER_ADDRESS {
        try_one(&format!("unknown-{number}-{unknown}"), "guess", 403)?;
    }
    try_one(&login.username, "guess", 403)
}
