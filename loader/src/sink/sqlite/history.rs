//! What was read so far of one (account, dataset, partition): stretches of time that are covered, and the holes.
//!
//! Instants are text of one form here: its order is theirs.

use proto::dataset::Dataset;
use proto::id::AccountName;
use proto::instant;
use proto::ledger::History;
use proto::unit::Window;
use rusqlite::{Connection, params};

/// The history that the ledger's units tell.
pub(super) fn history(
    connection: &Connection,
    account: &AccountName,
    dataset: &Dataset,
    partition: &str,
) -> rusqlite::Result<History> {
    let windows = |condition: &str| -> rusqlite::Result<Vec<Span>> {
        let sql = format!(
            "SELECT window_from, window_to, MIN(noted_at) FROM backhaul_units
             WHERE account = ?1 AND dataset = ?2 AND \"partition\" = ?3 AND {condition}
             GROUP BY window_from, window_to ORDER BY window_from"
        );
        let mut statement = connection.prepare(&sql)?;
        let who = params![account.as_str(), dataset.name, partition];
        let rows =
            statement.query_map(who, |row| Ok(Span { from: row.get(0)?, to: row.get(1)?, noted: row.get(2)? }))?;
        rows.collect()
    };
    let whole = covered(windows("whole_at IS NOT NULL")?);
    let open = windows("whole_at IS NULL")?;
    let missed = gaps(&whole);
    let holes = open
        .iter()
        .filter(|window| !whole.iter().any(|span| span.from <= window.from && window.to <= span.to))
        .map(|window| (&window.from, &window.to))
        .chain(missed.iter().map(|(from, to)| (from, to)))
        .filter_map(|(from, to)| Some(Window { from: instant::parse(from)?, to: instant::parse(to)? }));
    let newest_whole = whole.last().and_then(|span| instant::parse(&span.to));
    Ok(History { newest_whole, holes: holes.collect() })
}

/// A stretch of time and when it was planned first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    from: String,
    to: String,
    noted: String,
}

/// Windows sorted by their start, joined where they touch or overlap.
fn covered(sorted: Vec<Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::new();
    for span in sorted {
        match joined.last_mut() {
            Some(last) if span.from <= last.to => {
                last.to = span.to.max(std::mem::take(&mut last.to));
                last.noted = span.noted.min(std::mem::take(&mut last.noted));
            }
            _ => joined.push(span),
        }
    }
    joined
}

/// The time between covered stretches that was jumped over going forward: something before it was planned earlier than
/// what follows it (an outage of the scheduler, then a run of the newest day only). A stretch in front of everything
/// that was planned later (a backfill of an old month) leaves no gap that anybody meant to have read.
fn gaps(covered: &[Span]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut earliest: Option<&str> = None;
    for pair in covered.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let noted = earliest.map_or(before.noted.as_str(), |noted| noted.min(&before.noted));
        earliest = Some(noted);
        if *noted < *after.noted {
            found.push((before.to.clone(), after.from.clone()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(&str, &str, &str)]) -> Vec<Span> {
        let span = |(from, to, noted): &(&str, &str, &str)| Span {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            noted: (*noted).to_owned(),
        };
        list.iter().map(span).collect()
    }

    #[test]
    fn windows_are_joined_where_they_touch_or_overlap() {
        let joined = covered(spans(&[("1", "3", "b"), ("2", "5", "a"), ("5", "6", "c"), ("7", "8", "d")]));
        assert_eq!(joined, spans(&[("1", "6", "a"), ("7", "8", "d")]));
    }

    #[test]
    fn time_jumped_over_going_forward_is_a_gap_and_an_old_backfill_leaves_none() {
        let gap = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        for (covered, expected) in [
            (spans(&[("1", "3", "a")]), vec![]),
            // The scheduler was down, then somebody ran the newest day.
            (spans(&[("1", "3", "a"), ("5", "6", "b")]), vec![gap("3", "5")]),
            // An old month, read after the rest.
            (spans(&[("1", "2", "c"), ("5", "6", "b")]), vec![]),
            // A part of the gap was read in between.
            (spans(&[("1", "2", "a"), ("3", "4", "c"), ("5", "6", "b")]), vec![gap("2", "3"), gap("4", "5")]),
        ] {
            assert_eq!(gaps(&covered), expected, "{covered:?}");
        }
    }
}
