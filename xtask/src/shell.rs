//! Running other programs and reading files, with errors that name what was tried.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// The root of the work tree.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    environment("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A variable of the environment, if set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "a developer's tool has no configuration of its own"
)]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The text of a file.
#[expect(
    clippy::disallowed_methods,
    reason = "blocking is fine here, and the path is added"
)]
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A command that starts in the root of the work tree.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    command(environment("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end with the terminal's own output; an error unless it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .status()
        .with_context(|| format!("starting `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs to the end silently; what it printed is part of the error when it fails.
pub(crate) fn quietly(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .output()
        .with_context(|| format!("starting `{shown}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` ended with {}\n{stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

/// What a command that was watched line by line has come to.
pub(crate) struct Watched {
    /// Whether it ended with code 0 in time.
    pub(crate) success: bool,
    /// Whether it had to be ended because the limit ran out.
    pub(crate) timed_out: bool,
}

/// Runs to the end, prints each line of both streams and hands it to `see`; ends it by pid after `limit`.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut see: impl FnMut(&str),
) -> Result<Watched> {
    let shown = show(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{shown}`"))?;
    let (sender, lines) = mpsc::channel::<String>();
    let streams: [Option<Box<dyn std::io::Read + Send>>; 2] = [
        child.stdout.take().map(|it| Box::new(it) as _),
        child.stderr.take().map(|it| Box::new(it) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    drop(sender);
    let started = clock();
    // A grandchild may hold the pipes open after the child is gone, so its end is looked for too.
    let mut ended = None;
    let mut asked_to_end = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                println!("{line}");
                see(&line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if child.try_wait().context("waiting")?.is_some() {
            if ended.get_or_insert_with(clock).elapsed() > Duration::from_secs(2) {
                break;
            }
        } else if started.elapsed() > limit {
            if asked_to_end.is_none() {
                println!(
                    "`{shown}` ran longer than {} s and is ended",
                    limit.as_secs()
                );
                Command::new("kill")
                    .arg(child.id().to_string())
                    .status()
                    .ok();
            }
            if asked_to_end.get_or_insert_with(clock).elapsed() > Duration::from_secs(10) {
                child.kill().ok();
            }
        }
    }
    let timed_out = asked_to_end.is_some();
    let status = child
        .wait()
        .with_context(|| format!("waiting for `{shown}`"))?;
    Ok(Watched {
        success: status.success() && !timed_out,
        timed_out,
    })
}

/// The clock of a developer's tool.
#[expect(
    clippy::disallowed_methods,
    reason = "measures how long a step took; nothing depends on it"
)]
pub(crate) fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A TCP port on the loopback address that nothing uses at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("asking for a free port")?;
    Ok(listener
        .local_addr()
        .context("asking for a free port")?
        .port())
}

fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    let mut line = words.join(" ");
    if line.len() > 200 {
        let end = line
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= 200)
            .last()
            .unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}
