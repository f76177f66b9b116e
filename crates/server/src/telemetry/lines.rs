//! Lines on their way to standard error: they gather for a moment and are written together, by a thread of their own.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::harmless;

/// How long a line may wait for others, so that they are written together.
const GATHERING: Duration = Duration::from_millis(20);

/// How many bytes may wait while the reader of the log does not read. What comes then is dropped and counted.
const FULL: usize = 2 * 1024 * 1024;

/// Of them, so many are for warnings and errors alone: lines about requests must not crowd them out.
const RESERVE: usize = 256 * 1024;

/// How much memory is kept for the next burst.
const KEPT: usize = 256 * 1024;

/// How long the end waits for the last lines to be written.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Lines on their way to standard error. They gather for a moment and are written together: a request must neither pay
/// for a system call nor wait for whoever reads the log (SEC-83). Warnings and errors are written at once.
#[derive(Clone)]
pub(super) struct Lines(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: Mutex<Gathered>,
    /// There is something to write.
    filled: Condvar,
    /// All was written after the end.
    done: Condvar,
    /// How many lines were dropped since the start.
    dropped: Counter<u64, AtomicU64>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    /// How many lines were dropped after those in `bytes`.
    dropped: u64,
    /// A line does not wait for others.
    urgent: bool,
    ended: bool,
    written: bool,
}

/// When it is dropped, what waits is written, unless nobody reads it.
#[must_use]
pub(crate) struct Guard {
    lines: Lines,
    patience: Duration,
}

impl Lines {
    /// Starts the thread that writes.
    pub(super) fn start() -> io::Result<(Self, Guard)> {
        Self::start_into(standard_error()?, LAST_PATIENCE)
    }

    fn start_into(
        sink: impl Write + Send + 'static,
        patience: Duration,
    ) -> io::Result<(Self, Guard)> {
        let lines = Self(Arc::default());
        let mine = lines.clone();
        // Nobody joins it: a sink that stalls must not keep the program from ending.
        std::thread::Builder::new()
            .name("log".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || mine.write_until_the_end(sink))?;
        let guard = Guard {
            lines: lines.clone(),
            patience,
        };
        Ok((lines, guard))
    }

    /// Counts the lines that were dropped.
    pub(super) fn dropped(&self) -> Counter<u64, AtomicU64> {
        self.0.dropped.clone()
    }

    /// Takes one line, which may have its line break or not, and makes it harmless: an event is a line, whatever a
    /// stranger put into it.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        match harmless::line(body) {
            None => self.gather(body, urgent),
            Some(harmless) => self.gather(&harmless, urgent),
        }
    }

    /// Takes the line about a request, which is harmless and has no line break. However the request ended, it waits for
    /// others and leaves the reserve alone: whoever can make requests fail can make many of these.
    pub(super) fn push_about_request(&self, line: &[u8]) {
        self.gather(line, false);
    }

    fn gather(&self, line: &[u8], urgent: bool) {
        let mut gathered = self.0.lines.lock();
        let room = if urgent { FULL } else { FULL - RESERVE };
        if gathered.bytes.len() + line.len() >= room {
            gathered.dropped += 1;
            drop(gathered);
            self.0.dropped.inc();
            return;
        }
        let wake = gathered.bytes.is_empty() || (urgent && !gathered.urgent);
        gathered.bytes.extend_from_slice(line);
        gathered.bytes.push(b'\n');
        gathered.urgent |= urgent;
        drop(gathered);
        if wake {
            self.0.filled.notify_one();
        }
    }

    /// Nothing but this writes, and it holds no lock meanwhile.
    fn write_until_the_end(&self, mut sink: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut gathered = self.0.lines.lock();
            while gathered.bytes.is_empty() && !gathered.ended {
                self.0.filled.wait(&mut gathered);
            }
            if !gathered.urgent && !gathered.ended {
                // Woken early only by what is urgent, by the end, or for nothing.
                self.0.filled.wait_for(&mut gathered, GATHERING);
            }
            std::mem::swap(&mut gathered.bytes, &mut batch);
            gathered.urgent = false;
            let dropped = std::mem::take(&mut gathered.dropped);
            let ended = gathered.ended;
            drop(gathered);
            if dropped > 0 {
                // There is room again, so that this stands where they are missing.
                tracing::warn!(
                    lines = dropped,
                    "lines of the log were dropped here: its reader did not keep up"
                );
            }
            // A log that can't be written must not stop the program.
            let _ = sink.write_all(&batch);
            batch.clear();
            // A burst must not keep its memory for ever.
            batch.shrink_to(KEPT);
            if ended {
                let mut gathered = self.0.lines.lock();
                // Whoever came meanwhile is written as well.
                let _ = sink.write_all(&gathered.bytes);
                gathered.bytes.clear();
                gathered.written = true;
                self.0.done.notify_all();
                return;
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let waiting = &self.lines.0;
        let mut gathered = waiting.lines.lock();
        gathered.ended = true;
        waiting.filled.notify_one();
        waiting
            .done
            .wait_while_for(&mut gathered, |gathered| !gathered.written, self.patience);
    }
}

