//! Runs the real program for a test: arguments in, output, log and ready file out; killed when the test ends.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use net::egress::client::Client;
use net::egress::connect::{Connector, ExtraRoots};
use net::egress::resolve::{HostMap, SystemResolver};
use net::egress::rules::Rules;
use parking_lot::Mutex;
use serde_json::Value;
use testkit::browser::Browser;
use tokio::time::Instant;

pub(crate) mod person;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty directory.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "sekisho-test-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with these arguments, in this directory, with nothing of the tester's environment that it would read.
pub(crate) fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .env_remove("SEKISHO_CONFIG");
    command
        .env("XDG_DATA_HOME", folder.path().join("home"))
        .env("HOME", folder.path());
    command
}

/// A port that nobody has, and that nobody else gets: below those that the system gives to whoever asks for any, and
/// never one twice in this process.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const MANY: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other processes that run these tests begin elsewhere.
    let begin = std::process::id().wrapping_mul(577);
    loop {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % MANY;
        let port = u16::try_from(FIRST + place).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a command that ends by itself gave.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self
            .status
            .code()
            .map_or_else(|| "killed".to_owned(), |code| code.to_string());
        write!(
            f,
            "exit code: {code}\n--- stdout\n{}--- stderr\n{}",
            self.stdout, self.stderr
        )
    }
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run(folder: &Folder, arguments: &[&str], input: &str) -> Ended {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Some end without reading what they would have been told.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The configuration with a database of its own in PostgreSQL, where the tests are to run on that.
pub(crate) async fn on_the_database_under_test(configuration: &str) -> String {
    let in_memory = r#"store: { url: "sqlite::memory:" }"#;
    assert!(configuration.contains(in_memory), "{configuration}");
    match store::testing::fresh_postgres_url().await {
        None => configuration.to_owned(),
        Some(url) => {
            let key = "0123456789abcdef".repeat(4);
            let kept = format!(r#"store: {{ url: "{url}", key: {{ danger_literal: "{key}" }} }}"#);
            configuration.replace(in_memory, &kept)
        }
    }
}

/// The program while it runs.
pub(crate) struct Program {
    child: Child,
    pub(crate) folder: Folder,
    /// What the ready file says.
    pub(crate) ready: Value,
    stdout: Collected,
    stderr: Collected,
    /// The log, where nobody reads it.
    pub(crate) unread: Option<ChildStderr>,
}

/// What a stream has given so far.
struct Collected {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(stream: impl std::io::Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                into.lock().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        self.text.lock().clone()
    }

    fn drain(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

impl Program {
    /// `sekisho demo` on free ports, with more arguments.
    pub(crate) fn demo(arguments: &[&str]) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        let (listen, mcp_listen) = (address(), address());
        let mut all = vec!["demo", "--listen", &listen];
        if !arguments.contains(&"--tls") {
            all.extend(["--mcp-listen", &mcp_listen]);
        }
        all.extend(arguments);
        Self::start(Folder::new(), &all, &[])
    }

    /// `sekisho serve` with this configuration.
    pub(crate) fn serve(folder: Folder, configuration: &str) -> Self {
        folder.write("sekisho.yaml", configuration);
        Self::start(folder, &["serve", "--config", "sekisho.yaml"], &[])
    }

    /// `sekisho serve` with this configuration, and a log that nobody reads.
    pub(crate) fn serve_unread(folder: Folder, configuration: &str) -> Self {
        folder.write("sekisho.yaml", configuration);
        let command = command(&folder, &["serve", "--config", "sekisho.yaml"]);
        Self::begin(folder, command, false)
    }

    /// The program with these arguments and environment, waited for until it is ready.
    pub(crate) fn start(folder: Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(&folder, arguments);
        command.envs(environment.iter().copied());
        Self::begin(folder, command, true)
    }

    /// `sekisho serve` with this configuration, in a process that may open so many files and no more.
    pub(crate) fn serve_with_files(folder: Folder, configuration: &str, files: u32) -> Self {
        folder.write("sekisho.yaml", configuration);
        let program = command(&folder, &[]);
        let mut limited = Command::new("sh");
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        limited.arg("-c").arg(script).arg(program.get_program());
        limited.args(["serve", "--config", "sekisho.yaml"]);
        limited.current_dir(folder.path());
        Self::begin(folder, limited, true)
    }

    fn begin(folder: Folder, mut command: Command, read: bool) -> Self {
        let file = folder.path().join("ready.json");
        let mut child = command
            .arg("--ready-file")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Collected::from(child.stdout.take().unwrap());
        let (stderr, unread) = match child.stderr.take().unwrap() {
            stderr if read => (Collected::from(stderr), None),
            stderr => (Collected::from(std::io::empty()), Some(stderr)),
        };
        let mut program = Self {
            child,
            folder,
            ready: Value::Null,
            stdout,
            stderr,
            unread,
        };
        program.until("the ready file", |program| {
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!(
                    "ended with {status} before it was ready:\n{}",
                    program.stderr.drain()
                );
            }
            std::fs::read(&file).is_ok_and(|text| {
                program.ready = serde_json::from_slice(&text).unwrap();
                true
            })
        });
        program
    }

    /// Waits until a condition holds.
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}; the log says:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A text of the ready file.
    pub(crate) fn place(&self, name: &str) -> String {
        self.ready
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no `{name}` in {}", self.ready))
            .to_owned()
    }

    /// The URL of the management listener.
    pub(crate) fn management(&self, path: &str) -> String {
        format!("http://{}{path}", self.place("management"))
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.so_far()
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.so_far()
    }

    /// Sends a signal by name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end and gives all that it wrote.
    pub(crate) fn wait(mut self) -> Ended {
        let mut status = None;
        self.until("its end", |program| {
            status = program.child.try_wait().unwrap();
            status.is_some()
        });
        let (stdout, stderr) = (self.stdout.drain(), self.stderr.drain());
        Ended {
            status: status.unwrap(),
            stdout,
            stderr,
        }
    }

    /// A client that reaches it by all of its names.
    pub(crate) fn client(&self) -> Client {
        let mut roots = ExtraRoots::default();
        if let Some(path) = self.ready.get("ca_certificate").and_then(Value::as_str) {
            roots.add_pem(&std::fs::read(path).unwrap()).unwrap();
        }
        let names = [
            "mcp_endpoint",
            "issuer",
            "client_metadata_document",
            "mcp_server",
        ]
        .iter()
        .filter_map(|name| self.ready.get(*name).and_then(Value::as_str))
        .filter_map(|text| url::Url::parse(text).ok())
        .filter_map(|url| {
            Some((
                url.host_str()?.to_owned(),
                ([127, 0, 0, 1], url.port_or_known_default()?).into(),
            ))
        });
        let resolver = HostMap::new(names, Arc::new(SystemResolver::default()));
        let rules = Rules {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ports: None,
        };
        Client::new(Arc::new(Connector::new(Arc::new(resolver), roots)), rules)
    }

    /// A person with a browser.
    pub(crate) fn browser(&self) -> Browser {
        Browser::over_http(self.client())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
