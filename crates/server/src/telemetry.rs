//! The log and the metrics: set up once, here.
//!
//! A secret can't get into the log by formatting a value of ours: `model::secret::Secret` prints nothing, tokens are
//! known by their hash or their family, and a URL is logged without its query. A test plants secrets everywhere and
//! looks for them in what was written (SEC-70, SEC-71).

mod lines;
mod moment;
pub(crate) mod request_log;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::config;
use crate::telemetry::lines::{Guard, Lines};
use crate::telemetry::moment::Moments;
use crate::telemetry::request_log::{RequestLog, WithRequest};

/// What is logged when `RUST_LOG` says nothing.
const DEFAULT: &str = "info";

/// Starts logging to standard error; `RUST_LOG` selects what, as `auth=debug,info`. What waits to be written is written
/// when the guard is dropped.
///
/// # Errors
/// When `RUST_LOG` can't be understood, or logging was started before.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<(RequestLog, Guard)> {
    let wanted = config::environment("RUST_LOG").filter(|value| !value.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(DEFAULT)).map_err(|error| {
        anyhow::anyhow!("RUST_LOG can't be understood: {error}; hint: write `auth=debug,info`")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let (lines, guard) = Lines::start()?;
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_timer(Moments)
        .with_writer(lines.clone());
    match format {
        LogFormat::Text => {
            registry
                .with(
                    layer
                        .compact()
                        .map_event_format(|inner| WithRequest { inner, format }),
                )
                .try_init()?;
        }
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true);
            registry
                .with(layer.map_event_format(|inner| WithRequest { inner, format }))
                .try_init()?;
        }
    }
    Ok((RequestLog { lines, format }, guard))
}
