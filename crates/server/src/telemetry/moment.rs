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

/// A moment as text, with milliseconds and in UTC.
pub(crate) fn rfc3339(moment: Timestamp) -> String {
    let mut text = String::with_capacity(24);
    push(&mut text, moment);
    text
}

const DAY: i64 = 86_400_000;

/// Appends `2026-11-23T00:40:58.123Z`.
pub(super) fn push(text: &mut String, moment: Timestamp) {
    let (days, millis) = (
        moment.millis().div_euclid(DAY),
        moment.millis().rem_euclid(DAY),
    );
    let (year, month, day) = date(days);
    two_digits(text, year / 100);
    two_digits(text, year % 100);
    text.push('-');
    two_digits(text, month);
    text.push('-');
    two_digits(text, day);
    text.push('T');
    two_digits(text, millis / 3_600_000);
    text.push(':');
    two_digits(text, millis / 60_000 % 60);
    text.push(':');
    two_digits(text, millis / 1000 % 60);
    text.push('.');
    two_digits(text, millis % 1000 / 10);
    number(text, millis % 10);
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

/// The numbers from 00 to 99.
const PAIRS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
                     5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/// Appends a number below 100.
fn two_digits(text: &mut String, number: i64) {
    let start = usize::try_from(number * 2).unwrap_or_default();
    text.push_str(PAIRS.get(start..start + 2).unwrap_or("??"));
}

/// Appends a number that is not negative.
pub(super) fn number(text: &mut String, number: i64) {
    let (rest, last) = (number / 100, number % 100);
    if rest > 0 {
        self::number(text, rest);
        two_digits(text, last);
    } else {
        let start = usize::try_from(last * 2).unwrap_or_default();
        let pair = PAIRS.get(start..start + 2).unwrap_or("??");
        text.push_str(pair.strip_prefix('0').unwrap_or(pair));
    }
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
