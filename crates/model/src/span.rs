//! A length of time as operators write it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`. Settings hold the [`Duration`]; a field is read and
/// written this way by `#[serde(with = "…::span::as_text")]` and described by `#[schemars(with = "…::span::Span")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// The text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration such as `60s`, `10m`, `12h` or `14d`")]
pub struct BadSpan;

impl Span {
    /// What the schema calls texts of this kind.
    pub const FORMAT: &'static str = "duration";

    /// Ten years: beyond that it is a slip, and times in milliseconds can be added without overflow.
    const LONGEST: u64 = 3650 * 24 * 60 * 60 * 1000;

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits).ok_or(BadSpan)?;
        let number: u64 = number.parse().map_err(|_| BadSpan)?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60 * 1000),
            "h" => number.checked_mul(60 * 60 * 1000),
            "d" => number.checked_mul(24 * 60 * 60 * 1000),
            _ => None,
        };
        let milliseconds = milliseconds.filter(|ms| *ms <= Self::LONGEST);
        Ok(Self(Duration::from_millis(milliseconds.ok_or(BadSpan)?)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        if ms == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1000),
        ] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        write!(f, "{ms}ms")
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": Self::FORMAT, "examples": ["10m"] })
    }
}

/// The description of a [`Span`] that has to be longer than nothing: for `#[schemars(with = "…::span::SomeTime")]`. The configuration
/// is checked against it.
#[derive(Clone, Copy, Debug)]
pub struct SomeTime;

impl SomeTime {
    /// What the schema calls texts of this kind.
    pub const FORMAT: &'static str = "duration-above-zero";
}

impl JsonSchema for SomeTime {
    fn schema_name() -> Cow<'static, str> {
        "SomeTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": Self::FORMAT, "examples": ["10m"] })
    }
}

/// Reads and writes a [`Duration`] as a [`Span`], for `#[serde(with = …)]`.
pub mod as_text {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Span;

    /// Writes it.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        Span(*duration).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of the format, and texts that are no length of time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Span::deserialize(deserializer).map(|Span(duration)| duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_in_their_largest_unit() {
        for (text, written) in [
            ("60s", "1m"),
            ("90s", "90s"),
            ("14d", "14d"),
            ("1500ms", "1500ms"),
            ("24h", "1d"),
            ("0ms", "0s"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn durations_without_unit_or_beyond_ten_years_are_refused() {
        for text in [
            "",
            "60",
            "s",
            "-1s",
            "1.5h",
            "1 h",
            "4000d",
            "99999999999999999999s",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
