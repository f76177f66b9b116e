//! How long what a realm issues lives.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::span::{Span, as_text};

/// How long things live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lifetimes {
    /// An authorization code. At most `1m`.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub code: Duration,
    /// An access token. At most `1h`.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub access_token: Duration,
    /// A refresh token that is not used.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub refresh_idle: Duration,
    /// A chain of refresh tokens, used or not.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub refresh_absolute: Duration,
    /// How long a used refresh token gives the same answer again, for clients that lost the first one. At most `5m`.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub refresh_grace: Duration,
    /// A login session that is not used.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub session_idle: Duration,
    /// A login session, used or not.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub session_absolute: Duration,
    /// A login under way, from the request of a client until its answer. At most `1d`.
    #[serde(with = "as_text")]
    #[schemars(with = "Span")]
    pub interaction: Duration,
}

impl Lifetimes {
    /// The longest that a code may live (SEC-3).
    pub const LONGEST_CODE: Duration = Duration::from_mins(1);
    /// The longest that an access token may live (SEC-45).
    pub const LONGEST_ACCESS_TOKEN: Duration = Duration::from_hours(1);
    /// The longest that a used refresh token may give the same answer again (SEC-48): several times the bursts of
    /// concurrent refreshes that real clients show, and well below the time between two refreshes, so that two holders
    /// of one token are found out.
    pub const LONGEST_REFRESH_GRACE: Duration = Duration::from_mins(5);
    /// The longest that a login may be under way: its state is with the browser, and nobody should come back to it much later.
    pub const LONGEST_INTERACTION: Duration = Duration::from_hours(24);
}

impl Default for Lifetimes {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        Self {
            code: Duration::from_mins(1),
            access_token: Duration::from_secs(10 * MINUTE),
            refresh_idle: Duration::from_secs(14 * DAY),
            refresh_absolute: Duration::from_secs(90 * DAY),
            refresh_grace: Duration::from_mins(2),
            session_idle: Duration::from_secs(30 * MINUTE),
            session_absolute: Duration::from_secs(10 * HOUR),
            interaction: Duration::from_secs(30 * MINUTE),
        }
    }
}
