//! A PostgreSQL of our own for one run of the tests: a scratch cluster on a loopback port, stopped and removed at the end.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{install, shell};

/// Runs a command with the URL of a scratch cluster in its environment.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let Some((program, arguments)) = words.split_first() else {
        bail!("no command named; such as `cargo xtask postgres cargo test -p store`");
    };
    let scratch = Scratch::start()?;
    shell::succeed(
        shell::command(program)
            .args(arguments)
            .env("SEKISHO_TEST_POSTGRES_URL", scratch.url()),
    )
}

/// A running scratch cluster. It ends when this is dropped.
pub(crate) struct Scratch {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Scratch {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Result<Self> {
        let programs = install::postgres()?;
        let owner = owner()?;
        let folder = place(owner)?;
        let data = folder.join("data");
        let mut initdb = as_owner(&programs.join("initdb"), owner);
        initdb.current_dir(&folder).args([
            "--username",
            "sekisho",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
        ]);
        initdb
            .args(["--no-sync", "--locale", "C", "--pgdata"])
            .arg(&data);
        shell::quietly(&mut initdb)?;
        let port = shell::free_port()?;
        let log = fs::File::create(folder.join("log")).context("making the log of PostgreSQL")?;
        let mut server = as_owner(&programs.join("postgres"), owner);
        server
            .current_dir(&folder)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=400",
            "shared_buffers=64MB",
        ] {
            server.args(["-c", setting]);
        }
        server
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log);
        let server = server.spawn().context("starting PostgreSQL")?;
        let mut scratch = Self {
            server,
            folder,
            port,
        };
        scratch.wait_until_ready(&programs)?;
        Ok(scratch)
    }

    /// Where the tests reach it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://sekisho@127.0.0.1:{}/postgres", self.port)
    }

    fn wait_until_ready(&mut self, programs: &Path) -> Result<()> {
        let port = self.port.to_string();
        for _ in 0..300 {
            if let Some(status) = self.server.try_wait().context("waiting for PostgreSQL")? {
                let log = shell::read(&self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL ended with {status}\n{log}");
            }
            let mut ask = shell::command(programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            if ask
                .status()
                .context("asking whether PostgreSQL is ready")?
                .success()
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("PostgreSQL was not ready within 30 s")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown; SIGKILL would leave its helpers to find out by themselves.
        let pid = self.server.id().to_string();
        let asked = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .is_ok_and(|status| status.success());
        if !asked || !self.ended_within(Duration::from_secs(15)) {
            self.server.kill().ok();
            self.server.wait().ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Scratch {
    fn ended_within(&mut self, limit: Duration) -> bool {
        let started = shell::clock();
        while started.elapsed() < limit {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

/// PostgreSQL refuses to run as root: the user and group to run as instead.
fn owner() -> Result<Option<(u32, u32)>> {
    if shell::quietly(shell::command("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let user = shell::quietly(shell::command("id").args(["-u", "postgres"]))?;
    let group = shell::quietly(shell::command("id").args(["-g", "postgres"]))?;
    let number = |text: &str| {
        text.trim()
            .parse::<u32>()
            .context("reading the number of the user `postgres`")
    };
    Ok(Some((number(&user)?, number(&group)?)))
}

fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = shell::command(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

/// A folder that the owner may write to: below the target folder, or below the system's temporary
/// folder when the path to the work tree is closed to others.
fn place(owner: Option<(u32, u32)>) -> Result<PathBuf> {
    let name = format!("postgres-{}", std::process::id());
    let mut tried = Vec::new();
    for parent in [shell::target(), std::env::temp_dir()] {
        let folder = parent.join(&name);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))
                .with_context(|| format!("giving {} to PostgreSQL", folder.display()))?;
        }
        let mut probe = Command::new("test");
        probe.arg("-w").arg(&folder).stdin(Stdio::null());
        if let Some((user, group)) = owner {
            probe.uid(user).gid(group);
        }
        if probe.status().context("trying the folder")?.success() {
            return Ok(folder);
        }
        fs::remove_dir_all(&folder).ok();
        tried.push(folder.display().to_string());
    }
    bail!(
        "PostgreSQL's user may not write to any of {}",
        tried.join(", ")
    )
}
