//! Programs under measurement: started, watched through /proc, and ended by their process id.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{clock, read};

use crate::shell;

/// Ticks per second of the kernel's process accounting on Linux.
const TICKS: f64 = 100.0;

/// What a program has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// CPU seconds in the program itself.
    pub(crate) user: f64,
    /// CPU seconds in the kernel on its behalf.
    pub(crate) system: f64,
}

/// A running program; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// CPU seconds that this program has used so far.
pub(super) fn own_cpu_seconds() -> Result<f64> {
    let Used { user, system } = used_by("self")?;
    Ok(user + system)
}

fn used_by(pid: &str) -> Result<Used> {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")))?;
    let after = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let seconds = |index: usize| -> Result<f64> {
        Ok(fields.get(index).context("short stat")?.parse::<f64>()? / TICKS)
    };
    Ok(Used {
        user: seconds(11)?,
        system: seconds(12)?,
    })
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Self::start_with_log(command, Stdio::null())
    }

    /// Like [`Self::start`], with somewhere for its log. Of a pipe, nothing is ever read.
    pub(crate) fn start_with_log(command: &mut Command, log: Stdio) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()?;
        ensure!(status.success(), "SIG{name} could not be sent to {pid}");
        Ok(())
    }

    /// Waits until it has ended.
    pub(crate) fn await_end(&mut self) -> Result<ExitStatus> {
        let started = clock();
        while started.elapsed() < Duration::from_mins(1) {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("it does not end")
    }

    /// CPU seconds used so far by the program and its children.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let Used { user, system, .. } = self.used()?;
        Ok(user + system)
    }

    /// What the program and its children have used so far.
    pub(crate) fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        for pid in self.family()? {
            let one = used_by(&pid.to_string())?;
            used.user += one.user;
            used.system += one.system;
        }
        Ok(used)
    }

    /// Resident memory in MiB, of the program and its children.
    pub(crate) fn rss_mib(&self) -> Result<f64> {
        self.memory_mib("VmRSS:")
    }

    /// The most that resident memory has ever been, in MiB, of the program and its children.
    pub(crate) fn peak_rss_mib(&self) -> Result<f64> {
        self.memory_mib("VmHWM:")
    }

    fn memory_mib(&self, which: &str) -> Result<f64> {
        let mut sum = 0.0;
        for pid in self.family()? {
            let status = read(Path::new(&format!("/proc/{pid}/status")))?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(which))
                .with_context(|| format!("no {which}"))?;
            let kib = line.trim().trim_end_matches(" kB").trim();
            sum += kib.parse::<f64>()? / 1024.0;
        }
        Ok(sum)
    }

    /// It and its children.
    pub(crate) fn family(&self) -> Result<Vec<u32>> {
        let pid = self.child.id();
        let children = read(Path::new(&format!("/proc/{pid}/task/{pid}/children")))?;
        let mut all = vec![pid];
        for child in children.split_whitespace() {
            all.push(child.parse()?);
        }
        Ok(all)
    }

    /// Waits until the program says by a file that it is ready: users of the configuration can log in from then on.
    pub(crate) fn await_file(&mut self, file: &Path) -> Result<()> {
        let started = clock();
        while started.elapsed() < Duration::from_secs(20) {
            if file.exists() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it was ready");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{} does not appear", file.display())
    }

    /// Waits until a port answers; says how long that took.
    pub(crate) fn await_port(&mut self, address: SocketAddr) -> Result<Duration> {
        let started = clock();
        while started.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(address).is_ok() {
                return Ok(started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it listened");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("nothing listens on {address}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // SIGTERM first, so that a master takes its workers along.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let started = clock();
        while started.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under measurement.
pub(super) fn sekisho() -> Command {
    shell::command(binary())
}

/// Where it is.
pub(super) fn binary() -> PathBuf {
    shell::target().join("dist/sekisho")
}
