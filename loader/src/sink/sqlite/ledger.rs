//! The ledger in SQLite: what a commit writes, and what planner, workers and commands note and ask.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use proto::batch::{BatchMeta, Manifest};
use proto::dataset::{Dataset, SourceName};
use proto::fault::Fault;
use proto::id::{AccountName, BatchId, RunId, UnitId};
use proto::instant::{self, Digits};
use proto::ledger::{FaultNote, History, Ledger, LedgerError, Pending, RunFigures, UnitFigures};
use proto::unit::{Partition, Unit, Window};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Inner, Sqlite, figures, history, lock};
use crate::load::Receipt;
use crate::sink::SinkError;

pub(super) fn micros(at: DateTime<Utc>) -> String {
    instant::text(at, Digits::Micros)
}

/// Whether the batch was committed before.
pub(super) fn has_batch(connection: &Connection, batch: &BatchId) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM backhaul_batches WHERE batch_id = ?")?;
    statement.exists([batch.as_str()])
}

/// Writes what a commit did with a batch. A healing row was counted as fetched and dead before: it adds no fetched row
/// and takes one dead row back. A letter whose batch does not count its row as dead (it was put aside, then its batch
/// came again and was taken whole, or is still to come) counts for nothing: its batch accounts for the row.
pub(super) fn write_batch(
    connection: &Connection,
    meta: &BatchMeta,
    refused: &[u32],
    done: Receipt,
) -> rusqlite::Result<()> {
    let (rows, dead, done) = match &meta.heals {
        None => (i64::from(meta.rows), done.dead as i64, done),
        Some(original) if is_dead_in(connection, original, &meta.id)? => (0, done.dead as i64 - 1, done),
        Some(_) => (0, 0, Receipt::default()),
    };
    for row in refused {
        // A letter of this row that came before its batch counted for nothing: from now on it heals.
        let mut forget = connection.prepare_cached("DELETE FROM backhaul_batches WHERE batch_id = ?")?;
        forget.execute([meta.id.of_row(*row).as_str()])?;
    }
    let refused = (!refused.is_empty()).then(|| serde_json::to_string(refused).unwrap_or_default());
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    let drift = (!meta.drift.is_empty()).then(|| json(serde_json::to_string(&meta.drift)));
    let manifest = meta.manifest.as_ref().map(|manifest| json(serde_json::to_string(manifest)));
    let sql = "INSERT INTO backhaul_batches (batch_id, unit_id, run_id, account, dataset, rows, bytes, pages, requests,
        inserted, updated, unchanged, dead, refused, heals, drift, manifest, cut_at, committed_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![
        meta.id.as_str(),
        meta.unit.id.as_str(),
        meta.unit.run.as_str(),
        meta.unit.account.as_str(),
        meta.unit.dataset,
        rows,
        meta.bytes as i64,
        meta.pages,
        meta.requests,
        done.inserted as i64,
        done.updated as i64,
        done.unchanged as i64,
        dead,
        refused,
        meta.heals.as_ref().map(BatchId::as_str),
        drift,
        manifest,
        micros(meta.cut_at),
        micros(Utc::now()),
    ])?;
    Ok(())
}

/// Whether the ledger counts the row of this letter as dead in the batch it comes from.
fn is_dead_in(connection: &Connection, original: &BatchId, letter: &BatchId) -> rusqlite::Result<bool> {
    let sql = "SELECT refused FROM backhaul_batches WHERE batch_id = ? AND refused IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let refused: Option<String> = statement.query_row([original.as_str()], |row| row.get(0)).optional()?;
    let rows: Vec<u32> = refused.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(rows.into_iter().any(|row| original.of_row(row) == *letter))
}

