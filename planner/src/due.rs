//! The windows of time that are due for one (account, dataset, partition). Pure.
//!
//! Guaranteed: the windows are never empty, in order, apart from each other, on whole seconds, and hold exactly what is
//! due: no more than the API still holds and no less. How they are cut into units is for [`crate::plan`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proto::dataset::{Dataset, Slicing, Timing};
use proto::fault::Fault;
use proto::instant::{self, Digits};
use proto::ledger::History;
use proto::unit::Window;

use crate::span::Span;

/// Where time starts for an API that holds everything.
const EPOCH: DateTime<Utc> = DateTime::<Utc>::UNIX_EPOCH;

/// Why nothing can be planned for what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What was asked for is older than what the API holds, or too new for it.
    #[error(
        "`{dataset}` cannot be read for {}: its API answers for {} now; ask for a time within that, or leave it out",
        text(.asked), text(.held)
    )]
    OutOfReach {
        /// The dataset's name.
        dataset: &'static str,
        /// What was asked for.
        asked: Window,
        /// What the API still holds and has settled.
        held: Window,
    },
}

impl PlanError {
    /// What it means for what we do next: asking the same again fails the same way.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            PlanError::OutOfReach { .. } => Fault::Poison,
        }
    }
}

/// Whether a dataset is read as a whole each time: its API cannot be asked for what changed. A property of the catalog;
/// an account that sets its look-back to 0 does not get there.
#[must_use]
pub fn is_read_whole(dataset: &Dataset) -> bool {
    matches!(dataset.slicing, Slicing::Entity) && dataset.timing.look_back.is_zero()
}

/// What is due at `now`. Vendors take whole seconds, so windows are widened to them (an end never beyond what has
/// settled).
///
/// - [`Span::Due`], nothing whole yet: all that the API holds. Otherwise every hole, and the tail from the look-back
///   before the newest whole window on. A hole stays due until a run reads it: a failure costs a repeat,
///   never a gap.
/// - [`Span::Last`] and [`Span::Between`]: just that, clipped to what the API holds. The history does not matter.
/// - An entity gets one window, from the earliest that is due to the newest: its API is walked once per run.
/// - A dataset that is read as a whole gets one window from 1970 to `now`, whatever was asked.
///
/// # Errors
/// When what was asked for is out of the API's reach altogether.
pub fn due(
    dataset: &'static Dataset,
    timing: &Timing,
    history: &History,
    span: &Span,
    now: DateTime<Utc>,
) -> Result<Vec<Window>, PlanError> {
    let now = second(now);
    if is_read_whole(dataset) {
        return Ok(vec![Window { from: EPOCH, to: now }]);
    }
    let oldest = timing.holds.map_or(EPOCH, |holds| before(now, holds).max(EPOCH));
    let held = Window { from: oldest, to: before(now, timing.settles) };
    let asked = match *span {
        Span::Due => missing(history, timing.look_back, held),
        Span::Last(last) => vec![Window { from: before(held.to, last), to: held.to }],
        Span::Between { from, to } => vec![Window { from, to }],
    };
    let windows = merge(asked.iter().map(|window| clip(window, held)).collect());
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return match asked.first() {
            Some(&asked) if *span != Span::Due => Err(PlanError::OutOfReach { dataset: dataset.name, asked, held }),
            _ => Ok(windows),
        };
    };
    match (dataset.slicing, span) {
        (Slicing::Entity, Span::Due) => Ok(vec![Window { from: first.from, to: held.to }]),
        (Slicing::Entity, _) => Ok(vec![Window { from: first.from, to: last.to }]),
        (Slicing::PartitionDay | Slicing::Windows(_), _) => Ok(windows),
    }
}

/// The holes, and the tail up to the newest that can be read.
fn missing(history: &History, look_back: Duration, held: Window) -> Vec<Window> {
    // While nothing is whole, holes only say what was planned; what was not planned is missing as well.
    let Some(newest) = history.newest_whole else { return vec![held] };
    let tail = Window { from: before(newest, look_back), to: held.to };
    history.holes.iter().copied().chain([tail]).collect()
}

/// The part of a window that lies in `held`, on whole seconds. May be empty.
fn clip(window: &Window, held: Window) -> Window {
    let to = if second(window.to) == window.to { window.to } else { second(window.to) + TimeDelta::seconds(1) };
    Window { from: second(window.from).max(held.from), to: to.min(held.to) }
}

/// In order, without empty ones, and with those that overlap or touch as one.
fn merge(mut windows: Vec<Window>) -> Vec<Window> {
    windows.retain(|window| !window.is_empty());
    windows.sort_unstable();
    windows.dedup_by(|next, kept| {
        let joined = next.from <= kept.to;
        if joined {
            kept.to = kept.to.max(next.to);
        }
        joined
    });
    windows
}

