//! Instants as the wire and the tables write them: UTC, RFC 3339, `Z`, a fixed number of fraction digits, so that
//! text order is time order. Formatting is our own because it runs once or more per row; `chrono` does the rest.
//!
//! Bounds: years 0001 to 9999, the range that BigQuery's TIMESTAMP and SQL Server's DATETIME2 hold.

use chrono::{DateTime, Utc};

/// Milliseconds of 0001-01-01T00:00:00Z.
pub const MIN_MILLIS: i64 = -62_135_596_800_000;
/// Milliseconds of 9999-12-31T23:59:59.999Z.
pub const MAX_MILLIS: i64 = 253_402_300_799_999;

/// How many digits of a second are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digits {
    /// `2026-11-20T08:44:28Z`
    Seconds,
    /// `2026-11-20T08:44:28.123Z`
    Millis,
    /// `2026-11-20T08:44:28.123456Z`
    Micros,
}

/// Appends the instant `micros` microseconds after 1970 to `out`, or nothing and `false` when it is out of bounds.
pub fn write_micros(micros: i64, digits: Digits, out: &mut Vec<u8>) -> bool {
    let millis = micros.div_euclid(1000);
    if !(MIN_MILLIS..=MAX_MILLIS).contains(&millis) {
        return false;
    }
    let seconds = millis.div_euclid(1000);
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], of_day / 3600);
    put(&mut text[14..16], of_day / 60 % 60);
    put(&mut text[17..19], of_day % 60);
    put(&mut text[20..26], micros.rem_euclid(1_000_000));
    let end = match digits {
        Digits::Seconds => 19,
        Digits::Millis => 23,
        Digits::Micros => 26,
    };
    text[end] = b'Z';
    out.extend_from_slice(&text[..=end]);
    true
}

/// The instant as text.
#[must_use]
pub fn text(at: DateTime<Utc>, digits: Digits) -> String {
    let mut out = Vec::with_capacity(27);
    let micros = at.timestamp_micros().clamp(MIN_MILLIS * 1000, MAX_MILLIS * 1000 + 999);
    write_micros(micros, digits, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads what [`text`] wrote, or any other RFC 3339 instant.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc))
}

fn put(digits: &mut [u8], mut number: i64) {
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of the day `days` after 1970-01-01 in the proleptic Gregorian calendar. The year is counted
/// from March, so that the leap day is the last of the year and months follow a linear pattern.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, SecondsFormat, TimeZone};
    use proptest::prelude::*;

    #[test]
    fn text_order_is_time_order_within_one_number_of_digits() {
        let early = text(Utc.timestamp_micros(1).unwrap(), Digits::Micros);
        let late = text(Utc.timestamp_micros(1_000_000).unwrap(), Digits::Micros);
        assert_eq!(early, "1970-01-01T00:00:00.000001Z");
        assert!(early < late);
    }

    #[test]
    fn an_instant_beyond_the_year_9999_is_not_written() {
        let mut out = Vec::new();
        assert!(!write_micros((MAX_MILLIS + 1) * 1000, Digits::Seconds, &mut out));
        assert!(!write_micros((MIN_MILLIS - 1) * 1000, Digits::Seconds, &mut out));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn every_instant_reads_as_chrono_writes_it(micros in MIN_MILLIS * 1000..=MAX_MILLIS * 1000) {
            let at = Utc.timestamp_micros(micros).unwrap();
            prop_assume!(at.year() >= 1);
            prop_assert_eq!(text(at, Digits::Micros), at.to_rfc3339_opts(SecondsFormat::Micros, true));
            prop_assert_eq!(text(at, Digits::Millis), at.to_rfc3339_opts(SecondsFormat::Millis, true));
            prop_assert_eq!(text(at, Digits::Seconds), at.to_rfc3339_opts(SecondsFormat::Secs, true));
            prop_assert_eq!(parse(&text(at, Digits::Micros)), Some(at));
        }
    }
}
