//! The log and the metrics: set up once, here.
//!
//! A secret can't get into the log by formatting a value of ours: `model::secret::Secret` prints nothing, tokens are
//! known by their hash or their family, and a URL is logged without its query. A test plants secrets everywhere and
//! looks for them in what was written (SEC-70, SEC-71).

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::config;

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT: &str = "info";

/// Starts logging to standard error; `RUST_LOG` selects what, as `auth=debug,info`.
///
/// # Errors
/// When `RUST_LOG` can't be understood, or logging was started before.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let wanted = config::environment("RUST_LOG").filter(|value| !value.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(DEFAULT)).map_err(|error| {
        anyhow::anyhow!("RUST_LOG can't be understood: {error}; hint: write `auth=debug,info`")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let layer = tracing_subscriber::fmt::layer()
                .compact()
                .with_ansi(false)
                .with_writer(Lines);
            registry.with(layer).try_init()?;
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_writer(Lines);
            registry.with(layer).try_init()?;
        }
    }
    Ok(())
}

/// Makes a writer for each event.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line
    }
}

/// Writes one event to standard error in one piece, with control characters made harmless: an event is a line, whatever
/// a stranger put into it.
struct Line;

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        let mut err = io::stderr().lock();
        // A log that can't be written must not stop the program.
        if body.iter().any(u8::is_ascii_control) {
            let clean: Vec<u8> = body
                .iter()
                .map(|byte| if byte.is_ascii_control() { b'?' } else { *byte })
                .chain([b'\n'])
                .collect();
            let _ = err.write_all(&clean);
        } else {
            let _ = err.write_all(event);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