/// The whole second at or before `at`.
fn second(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

/// The whole second at or before `length` before `at`; 1970 at the earliest, also for lengths beyond the calendar.
fn before(at: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    let earlier = TimeDelta::from_std(length).ok().and_then(|length| at.checked_sub_signed(length));
    earlier.map_or(EPOCH, |earlier| second(earlier).max(EPOCH))
}

fn text(window: &Window) -> String {
    format!("{} to {}", instant::text(window.from, Digits::Seconds), instant::text(window.to, Digits::Seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::catalog;

    const NOW: i64 = 1_772_366_400; // 2026-03-01T12:00:00Z
    const DAY: i64 = 86_400;

    /// So many seconds before now.
    fn ago(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(NOW - seconds, 0).unwrap()
    }

    fn window(from: i64, to: i64) -> Window {
        Window { from: ago(from), to: ago(to) }
    }

    fn history(newest: Option<i64>, holes: &[(i64, i64)]) -> History {
        History { newest_whole: newest.map(ago), holes: holes.iter().map(|&(from, to)| window(from, to)).collect() }
    }

    fn of(dataset: &str, history: &History, span: Span) -> Result<Vec<Window>, PlanError> {
        let dataset = catalog::find(dataset).unwrap();
        due(dataset, &dataset.timing, history, &span, ago(0))
    }

    #[test]
    fn the_first_run_reads_all_that_the_api_holds() {
        let none = History::default();
        assert_eq!(of("cdr_records", &none, Span::Due), Ok(vec![window(30 * DAY, 360)]));
        assert_eq!(of("8x8CallDetailRecords", &none, Span::Due), Ok(vec![window(730 * DAY, 900)]));
        assert_eq!(of("conversations", &none, Span::Due), Ok(vec![Window { from: EPOCH, to: ago(0) }]));
    }

    #[test]
    fn holes_without_anything_whole_do_not_hide_what_was_never_planned() {
        let planned = history(None, &[(3 * DAY, 2 * DAY)]);
        assert_eq!(of("cdr_records", &planned, Span::Due), Ok(vec![window(30 * DAY, 360)]));
    }

    #[test]
    fn a_later_run_reads_the_holes_and_the_tail_and_joins_what_overlaps() {
        let look_back = 26 * 3600;
        let tail = 3600 + look_back;
        for (holes, expected) in [
            (vec![], vec![(tail, 360)]),
            (vec![(9 * DAY, 8 * DAY)], vec![(9 * DAY, 8 * DAY), (tail, 360)]),
            (vec![(8 * DAY, 6 * DAY), (9 * DAY, 7 * DAY)], vec![(9 * DAY, 6 * DAY), (tail, 360)]),
            (vec![(3 * DAY, DAY)], vec![(3 * DAY, 360)]),
            (vec![(40 * DAY, 29 * DAY)], vec![(30 * DAY, 29 * DAY), (tail, 360)]),
            (vec![(50 * DAY, 40 * DAY), (30 * DAY, 30 * DAY)], vec![(tail, 360)]),
        ] {
            let expected: Vec<Window> = expected.into_iter().map(|(from, to)| window(from, to)).collect();
            assert_eq!(of("cdr_records", &history(Some(3600), &holes), Span::Due), Ok(expected), "{holes:?}");
        }
    }

    #[test]
    fn an_entity_gets_one_window_from_the_earliest_hole() {
        let past = history(Some(3600), &[(9 * DAY, 8 * DAY), (50 * DAY, 49 * DAY)]);
        for dataset in ["contacts", "users", "conversations"] {
            assert_eq!(of(dataset, &past, Span::Due), Ok(vec![window(50 * DAY, 0)]), "{dataset}");
        }
        assert_eq!(of("conversations", &history(Some(600), &[]), Span::Due), Ok(vec![window(600 + 3600, 0)]));
    }

    #[test]
    fn a_dataset_that_is_read_as_a_whole_gets_one_window_whatever_is_asked() {
        let past = history(Some(3600), &[(9 * DAY, 8 * DAY)]);
        let old = Span::Between { from: ago(9 * DAY), to: ago(8 * DAY) };
        for dataset in ["companies", "admins", "teams", "tags", "segments"] {
            for span in [Span::Due, Span::Last(Duration::from_secs(60)), old] {
                assert_eq!(of(dataset, &past, span), Ok(vec![Window { from: EPOCH, to: ago(0) }]), "{dataset}");
            }
        }
    }

    #[test]
    fn a_span_that_was_asked_for_is_clipped_to_what_the_api_holds_and_ignores_the_history() {
        let past = history(Some(3600), &[(9 * DAY, 8 * DAY)]);
        let last = |seconds| Span::Last(Duration::from_secs(seconds));
        let between = |from, to| Span::Between { from: ago(from), to: ago(to) };
        for (span, expected) in [
            (last(3600), window(3960, 360)),
            (last(90 * 86_400), window(30 * DAY, 360)),
            (Span::Last(Duration::MAX), window(30 * DAY, 360)),
            (between(3 * DAY, 2 * DAY), window(3 * DAY, 2 * DAY)),
            (between(60 * DAY, 29 * DAY), window(30 * DAY, 29 * DAY)),
            (between(3 * DAY, 0), window(3 * DAY, 360)),
        ] {
            assert_eq!(of("cdr_records", &past, span), Ok(vec![expected]), "{span:?}");
        }
    }

    #[test]
    fn what_is_out_of_reach_is_refused_with_what_was_asked_and_what_is_held() {
        for (from, to) in [(60 * DAY, 40 * DAY), (300, 200)] {
            let error =
                of("cdr_records", &History::default(), Span::Between { from: ago(from), to: ago(to) }).unwrap_err();
            assert_eq!(error.fault(), Fault::Poison);
            let (asked, held) = (text(&window(from, to)), "2026-01-30T12:00:00Z to 2026-03-01T11:54:00Z");
            let words = error.to_string();
            assert!(words.contains("`cdr_records`") && words.contains(&asked) && words.contains(held), "{words}");
        }
    }

    #[test]
    fn a_window_starts_and_ends_on_whole_seconds() {
        let dataset = catalog::find("cdr_records").unwrap();
        let (ahead, millis) = (TimeDelta::milliseconds(700), TimeDelta::milliseconds(1));
        let span = Span::Between { from: ago(DAY) + millis, to: ago(7200) + millis };
        let windows = due(dataset, &dataset.timing, &History::default(), &span, ago(0) + ahead);
        assert_eq!(windows, Ok(vec![window(DAY, 7199)]));
        let windows = due(dataset, &dataset.timing, &History::default(), &Span::Due, ago(0) + ahead);
        assert_eq!(windows, Ok(vec![window(30 * DAY, 360)]));
    }

    /// Seconds ago, on a coarse grid so that edges often meet.
    fn grid() -> impl Strategy<Value = i64> {
        (0_i64..200).prop_map(|step| step * 21_600)
    }

    fn spans() -> impl Strategy<Value = Span> {
        prop_oneof![
            4 => Just(Span::Due),
            1 => (1_i64..200).prop_map(|step| Span::Last(Duration::from_secs(step.unsigned_abs() * 21_600))),
            1 => (grid(), 1_i64..200)
                .prop_map(|(to, length)| Span::Between { from: ago(to + length * 21_600), to: ago(to) }),
        ]
    }

    proptest! {
        #[test]
        fn windows_are_in_order_and_apart_and_hold_exactly_what_is_due(
            newest in proptest::option::of(grid()),
            holes in proptest::collection::vec((grid(), 0_i64..20), 0..6),
            holds in proptest::option::of(grid()),
            (settles, look_back) in (grid(), grid()),
            span in spans(),
            entity in any::<bool>(),
            probes in proptest::collection::vec(0_i64..250 * 21_600, 50),
        ) {
            let holes: Vec<(i64, i64)> = holes.into_iter().map(|(to, length)| (to + length * 21_600, to)).collect();
            let past = history(newest, &holes);
            let seconds = |value: i64| Duration::from_secs(value.unsigned_abs());
            let timing = Timing { holds: holds.map(seconds), settles: seconds(settles), look_back: seconds(look_back) };
            let dataset = catalog::find(if entity { "contacts" } else { "cdr_records" }).unwrap();
            let result = due(dataset, &timing, &past, &span, ago(0));

            let oldest = holds.map_or(EPOCH, ago);
            let is_due = |at: DateTime<Utc>| {
                let held = oldest <= at && at < ago(settles);
                held && match span {
                    Span::Due => newest.is_none_or(|newest| {
                        at >= ago(newest + look_back) || past.holes.iter().any(|hole| hole.from <= at && at < hole.to)
                    }),
                    Span::Last(last) => at >= ago(settles) - TimeDelta::from_std(last).unwrap(),
                    Span::Between { from, to } => from <= at && at < to,
                }
            };
            // What is due changes at these instants only, so they stand for all others.
            let mut instants = vec![oldest, ago(settles), ago(settles) - TimeDelta::seconds(1)];
            instants.extend(probes.into_iter().map(ago));
            instants.extend(newest.map(|newest| ago(newest + look_back)));
            instants.extend(past.holes.iter().flat_map(|hole| [hole.from, hole.to, hole.to - TimeDelta::seconds(1)]));
            match span {
                Span::Due => {}
                Span::Last(last) => instants.push(ago(settles) - TimeDelta::from_std(last).unwrap()),
                Span::Between { from, to } => instants.extend([from, to, to - TimeDelta::seconds(1)]),
            }
            instants.sort_unstable();

            let Ok(windows) = result else {
                prop_assert!(span != Span::Due, "what is due is never out of reach");
                prop_assert!(!instants.into_iter().any(is_due));
                return Ok(());
            };
            prop_assert!(windows.iter().all(|window| !window.is_empty()));
            prop_assert!(windows.windows(2).all(|pair| pair[0].to < pair[1].from));
            let earliest = instants.iter().copied().find(|at| is_due(*at));
            if entity {
                prop_assert!(windows.len() <= 1);
                prop_assert_eq!(windows.first().map(|window| window.from), earliest);
            }
            for at in instants {
                let inside = windows.iter().any(|window| window.from <= at && at < window.to);
                // One window per entity: it holds what lies between as well.
                prop_assert!(inside == is_due(at) || (entity && inside), "{} {:?}", at, windows);
            }
        }
    }
}