/// Standard error without the lock that the library shares with panics: while the reader stalls, they are reported.
#[cfg(unix)]
fn standard_error() -> io::Result<impl Write + Send + 'static> {
    use std::os::fd::AsFd as _;
    let descriptor = io::stderr().as_fd().try_clone_to_owned()?;
    Ok(std::fs::File::from(descriptor))
}

#[cfg(not(unix))]
fn standard_error() -> io::Result<impl Write + Send + 'static> {
    Ok(io::stderr())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of the log that can be made to stall.
    #[derive(Clone, Default)]
    struct Reader(Arc<(Mutex<Read>, Condvar)>);

    #[derive(Default)]
    struct Read {
        stalled: bool,
        asked: bool,
        text: String,
    }

    impl Reader {
        fn stalled() -> Self {
            let reader = Self::default();
            reader.0.0.lock().stalled = true;
            reader
        }

        fn reads_on(&self) {
            self.0.0.lock().stalled = false;
            self.0.1.notify_all();
        }

        /// Waits until the writer stands before a reader that does not read.
        fn is_waited_for(&self) {
            let mut read = self.0.0.lock();
            self.0.1.wait_while(&mut read, |read| !read.asked);
        }

        fn has_read(&self, text: &str) -> String {
            let mut read = self.0.0.lock();
            self.0
                .1
                .wait_while(&mut read, |read| !read.text.contains(text));
            read.text.clone()
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut read = self.0.0.lock();
            read.asked = true;
            self.0.1.notify_all();
            self.0.1.wait_while(&mut read, |read| read.stalled);
            read.text.push_str(std::str::from_utf8(bytes).unwrap());
            self.0.1.notify_all();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_and_all_of_them_at_the_end() {
        let reader = Reader::default();
        let (lines, guard) = Lines::start_into(reader.clone(), Duration::from_mins(1)).unwrap();
        let numbers: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        for number in &numbers {
            lines.push(number.as_bytes(), false);
        }
        drop(guard);
        let read = reader.0.0.lock();
        assert_eq!(read.text.lines().collect::<Vec<_>>(), numbers);
    }

    // SEC-83
    #[test]
    fn a_reader_that_stalls_stops_nobody_and_what_it_missed_is_counted() {
        let reader = Reader::stalled();
        let (lines, guard) = Lines::start_into(reader.clone(), Duration::from_mins(1)).unwrap();
        lines.push(b"the first", true);
        reader.is_waited_for();
        let long = "x".repeat(999);
        let taken = (FULL - RESERVE) / 1000;
        for _ in 0..taken + 500 {
            lines.push(long.as_bytes(), false);
        }
        let dropped = lines.dropped().get();
        assert!((500..=502).contains(&dropped), "{dropped}");
        lines.push(b"an error finds room", true);
        let waiting = lines.0.lines.lock().bytes.len();
        assert!(waiting <= FULL, "{waiting}");

        reader.reads_on();
        let text = reader.has_read("an error finds room");
        let read = text.lines().filter(|line| *line == long).count();
        assert_eq!(read + usize::try_from(dropped).unwrap(), taken + 500);
        drop(guard);
    }

    // SEC-83
    #[test]
    fn lines_about_requests_leave_room_for_warnings() {
        let reader = Reader::stalled();
        let (lines, guard) = Lines::start_into(reader.clone(), Duration::from_mins(1)).unwrap();
        lines.push(b"the first", true);
        reader.is_waited_for();
        let long = "x".repeat(999);
        while lines.dropped().get() == 0 {
            lines.push_about_request(long.as_bytes());
        }
        lines.push(b"a warning finds room", true);
        assert_eq!(lines.dropped().get(), 1);
        reader.reads_on();
        reader.has_read("a warning finds room");
        drop(guard);
    }

    // SEC-83
    #[test]
    fn the_end_does_not_wait_for_a_reader_that_stalls() {
        let reader = Reader::stalled();
        let (lines, guard) = Lines::start_into(reader.clone(), Duration::ZERO).unwrap();
        lines.push(b"the last", true);
        reader.is_waited_for();
        drop(guard);
        reader.reads_on();
        reader.has_read("the last");
    }
}
