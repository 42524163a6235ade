//! Cuts what is due into units. Pure.
//!
//! Guaranteed: the units of one (account, dataset, partition) do not overlap, cover exactly what is due, and have the
//! same ids whenever the same is planned for the same run. What is due is for [`crate::due`].

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use proto::dataset::{Dataset, Slicing};
use proto::id::{AccountName, RunId};
use proto::unit::{Partition, Unit, Window};

/// How far from UTC a zone's midnight can be, in seconds, with room to spare.
const FAR_FROM_UTC: i64 = 36 * 3600;

/// The units of one partition, oldest first.
///
/// - [`Slicing::PartitionDay`]: one per calendar day of `zone`, whether it has 23, 24 or 25 hours.
/// - [`Slicing::Windows`]: cut at multiples of the length since 1970, so that windows of different runs meet.
/// - [`Slicing::Entity`]: one per due window.
#[must_use]
pub fn units(
    run: &RunId,
    account: &AccountName,
    zone: Tz,
    dataset: &'static Dataset,
    partition: &Partition,
    due: &[Window],
) -> Vec<Unit> {
    let cut = |window: &Window| match dataset.slicing {
        Slicing::PartitionDay => cut(window, |at| next_day(zone, at)),
        Slicing::Windows(length) => cut(window, |at| next_multiple(length, at)),
        Slicing::Entity => vec![*window],
    };
    due.iter()
        .flat_map(cut)
        .map(|window| Unit::new(run.clone(), account.clone(), dataset, partition.clone(), window))
        .collect()
}

/// The pieces of a window between the edges that `next` gives: the first edge after an instant.
fn cut(window: &Window, next: impl Fn(DateTime<Utc>) -> DateTime<Utc>) -> Vec<Window> {
    let mut pieces = Vec::new();
    let mut from = window.from;
    while from < window.to {
        let to = next(from).min(window.to);
        pieces.push(Window { from, to });
        from = to;
    }
    pieces
}

/// The first multiple of `length` since 1970 after `at`.
fn next_multiple(length: Duration, at: DateTime<Utc>) -> DateTime<Utc> {
    let step = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1);
    let multiple = (at.timestamp().div_euclid(step) + 1).checked_mul(step);
    multiple.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The first start of a calendar day after `at`.
