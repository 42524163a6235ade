//! Wall clocks and instants. A time that a zone skips moves forward by what is skipped; of a time that happens twice
//! the first is meant.

use chrono::{DateTime, Days, Duration, LocalResult, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// The instant a wall clock in `zone` shows `naive`.
pub(crate) fn instant(zone: Tz, naive: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time.to_utc(),
        LocalResult::None => {
            let before = zone.offset_from_utc_datetime(&(naive - Duration::hours(24))).fix().local_minus_utc();
            (naive - Duration::seconds(i64::from(before))).and_utc()
        }
    }
}

/// The first second of the calendar day of `unix` in `zone`, and the first second of the day after.
pub(crate) fn day(zone: Tz, unix: i64) -> (i64, i64) {
    let Some(time) = DateTime::from_timestamp(unix, 0) else { return (unix, unix) };
    let date = time.with_timezone(&zone).date_naive();
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let start = |date: chrono::NaiveDate| instant(zone, date.and_time(NaiveTime::MIN)).timestamp();
    (start(date), start(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp()
    }

    #[test]
    fn a_day_has_23_hours_when_clocks_go_forward() {
        let (start, next) = day(Tz::America__Los_Angeles, at("2026-03-08T20:00:00Z"));
        assert_eq!((start, next), (at("2026-03-08T08:00:00Z"), at("2026-03-09T07:00:00Z")));
    }

    #[test]
    fn a_day_has_25_hours_when_clocks_go_back() {
        let (start, next) = day(Tz::Europe__Paris, at("2026-10-25T12:00:00Z"));
        assert_eq!(next - start, 25 * 3_600);
    }

    #[test]
    fn a_skipped_hour_moves_forward() {
        let naive = "2026-03-08T02:30:00".parse().unwrap();
        assert_eq!(instant(Tz::America__New_York, naive).timestamp(), at("2026-03-08T07:30:00Z"));
    }

    #[test]
    fn a_day_may_begin_at_one_o_clock() {
        // Beirut goes forward at midnight.
        let (start, _) = day(Tz::Asia__Beirut, at("2026-03-29T12:00:00Z"));
        assert_eq!(start, at("2026-03-28T22:00:00Z"));
    }
}
