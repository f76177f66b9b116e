//! The time of a log line, as RFC 3339 writes it.

use std::fmt;

use model::clock::{Clock as _, SystemClock, Timestamp};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// The clock of the log.
pub(super) struct Moments;

impl FormatTime for Moments {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut text = String::with_capacity(24);
        push(&mut text, SystemClock.now());
        writer.write_str(&text)
    }
}

const DAY: i64 = 86_400_000;

/// Appends `2026-11-23T00:40:58.123Z`.
pub(super) fn push(text: &mut String, moment: Timestamp) {
    let (days, millis) = (
        moment.millis().div_euclid(DAY),
        moment.millis().rem_euclid(DAY),
    );
    let (year, month, day) = date(days);
    digits(text, year, 4);
    text.push('-');
    digits(text, month, 2);
    text.push('-');
    digits(text, day, 2);
    text.push('T');
    digits(text, millis / 3_600_000, 2);
    text.push(':');
    digits(text, millis / 60_000 % 60, 2);
    text.push(':');
    digits(text, millis / 1000 % 60, 2);
    text.push('.');
    digits(text, millis % 1000, 3);
    text.push('Z');
}

/// Year, month and day of a day counted from 1970-01-01. Years begin in March here, so that the day that some of them
/// lack is their last.
fn date(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Appends a number with at least so many digits.
pub(super) fn digits(text: &mut String, number: i64, least: usize) {
    if number >= 10 || least > 1 {
        digits(text, number / 10, least.saturating_sub(1));
    }
    let digit = u32::try_from(number.rem_euclid(10)).unwrap_or_default();
    text.push(char::from_digit(digit, 10).unwrap_or('0'));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(millis: i64) -> String {
        let mut text = String::new();
        push(&mut text, Timestamp::from_millis(millis));
        text
    }

    #[test]
    fn moments_are_written_as_rfc_3339() {
        assert_eq!(written(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(951_868_799_999), "2000-02-29T23:59:59.999Z");
        assert_eq!(written(1_795_394_458_123), "2026-11-23T00:40:58.123Z");
        assert_eq!(written(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_is_followed_by_the_next() {
        let mut before = date(-1);
        for day in 0..200_000 {
            let today = date(day);
            let (year, month, first) = today;
            let follows = today == (before.0, before.1, before.2 + 1)
                || (first == 1 && (year, month) == (before.0, before.1 + 1))
                || (first == 1 && month == 1 && before == (year - 1, 12, 31));
            assert!(follows, "{before:?} {today:?}");
            before = today;
        }
    }
}