fn next_day(zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
    let today = at.with_timezone(&zone).date_naive();
    // More than one step only where the calendar jumps: a date that a zone skipped starts when the next one does, and a
    // clock set back across midnight shows the old date again after the new one has started.
    std::iter::successors(today.succ_opt(), NaiveDate::succ_opt)
        .map(|date| day_start(zone, date))
        .find(|start| *start > at)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The first instant of a date. Midnight may come twice (the first counts), or not at all where the clock jumps over it
/// (the first instant after the jump counts).
fn day_start(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    let midnight = date.and_time(NaiveTime::MIN);
    if let Some(start) = zone.from_local_datetime(&midnight).earliest() {
        return start.with_timezone(&Utc);
    }
    // Zones change on whole seconds: halve the stretch in which the jump must be until it is one second long.
    let reached = |seconds: i64| {
        DateTime::from_timestamp(seconds, 0).is_some_and(|at| at.with_timezone(&zone).date_naive() >= date)
    };
    let around = midnight.and_utc().timestamp();
    let (mut not_yet, mut start) = (around - FAR_FROM_UTC, around + FAR_FROM_UTC);
    while start - not_yet > 1 {
        let middle = not_yet + (start - not_yet) / 2;
        if reached(middle) {
            start = middle;
        } else {
            not_yet = middle;
        }
    }
    DateTime::from_timestamp(start, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;
    use proto::catalog;

    /// Zones whose clock moves by an hour at most: near midnight, at midnight, by half an hour, never.
    const ZONES: [Tz; 9] = [
        Tz::America__New_York,
        Tz::Europe__Paris,
        Tz::Asia__Kathmandu,
        Tz::America__Sao_Paulo,
        Tz::Australia__Lord_Howe,
        Tz::Africa__Cairo,
        Tz::America__Havana,
        Tz::Asia__Beirut,
        Tz::UTC,
    ];

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn of(dataset: &str, zone: Tz, due: &[Window]) -> Vec<Unit> {
        let account = AccountName::parse("main").unwrap();
        let partition = String::from("pbx");
        units(&RunId::parse("r1").unwrap(), &account, zone, catalog::find(dataset).unwrap(), &partition, due)
    }

    fn days(zone: Tz, due: Window) -> Vec<Window> {
        of("8x8CallDetailRecords", zone, &[due]).into_iter().map(|unit| unit.window).collect()
    }

    #[test]
    fn the_day_on_which_the_clock_changes_is_one_day() {
        for (zone, start, minutes) in [
            (Tz::America__New_York, "2026-03-08T05:00:00Z", 23 * 60),
            (Tz::America__New_York, "2026-11-01T04:00:00Z", 25 * 60),
            (Tz::Europe__Paris, "2026-03-28T23:00:00Z", 23 * 60),
            (Tz::Europe__Paris, "2026-10-24T22:00:00Z", 25 * 60),
            (Tz::Asia__Kathmandu, "2026-03-28T18:15:00Z", 24 * 60),
            // Midnight does not exist: the day starts at 01:00.
            (Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z", 23 * 60),
            (Tz::Africa__Cairo, "2026-04-23T22:00:00Z", 23 * 60),
            // Midnight comes twice: the day starts at the first.
            (Tz::America__Havana, "2025-11-02T04:00:00Z", 25 * 60),
            (Tz::Australia__Lord_Howe, "2026-04-04T13:00:00Z", 24 * 60 + 30),
            (Tz::Australia__Lord_Howe, "2026-10-03T13:30:00Z", 23 * 60 + 30),
        ] {
            let day = Window { from: at(start), to: at(start) + TimeDelta::minutes(minutes) };
            let around = Window { from: day.from - TimeDelta::hours(1), to: day.to + TimeDelta::hours(1) };
            let cut = days(zone, around);
            assert_eq!(cut.len(), 3, "{zone}: {cut:?}");
            assert_eq!(cut[1], day, "{zone}");
        }
    }

    #[test]
    fn a_date_that_a_zone_skipped_gets_no_unit() {
        // Samoa went from 29 to 31 December 2011.
        let cut = days(Tz::Pacific__Apia, Window { from: at("2011-12-29T10:00:00Z"), to: at("2011-12-31T10:00:00Z") });
        let edges = ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"].map(at);
        assert_eq!(cut, [Window { from: edges[0], to: edges[1] }, Window { from: edges[1], to: edges[2] }]);
    }

    #[test]
    fn twelve_hour_windows_start_at_midnight_and_noon_utc() {
        let due = Window { from: at("2026-03-01T07:30:00Z"), to: at("2026-03-02T00:30:00Z") };
        let cut: Vec<_> = of("cdr_records", Tz::UTC, &[due]).into_iter().map(|unit| unit.window).collect();
        let edges = ["2026-03-01T07:30:00Z", "2026-03-01T12:00:00Z", "2026-03-02T00:00:00Z", "2026-03-02T00:30:00Z"];
        let edges = edges.map(at);
        assert_eq!(cut, [0, 1, 2].map(|n| Window { from: edges[n], to: edges[n + 1] }));
    }

    #[test]
    fn an_entity_is_one_unit_and_nothing_due_is_none() {
        let due = Window { from: DateTime::<Utc>::UNIX_EPOCH, to: at("2026-03-01T00:00:00Z") };
        assert_eq!(of("contacts", Tz::UTC, &[due]).len(), 1);
        assert_eq!(of("contacts", Tz::UTC, &[]), []);
        assert_eq!(of("8x8CallDetailRecords", Tz::UTC, &[]), []);
    }

    #[test]
    fn a_window_of_no_length_in_the_catalog_does_not_hang() {
        assert_eq!(next_multiple(Duration::ZERO, at("2026-03-01T00:00:00Z")), at("2026-03-01T00:00:01Z"));
        assert_eq!(next_multiple(Duration::MAX, at("2026-03-01T00:00:00Z")), DateTime::<Utc>::MAX_UTC);
    }

    fn window() -> impl Strategy<Value = Window> {
        // 2005 to 2035, up to 40 days.
        (1_104_537_600_i64..2_051_222_400, 1_i64..40 * 86_400).prop_map(|(from, length)| {
            let from = DateTime::from_timestamp(from, 0).unwrap();
            Window { from, to: from + TimeDelta::seconds(length) }
        })
    }

    fn covers(units: &[Unit], due: Window) -> bool {
        units.first().is_some_and(|unit| unit.window.from == due.from)
            && units.last().is_some_and(|unit| unit.window.to == due.to)
            && units.windows(2).all(|pair| pair[0].window.to == pair[1].window.from)
            && units.iter().all(|unit| !unit.window.is_empty())
    }

    proptest! {
        #[test]
        fn days_cover_what_is_due_without_overlap_and_each_is_one_date(due in window(), zone in 0..ZONES.len()) {
            let zone = ZONES[zone];
            let units = of("8x8CallDetailRecords", zone, &[due]);
            prop_assert!(covers(&units, due));
            for Window { from, to } in units.iter().map(|unit| unit.window) {
                let date = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
                prop_assert!(to - from <= TimeDelta::hours(25));
                prop_assert_eq!(date(from), date(to - TimeDelta::seconds(1)));
                prop_assert!(to == due.to || date(to) > date(from));
            }
        }

        #[test]
        fn days_cover_what_is_due_in_every_zone_there_is(due in window(), zone in 0..TZ_VARIANTS.len()) {
            prop_assert!(covers(&of("8x8CallDetailRecords", TZ_VARIANTS[zone], &[due]), due));
        }

        #[test]
        fn a_day_starts_at_the_first_instant_of_its_date(due in window(), zone in 0..TZ_VARIANTS.len()) {
            let zone = TZ_VARIANTS[zone];
            let date = due.from.with_timezone(&zone).date_naive();
            let start = day_start(zone, date);
            prop_assert!(start.with_timezone(&zone).date_naive() >= date);
            prop_assert!((start - TimeDelta::seconds(1)).with_timezone(&zone).date_naive() < date);
        }

        #[test]
        fn windows_cover_what_is_due_without_overlap_and_stay_in_bounds(due in window()) {
            let units = of("cdr_records", Tz::UTC, &[due]);
            prop_assert!(covers(&units, due));
            for unit in &units {
                prop_assert!(unit.window.to - unit.window.from <= TimeDelta::hours(12));
                prop_assert!(unit.window.from == due.from || unit.window.from.timestamp() % 43_200 == 0);
            }
        }

        #[test]
        fn planning_twice_gives_the_same_units_and_no_two_share_an_id(due in window(), zone in 0..ZONES.len()) {
            for dataset in ["8x8CallDetailRecords", "cdr_records", "contacts"] {
                let units = of(dataset, ZONES[zone], &[due]);
                prop_assert_eq!(&units, &of(dataset, ZONES[zone], &[due]));
                let ids: std::collections::HashSet<_> = units.iter().map(|unit| &unit.id).collect();
                prop_assert_eq!(ids.len(), units.len());
            }
        }
    }
}
