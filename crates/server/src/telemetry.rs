//! The log and the metrics: set up once, here.
//!
//! A secret can't get into the log by formatting a value of ours: `model::secret::Secret` prints nothing, tokens are
//! known by their hash or their family, and a URL is logged without its query. A test plants secrets everywhere and
//! looks for them in what was written (SEC-70, SEC-71).

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::config;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT: &str = "info";

/// How long a line may wait for others, so that they are written together.
const GATHERING: Duration = Duration::from_millis(20);

/// How many bytes may wait. Whoever fills them writes them.
const FULL: usize = 256 * 1024;

/// Starts logging to standard error; `RUST_LOG` selects what, as `auth=debug,info`. What waits is written when the
/// guard is dropped.
///
/// # Errors
/// When `RUST_LOG` can't be understood, or logging was started before.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<Guard> {
    let wanted = config::environment("RUST_LOG").filter(|value| !value.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(DEFAULT)).map_err(|error| {
        anyhow::anyhow!("RUST_LOG can't be understood: {error}; hint: write `auth=debug,info`")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let (lines, guard) = Lines::start()?;
    match format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer();
            registry
                .with(layer.compact().with_ansi(false).with_writer(lines))
                .try_init()?;
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer();
            registry
                .with(layer.json().flatten_event(true).with_writer(lines))
                .try_init()?;
        }
    }
    Ok(guard)
}

/// Lines on their way to standard error. They gather for a moment and are written together: a request must neither pay
/// for a system call nor wait for whoever reads the log. Warnings and errors are written at once.
#[derive(Clone)]
struct Lines(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: Mutex<Gathered>,
    filled: Condvar,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    ended: bool,
}

/// Writes what waits when it is dropped.
#[must_use]
pub(crate) struct Guard {
    lines: Lines,
    writer: Option<JoinHandle<()>>,
}

impl Lines {
    fn start() -> io::Result<(Self, Guard)> {
        let lines = Self(Arc::default());
        let mine = lines.clone();
        let builder = std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(64 * 1024);
        let writer = builder.spawn(move || mine.write_until_the_end())?;
        Ok((
            lines.clone(),
            Guard {
                lines,
                writer: Some(writer),
            },
        ))
    }

    fn write_until_the_end(&self) {
        loop {
            let mut gathered = self.0.lines.lock();
            while gathered.bytes.is_empty() && !gathered.ended {
                self.0.filled.wait(&mut gathered);
            }
            let ended = gathered.ended;
            drop(gathered);
            if !ended {
                std::thread::sleep(GATHERING);
            }
            write_out(self.0.lines.lock());
            if ended {
                return;
            }
        }
    }
}

/// Writes all that waits; nobody adds to it meanwhile, so that the order stays. A log that can't be written must not
/// stop the program.
fn write_out(mut gathered: MutexGuard<'_, Gathered>) {
    let _ = io::stderr().lock().write_all(&gathered.bytes);
    gathered.bytes.clear();
    // A burst must not keep its memory for ever.
    gathered.bytes.shrink_to(FULL);
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.0.lines.lock().ended = true;
        self.lines.0.filled.notify_one();
        if let Some(writer) = self.writer.take() {
            // It can only have ended early by a panic of its own, which has been reported.
            let _ = writer.join();
        }
        write_out(self.lines.0.lines.lock());
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            urgent: true,
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            urgent: *event.level() <= Level::WARN,
        }
    }
}

/// Takes one event in one piece, with control characters made harmless: an event is a line, whatever a stranger put
/// into it.
struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        let mut gathered = self.lines.0.lines.lock();
        let first = gathered.bytes.is_empty();
        if body.iter().any(u8::is_ascii_control) {
            let harmless = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
            gathered.bytes.extend(body.iter().map(harmless));
        } else {
            gathered.bytes.extend_from_slice(body);
        }
        gathered.bytes.push(b'\n');
        if self.urgent || gathered.ended || gathered.bytes.len() > FULL {
            write_out(gathered);
        } else if first {
            drop(gathered);
            self.lines.0.filled.notify_one();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
