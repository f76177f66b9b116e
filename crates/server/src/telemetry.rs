//! The log and the metrics: set up once, here.
//!
//! A secret can't get into the log by formatting a value of ours: `model::secret::Secret` prints nothing, tokens are
//! known by their hash or their family, and a URL is logged without its query. A test plants secrets everywhere and
//! looks for them in what was written (SEC-70, SEC-71).

pub(crate) mod connections;
mod harmless;
mod lines;
pub(crate) mod lists;
pub(crate) mod moment;
pub(crate) mod request_log;
pub(crate) mod store_health;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::LogFormat;
use crate::config;
use crate::telemetry::lines::{Guard, Lines};
use crate::telemetry::moment::Moments;
use crate::telemetry::request_log::{RequestLog, WithRequest};

/// What the database's driver says is an error of ours as well, which is logged where it is handled, or talk of the
/// server. `RUST_LOG` can ask for it by these names.
const SAID_ELSEWHERE: &str = "sqlx::postgres::notice=off,sqlx_core::pool=off";

fn filter(wanted: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(format!("{SAID_ELSEWHERE},{wanted}")).map_err(|error| {
        anyhow::anyhow!("RUST_LOG can't be understood: {error}; hint: write `auth=debug,info`")
    })
}

/// What is logged when `RUST_LOG` says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chattiness {
    /// Everything that an operator may want to know.
    Usual,
    /// Only what goes wrong: somebody is looking at a terminal, and at something else there.
    Quiet,
}

impl Chattiness {
    const fn filter(self) -> &'static str {
        match self {
            Self::Usual => "info",
            Self::Quiet => "warn",
        }
    }
}

/// Starts logging to standard error; `RUST_LOG` selects what, as `auth=debug,info`. What waits to be written is written
/// when the guard is dropped.
///
/// # Errors
/// When `RUST_LOG` can't be understood, or logging was started before.
pub(crate) fn start(
    format: LogFormat,
    unless_told: Chattiness,
) -> anyhow::Result<(RequestLog, Guard)> {
    let wanted = config::environment::variable("RUST_LOG").filter(|value| !value.is_empty());
    let filter = filter(wanted.as_deref().unwrap_or_else(|| unless_told.filter()))?;
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// Whether a filter lets the notices of PostgreSQL pass at `INFO`.
    fn notices(wanted: &str) -> bool {
        let registry = tracing_subscriber::registry().with(filter(wanted).unwrap());
        tracing::subscriber::with_default(
            registry,
            || tracing::enabled!(target: "sqlx::postgres::notice", Level::INFO),
        )
    }

    #[test]
    fn notices_of_postgresql_are_not_logged_unless_somebody_asks_for_them() {
        assert!(!notices(Chattiness::Usual.filter()));
        assert!(!notices("debug"));
        assert!(!notices("sqlx=info"));
        assert!(notices("info,sqlx::postgres::notice=info"));
    }
}