/// Notes the unit as whole if every batch that some manifest of it lists is in the ledger.
pub(super) fn settle_unit(connection: &Connection, unit: &UnitId) -> rusqlite::Result<()> {
    let sql = "SELECT manifest FROM backhaul_batches WHERE unit_id = ? AND manifest IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM backhaul_units u WHERE u.unit_id = backhaul_batches.unit_id AND u.whole_at IS NOT NULL)";
    let mut statement = connection.prepare_cached(sql)?;
    let manifests: Vec<String> = statement.query_map([unit.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for text in manifests {
        let Ok(manifest) = serde_json::from_str::<Manifest>(&text) else { continue };
        let mut complete = true;
        for batch in &manifest.batches {
            complete = complete && has_batch(connection, batch)?;
        }
        if complete {
            let sql =
                "UPDATE backhaul_units SET whole_at = ?, dead_at = NULL, rows = ?, stated = ?, pages = ?, requests = ?,
                began_at = ?, ended_at = ? WHERE unit_id = ? AND whole_at IS NULL";
            connection.prepare_cached(sql)?.execute(params![
                micros(Utc::now()),
                manifest.rows as i64,
                manifest.stated.map(|stated| stated as i64),
                manifest.pages as i64,
                manifest.requests as i64,
                micros(manifest.began),
                micros(manifest.ended),
                unit.as_str(),
            ])?;
            return Ok(());
        }
    }
    Ok(())
}

/// The unit of a row that begins with the columns of [`UNIT`].
fn unit(row: &Row<'_>) -> rusqlite::Result<Unit> {
    let text = |n: usize| row.get::<_, String>(n);
    let wrong = |n: usize| rusqlite::Error::InvalidColumnType(n, String::from("unit"), rusqlite::types::Type::Text);
    let at = |n: usize| instant::parse(&text(n)?).ok_or_else(|| wrong(n));
    Ok(Unit {
        id: UnitId::stored(text(0)?),
        run: RunId::parse(&text(1)?).map_err(|_| wrong(1))?,
        source: SourceName::find(&text(2)?).ok_or_else(|| wrong(2))?,
        account: AccountName::parse(&text(3)?).map_err(|_| wrong(3))?,
        dataset: text(4)?,
        partition: text(5)?,
        window: Window { from: at(6)?, to: at(7)? },
    })
}

const UNIT: &str = "unit_id, run_id, source, account, dataset, \"partition\", window_from, window_to";

fn pending(connection: &Connection, run: &RunId) -> rusqlite::Result<Vec<Pending>> {
    let sql = format!(
        "SELECT {UNIT}, issued, dead_at IS NOT NULL FROM backhaul_units WHERE run_id = ? AND whole_at IS NULL ORDER BY seq"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement
        .query_map([run.as_str()], |row| Ok(Pending { unit: unit(row)?, issued: row.get(8)?, dead: row.get(9)? }))?;
    rows.collect()
}

impl Sqlite {
    async fn noting(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), LedgerError> {
        self.ledger(true, work).await
    }

    pub(super) async fn asking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.ledger(false, work).await
    }

    async fn ledger<T: Send + 'static>(
        &self,
        writes: bool,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let done = self.blocking(move |inner: &Inner| {
            let mut connection = lock(if writes { &inner.write } else { &inner.read });
            let failed = |error: rusqlite::Error| inner.error("backhaul_units", &error);
            let transaction = connection.transaction().map_err(failed)?;
            let done = work(&transaction).map_err(failed)?;
            transaction.commit().map_err(failed)?;
            Ok(done)
        });
        done.await.map_err(|error: SinkError| {
            let fault = match error.fault() {
                // Rows of the ledger are ours: a refusal is not the unit's fault.
                Fault::Poison => Fault::Transient { after: None },
                other => other,
            };
            LedgerError { place: self.inner.place.clone(), reason: error.to_string(), fault }
        })
    }
}

#[async_trait]
impl Ledger for Sqlite {
    async fn note_run(&self, run: &RunId, asked: &str, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let (run, asked) = (run.clone(), asked.to_owned());
        self.noting(move |connection| {
            let sql = "INSERT INTO backhaul_runs (run_id, asked, noted_at) VALUES (?, ?, ?)
                ON CONFLICT (run_id) DO UPDATE SET asked = excluded.asked WHERE planned_at IS NULL";
            connection.execute(sql, params![run.as_str(), asked, micros(now)]).map(|_| ())
        })
        .await
    }

    async fn note_units(&self, units: &[Unit], now: DateTime<Utc>) -> Result<(), LedgerError> {
        let units = units.to_vec();
        self.noting(move |connection| {
            let sql = format!("INSERT INTO backhaul_units ({UNIT}, noted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
            let mut statement = connection.prepare(&sql)?;
            for unit in &units {
                statement.execute(params![
                    unit.id.as_str(),
                    unit.run.as_str(),
                    unit.source.as_str(),
                    unit.account.as_str(),
                    unit.dataset,
                    unit.partition,
                    micros(unit.window.from),
                    micros(unit.window.to),
                    micros(now),
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn note_planned(&self, run: &RunId, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let run = run.clone();
        self.noting(move |connection| {
            let sql = "UPDATE backhaul_runs SET planned_at = ? WHERE run_id = ? AND planned_at IS NULL";
            connection.execute(sql, params![micros(now), run.as_str()]).map(|_| ())
        })
        .await
    }

    async fn note_issued(&self, units: &[UnitId], now: DateTime<Utc>) -> Result<(), LedgerError> {
        let units = units.to_vec();
        self.noting(move |connection| {
            let sql = "UPDATE backhaul_units SET issued = issued + 1, issued_at = ? WHERE unit_id = ?";
            let mut statement = connection.prepare(sql)?;
            for unit in &units {
                statement.execute(params![micros(now), unit.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn note_fault(&self, fault: &FaultNote) -> Result<(), LedgerError> {
        let note = fault.clone();
        self.noting(move |connection| {
            let sql = "INSERT INTO backhaul_faults (run_id, unit_id, batch_id, source, account, dataset, fault, verdict, cause, at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            connection.execute(sql, params![
                note.run.as_str(),
                note.unit.as_str(),
                note.batch.as_ref().map(BatchId::as_str),
                note.source.as_str(),
                note.account.as_str(),
                note.dataset,
                note.fault.name(),
                note.verdict,
                note.cause,
                micros(note.at),
            ])?;
            if note.buries {
                let sql = "UPDATE backhaul_units SET dead_at = ? WHERE unit_id = ? AND whole_at IS NULL";
                connection.execute(sql, params![micros(note.at), note.unit.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn note_replayed(&self, units: &[UnitId], _now: DateTime<Utc>) -> Result<(), LedgerError> {
        let units = units.to_vec();
        self.noting(move |connection| {
            let mut statement = connection.prepare("UPDATE backhaul_units SET dead_at = NULL WHERE unit_id = ?")?;
            for unit in &units {
                statement.execute([unit.as_str()])?;
            }
            Ok(())
        })
        .await
    }

    async fn note_discarded(
        &self,
        message: &str,
        unit: &UnitId,
        who: &str,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let (cause, unit) = (format!("message {message} discarded by {who}: {why}"), unit.clone());
        self.noting(move |connection| {
            let sql = "INSERT INTO backhaul_faults (run_id, unit_id, source, account, dataset, fault, verdict, cause, at)
                SELECT run_id, unit_id, source, account, dataset, 'poison', 'discarded', ?, ? FROM backhaul_units WHERE unit_id = ?";
            connection.execute(sql, params![cause, micros(now), unit.as_str()]).map(|_| ())
        })
        .await
    }

    async fn is_whole(&self, unit: &UnitId) -> Result<bool, LedgerError> {
        let unit = unit.clone();
        self.asking(move |connection| {
            let sql = "SELECT whole_at IS NOT NULL FROM backhaul_units WHERE unit_id = ?";
            Ok(connection.query_row(sql, [unit.as_str()], |row| row.get(0)).optional()?.unwrap_or(false))
        })
        .await
    }

    async fn pending(&self, run: &RunId) -> Result<Vec<Pending>, LedgerError> {
        let run = run.clone();
        self.asking(move |connection| pending(connection, &run)).await
    }

    async fn history(
        &self,
        account: &AccountName,
        dataset: &'static Dataset,
        partition: &Partition,
    ) -> Result<History, LedgerError> {
        let (account, partition) = (account.clone(), partition.clone());
        self.asking(move |connection| history::history(connection, &account, dataset, &partition)).await
    }

    async fn newest_run(&self) -> Result<Option<RunId>, LedgerError> {
        self.asking(|connection| {
            let sql = "SELECT run_id FROM backhaul_runs ORDER BY noted_at DESC, run_id DESC LIMIT 1";
            let run: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
            Ok(run.and_then(|run| RunId::parse(&run).ok()))
        })
        .await
    }

    async fn figures(&self, run: &RunId) -> Result<Option<RunFigures>, LedgerError> {
        let run = run.clone();
        let names = proto::catalog::ALL.map(|dataset| (dataset.name, self.table_name(dataset)));
        self.asking(move |connection| figures::run(connection, &run, &names)).await
    }

    async fn unit_figures(&self, run: &RunId) -> Result<Vec<UnitFigures>, LedgerError> {
        let run = run.clone();
        self.asking(move |connection| figures::units(connection, &run)).await
    }
}
