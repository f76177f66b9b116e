//! Lines on their way to standard error: they gather for a moment and are written together.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others, so that they are written together.
const GATHERING: Duration = Duration::from_millis(20);

/// How many bytes may wait. Whoever fills them writes them.
const FULL: usize = 256 * 1024;

/// Lines on their way to standard error. They gather for a moment and are written together: a request must neither pay
/// for a system call nor wait for whoever reads the log. Warnings and errors are written at once.
#[derive(Clone)]
pub(super) struct Lines(Arc<Waiting>);

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
    /// Starts the thread that writes.
    pub(super) fn start() -> io::Result<(Self, Guard)> {
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

    /// Takes one line, which may have its line break or not, with control characters made harmless: an event is a line,
    /// whatever a stranger put into it.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        if body.iter().any(u8::is_ascii_control) {
            let harmless = |byte: &u8| if byte.is_ascii_control() { b'?' } else { *byte };
            let body: Vec<u8> = body.iter().map(harmless).collect();
            self.gather(&body, urgent);
        } else {
            self.gather(body, urgent);
        }
    }

    /// Takes one line that has no control characters and no line break.
    pub(super) fn push_harmless(&self, line: &[u8]) {
        self.gather(line, false);
    }

    fn gather(&self, line: &[u8], urgent: bool) {
        let mut gathered = self.0.lines.lock();
        let first = gathered.bytes.is_empty();
        gathered.bytes.extend_from_slice(line);
        gathered.bytes.push(b'\n');
        if urgent || gathered.ended || gathered.bytes.len() > FULL {
            write_out(gathered);
        } else if first {
            drop(gathered);
            self.0.filled.notify_one();
        }
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

/// Takes one event in one piece.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.lines.push(event, self.urgent);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
