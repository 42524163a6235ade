//! The sums that `status` and reports show, read from the ledger.

use std::collections::BTreeMap;

use proto::catalog;
use proto::id::RunId;
use proto::ledger::{DatasetFigures, FaultLine, RunFigures, Standing, UnitFigures};
use rusqlite::{Connection, OptionalExtension};

/// The figures of a run; `tables` gives the table of each dataset.
pub(super) fn run(
    connection: &Connection,
    run: &RunId,
    tables: &[(&'static str, String)],
) -> rusqlite::Result<Option<RunFigures>> {
    let sql = "SELECT asked, noted_at, planned_at IS NOT NULL,
        COALESCE((julianday(MAX(COALESCE((SELECT MAX(committed_at) FROM backhaul_batches b WHERE b.run_id = r.run_id), noted_at), noted_at))
            - julianday(noted_at)) * 86400, 0)
        FROM backhaul_runs r WHERE run_id = ? GROUP BY run_id";
    let found: Option<(String, String, bool, f64)> = connection
        .query_row(sql, [run.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((asked, planned_at, planned, seconds)) = found else { return Ok(None) };
    let mut datasets = datasets(connection, run, tables)?;
    add_drift(connection, run, &mut datasets)?;
    let open =
        datasets.iter().any(|figures| figures.whole < figures.units || figures.dead > 0 || figures.difference() != 0);
    Ok(Some(RunFigures {
        run: run.to_string(),
        planned_at,
        asked,
        planned,
        whole: planned && !open,
        seconds: (seconds * 1000.0).round() / 1000.0,
        datasets,
        faults: faults(connection, run)?,
    }))
}

fn datasets(
    connection: &Connection,
    run: &RunId,
    tables: &[(&'static str, String)],
) -> rusqlite::Result<Vec<DatasetFigures>> {
    let sql = "SELECT u.dataset, COUNT(*), SUM(u.whole_at IS NOT NULL), SUM(u.whole_at IS NULL AND u.dead_at IS NOT NULL), SUM(u.stated),
        b.pages, b.requests, b.rows, b.inserted, b.updated, b.unchanged, b.dead
        FROM backhaul_units u LEFT JOIN (
            SELECT dataset, SUM(pages) AS pages, SUM(requests) AS requests, SUM(rows) AS rows, SUM(inserted) AS inserted,
                SUM(updated) AS updated, SUM(unchanged) AS unchanged, SUM(dead) AS dead
            FROM backhaul_batches WHERE run_id = ?1 GROUP BY dataset
        ) b ON b.dataset = u.dataset
        WHERE u.run_id = ?1 GROUP BY u.dataset";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([run.as_str()], |row| {
        let count = |n: usize| Ok::<u64, rusqlite::Error>(row.get::<_, Option<i64>>(n)?.unwrap_or(0).max(0) as u64);
        let dataset: String = row.get(0)?;
        let table = tables
            .iter()
            .find(|(name, _)| *name == dataset)
            .map_or_else(|| dataset.clone(), |(_, table)| table.clone());
        Ok(DatasetFigures {
            dataset,
            table,
            units: count(1)?,
            whole: count(2)?,
            dead_units: count(3)?,
            stated: row.get::<_, Option<i64>>(4)?.map(|stated| stated as u64),
            pages: count(5)?,
            requests: count(6)?,
            fetched: count(7)?,
            inserted: count(8)?,
            updated: count(9)?,
            unchanged: count(10)?,
            dead: count(11)?,
            drift: BTreeMap::new(),
        })
    })?;
    let mut all: Vec<DatasetFigures> = rows.collect::<Result<_, _>>()?;
    let place = |figures: &DatasetFigures| catalog::ALL.iter().position(|dataset| dataset.name == figures.dataset);
    all.sort_by_key(|figures| place(figures).unwrap_or(usize::MAX));
    Ok(all)
}

fn add_drift(connection: &Connection, run: &RunId, datasets: &mut [DatasetFigures]) -> rusqlite::Result<()> {
    let sql = "SELECT dataset, drift FROM backhaul_batches WHERE run_id = ? AND drift IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([run.as_str()])?;
    while let Some(row) = rows.next()? {
        let (dataset, drift): (String, String) = (row.get(0)?, row.get(1)?);
        let drift: BTreeMap<String, u64> = serde_json::from_str(&drift).unwrap_or_default();
        if let Some(figures) = datasets.iter_mut().find(|figures| figures.dataset == dataset) {
            for (field, times) in drift {
                *figures.drift.entry(field).or_insert(0) += times;
            }
        }
    }
    Ok(())
}

/// What went wrong and is not healed: failures of units that are not whole, or have dead rows.
fn faults(connection: &Connection, run: &RunId) -> rusqlite::Result<Vec<FaultLine>> {
    let sql = "SELECT f.account, f.dataset, f.fault, f.verdict, f.cause, MAX(f.at), COUNT(*)
        FROM backhaul_faults f LEFT JOIN backhaul_units u ON u.unit_id = f.unit_id
        WHERE f.run_id = ?1 AND (u.whole_at IS NULL
            OR (f.verdict IN ('dead', 'discarded')
                AND COALESCE((SELECT SUM(b.dead) FROM backhaul_batches b WHERE b.unit_id = f.unit_id), 0) > 0))
        GROUP BY f.account, f.dataset, f.fault, f.verdict, f.cause ORDER BY MAX(f.at) DESC LIMIT 20";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([run.as_str()], |row| {
        Ok(FaultLine {
            account: row.get(0)?,
            dataset: row.get(1)?,
            fault: row.get(2)?,
            verdict: row.get(3)?,
            cause: row.get(4)?,
            at: row.get(5)?,
            times: row.get::<_, i64>(6)? as u64,
        })
    })?;
    rows.collect()
}

/// The figures of each unit of a run, in the order in which they were noted.
pub(super) fn units(connection: &Connection, run: &RunId) -> rusqlite::Result<Vec<UnitFigures>> {
    let sql =
        "SELECT u.unit_id, u.account, u.dataset, u.\"partition\", u.window_from, u.window_to, u.whole_at IS NOT NULL,
        u.dead_at IS NOT NULL, u.stated, SUM(b.rows), SUM(b.inserted), SUM(b.updated), SUM(b.unchanged), SUM(b.dead)
        FROM backhaul_units u LEFT JOIN backhaul_batches b ON b.unit_id = u.unit_id
        WHERE u.run_id = ? GROUP BY u.unit_id ORDER BY u.seq";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([run.as_str()], |row| {
        let count = |n: usize| Ok::<u64, rusqlite::Error>(row.get::<_, Option<i64>>(n)?.unwrap_or(0).max(0) as u64);
        let standing = match (row.get(6)?, row.get(7)?) {
            (true, _) => Standing::Whole,
            (false, true) => Standing::Dead,
            (false, false) => Standing::Pending,
        };
        Ok(UnitFigures {
            unit: row.get(0)?,
            account: row.get(1)?,
            dataset: row.get(2)?,
            partition: row.get(3)?,
            from: row.get(4)?,
            to: row.get(5)?,
            standing,
            stated: row.get::<_, Option<i64>>(8)?.map(|stated| stated as u64),
            fetched: count(9)?,
            inserted: count(10)?,
            updated: count(11)?,
            unchanged: count(12)?,
            dead: count(13)?,
        })
    })?;
    rows.collect()
}
