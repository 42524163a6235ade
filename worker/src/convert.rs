//! Turns a vendor's JSON value into a column's: the catalog's [`Convert`] rules. Pure, and total: what does not fit says so.

use proto::dataset::Convert;
use proto::instant::{self, Digits};
use proto::row::unquote;

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was appended.
    Written,
    /// There is none.
    Null,
    /// It is not of the column's type; nothing was appended.
    Misfit,
}

/// Appends the column's JSON value for the vendor's JSON value.
pub(crate) fn convert(value: &str, convert: Convert, out: &mut Vec<u8>) -> Outcome {
    if value == "null" {
        return Outcome::Null;
    }
    let copy = |out: &mut Vec<u8>| {
        out.extend_from_slice(value.as_bytes());
        Outcome::Written
    };
    match convert {
        Convert::Json => copy(out),
        Convert::Text => text(value, out),
        Convert::TextOrZero if matches!(value, "0" | "\"0\"") => Outcome::Null,
        Convert::TextOrBlank if is_blank(value) => Outcome::Null,
        Convert::TextOrZero | Convert::TextOrBlank => text(value, out),
        Convert::IntegerOrBlank if is_blank(value) => Outcome::Null,
        Convert::Integer | Convert::IntegerOrBlank => match to_integer(value) {
            Some(number) => {
                write_integer(number, out);
                Outcome::Written
            }
            None => Outcome::Misfit,
        },
        Convert::Float => match value.parse::<f64>() {
            Ok(number) if number.is_finite() => copy(out),
            _ => Outcome::Misfit,
        },
        Convert::Boolean => match value.trim_matches('"') {
            "" | "NA" | "na" => Outcome::Null,
            yes if yes.eq_ignore_ascii_case("true") => write(b"true", out),
            no if no.eq_ignore_ascii_case("false") => write(b"false", out),
            _ => Outcome::Misfit,
        },
        Convert::Seconds => match to_micros(value) {
            Some(micros) if micros % 1_000_000 == 0 => instant_text(micros, Digits::Seconds, out),
            Some(micros) => instant_text(micros, Digits::Millis, out),
            None => Outcome::Misfit,
        },
        Convert::Millis => match to_integer(value) {
            Some(0) => Outcome::Null,
            Some(millis) => {
                millis.checked_mul(1000).map_or(Outcome::Misfit, |micros| instant_text(micros, Digits::Millis, out))
            }
            None => Outcome::Misfit,
        },
        Convert::Iso if is_blank(value) => Outcome::Null,
        Convert::Iso if is_iso_millis(value.as_bytes()) => copy(out),
        Convert::Iso => match from_iso(value) {
            Some(micros) => instant_text(micros, Digits::Millis, out),
            None => Outcome::Misfit,
        },
        Convert::Joined => match serde_json::from_str::<Vec<String>>(value) {
            Ok(parts) => {
                write_text(&parts.join(","), out);
                Outcome::Written
            }
            Err(_) => text(value, out),
        },
    }
}

fn write(bytes: &[u8], out: &mut Vec<u8>) -> Outcome {
    out.extend_from_slice(bytes);
    Outcome::Written
}

fn text(value: &str, out: &mut Vec<u8>) -> Outcome {
    match value.as_bytes().first() {
        Some(b'"') => write(value.as_bytes(), out),
        Some(b'{' | b'[') | None => Outcome::Misfit,
        Some(_) => {
            out.push(b'"');
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
            Outcome::Written
        }
    }
}

fn is_blank(value: &str) -> bool {
    matches!(value, "\"\"" | "\"NA\"" | "\"na\"")
}

/// An integer from a number or a string that holds one.
fn to_integer(value: &str) -> Option<i64> {
    let plain = value.trim_matches('"');
    plain.parse().ok().or_else(|| {
        let float: f64 = plain.parse().ok()?;
        (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
    })
}

/// Values beyond this are milliseconds that were stored where seconds belong (the year 5138 otherwise).
const MOST_SECONDS: i64 = 100_000_000_000;

/// Microseconds since 1970 from seconds, misplaced milliseconds, or RFC 3339.
pub(crate) fn to_micros(value: &str) -> Option<i64> {
    if let Some(number) = to_integer(value) {
        return number.checked_mul(if number.unsigned_abs() > MOST_SECONDS.unsigned_abs() { 1000 } else { 1_000_000 });
    }
    if value.starts_with('"') {
        return from_iso(value);
    }
    let seconds: f64 = value.parse().ok()?;
    (seconds.abs() < MOST_SECONDS as f64).then(|| (seconds * 1e3).round() as i64 * 1000)
}

fn from_iso(value: &str) -> Option<i64> {
    let plain = unquote(value)?;
    let zoned = || instant::parse(&plain).map(|at| at.timestamp_micros());
    let bare = || {
        let format = if plain.contains('T') { "%Y-%m-%dT%H:%M:%S%.f" } else { "%Y-%m-%d %H:%M:%S%.f" };
        chrono::NaiveDateTime::parse_from_str(&plain, format).ok().map(|at| at.and_utc().timestamp_micros())
    };
    // Offsets without a colon are not RFC 3339, but 8x8 and older records write them.
    let colonless =
        || chrono::DateTime::parse_from_str(&plain, "%Y-%m-%dT%H:%M:%S%.f%z").ok().map(|at| at.timestamp_micros());
    zoned().or_else(bare).or_else(colonless)
}

/// Whether it reads `"YYYY-MM-DDTHH:MM:SS.mmmZ"` with plausible digits: the form in which the destinations keep it.
fn is_iso_millis(value: &[u8]) -> bool {
    const FORM: &[u8; 26] = b"\"0000-10-30T20:50:50.000Z\"";
    value.len() == FORM.len()
        && FORM
            .iter()
            .zip(value)
            .all(|(form, byte)| if form.is_ascii_digit() { byte.is_ascii_digit() } else { form == byte })
        && value[1..5] != *b"0000"
        && (b"01"..=b"12").contains(&&[value[6], value[7]])
        && (b"01"..=b"28").contains(&&[value[9], value[10]])
        && (b"00"..=b"23").contains(&&[value[12], value[13]])
        && value[15] < b'6'
        && value[18] < b'6'
}

fn instant_text(micros: i64, digits: Digits, out: &mut Vec<u8>) -> Outcome {
    let before = out.len();
    out.push(b'"');
    if instant::write_micros(micros, digits, out) {
        out.push(b'"');
        Outcome::Written
    } else {
        out.truncate(before);
        Outcome::Misfit
    }
}

pub(crate) fn write_integer(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thirtieth_of_february_is_not_an_instant() {
        for (text, ok) in [
            ("\"2026-09-24T07:49:10.939Z\"", true),
            ("\"2026-13-24T07:49:10.939Z\"", false),
            ("\"2026-02-30T07:49:10.939Z\"", false),
            ("\"2026-01-30T07:49:10.939Z\"", true),
            ("\"2026-01-01T24:00:10.939Z\"", false),
        ] {
            let mut out = Vec::new();
            assert_eq!(convert(text, Convert::Iso, &mut out) == Outcome::Written, ok, "{text}");
        }
    }
}
