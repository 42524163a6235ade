//! Time as a person writes it: a length (`3d`), a size (`64MiB`), a date or an instant. Pure: no clock.

use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// A point in time as it was written: a bare date has no instant until a zone is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Midnight at the start of this day.
    Date(NaiveDate),
    /// This instant.
    Instant(DateTime<Utc>),
}

impl Moment {
    /// Reads `2026-11-20` or RFC 3339 (`2026-11-20T08:00:00Z`, `2026-11-20T08:00:00+01:00`).
    ///
    /// # Errors
    /// With a sentence that shows both forms.
    pub(crate) fn parse(text: &str) -> Result<Moment, String> {
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Moment::Date(date));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Moment::Instant(at.with_timezone(&Utc))),
            Err(_) => Err("write a date (2026-11-20) or an instant with its offset (2026-11-20T08:00:00Z)".to_owned()),
        }
    }

    /// The instant. A date is its first instant in `zone`: where the clock jumps over midnight, the end of the jump.
    #[must_use]
    pub(crate) fn at(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Moment::Instant(at) => at,
            Moment::Date(date) => {
                let midnight = date.and_time(NaiveTime::MIN);
                let candidates = (0..=24).map(|quarters| midnight + chrono::Duration::minutes(15 * quarters));
                for wall in candidates {
                    match zone.from_local_datetime(&wall) {
                        LocalResult::Single(at) => return at.with_timezone(&Utc),
                        LocalResult::Ambiguous(first, second) => return first.min(second).with_timezone(&Utc),
                        LocalResult::None => {}
                    }
                }
                midnight.and_utc()
            }
        }
    }
}

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Reads a length of time: a whole number and one of ms, s, m, h, d, w.
///
/// # Errors
/// With a sentence that shows the form.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is no length of time: write a number and one of ms, s, m, h, d, w, such as 90s or 3d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    // A century is more than any API holds; it also keeps every later sum within what chrono can add.
    let total = number.checked_mul(*millis).filter(|total| *total <= 100 * 366 * 86_400_000).ok_or_else(wrong)?;
    Ok(Duration::from_millis(total))
}

/// As [`length`], but for a stretch that must not be empty.
///
/// # Errors
/// As [`length`], and for 0.
pub(crate) fn stretch(text: &str) -> Result<Duration, String> {
    match length(text)? {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        length => Ok(length),
    }
}

/// Writes a length in the largest unit that fits without a rest.
#[must_use]
pub(crate) fn written(length: Duration) -> String {
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, unit): &&(&str, u64)| millis >= *unit && millis % unit == 0;
    UNITS
        .iter()
        .rev()
        .find(fits)
        .map_or_else(|| format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Reads a number of bytes: a whole number, bare or with one of KiB, MiB, GiB.
///
/// # Errors
/// With a sentence that shows the form.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no size: write a number of bytes, or a number and one of KiB, MiB, GiB, such as 64MiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|total| i64::try_from(*total).is_ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_in_each_unit_and_are_written_as_they_were_read() {
        for text in ["250ms", "90s", "5m", "36h", "3d", "2w"] {
            assert_eq!(written(length(text).unwrap()), text);
        }
        assert_eq!(length("90s").unwrap(), Duration::from_secs(90));
        for wrong in ["", "3", "d", "3 d", "-3d", "3x", "1.5h", "99999999999999999999d", "99999999w"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
        assert!(stretch("0d").is_err());
    }

    #[test]
    fn sizes_read_bare_and_in_binary_units() {
        for (text, bytes) in [("12", 12), ("1KiB", 1024), ("64MiB", 64 << 20), ("2 GiB", 2 << 30)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for wrong in ["", "MiB", "1MB", "-1", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_date_is_midnight_in_the_zone_and_an_instant_is_itself() {
        let paris: Tz = "Europe/Paris".parse().unwrap();
        let at = |moment: &str, zone: Tz| Moment::parse(moment).unwrap().at(zone).to_rfc3339();
        assert_eq!(at("2026-11-20", Tz::UTC), "2026-11-20T00:00:00+00:00");
        assert_eq!(at("2026-07-01", paris), "2026-06-30T22:00:00+00:00");
        assert_eq!(at("2026-11-20T08:00:00+01:00", paris), "2026-11-20T07:00:00+00:00");
        assert!(Moment::parse("yesterday").unwrap_err().contains("2026-11-20"));
        assert!(Moment::parse("2026-11-20T08:00:00").is_err(), "an instant without an offset is no instant");
    }

    #[test]
    fn a_day_that_begins_after_a_jump_begins_where_the_clock_lands() {
        let beirut: Tz = "Asia/Beirut".parse().unwrap();
        // Clocks went from 00:00 to 01:00 on 2021-03-28.
        let at = Moment::parse("2021-03-28").unwrap().at(beirut);
        assert_eq!(at.to_rfc3339(), "2021-03-27T22:00:00+00:00");
    }
}
